//! `homectl status`: what is true now, as a table and as JSON.

use super::certificates::Certificate;
use super::json::FORMAT;
use super::section::{ending, section, unknown_json};
use super::style::{Paint, clean};
use serde::Serialize;
use serde_json::{Value, json};

/// Everything that status shows. A part that could not be looked at is an `Err` with what was seen.
#[derive(Debug, Clone, Default)]
pub struct Status {
    pub cluster: String,
    /// The version that the inventory asks for, `1.36.3`.
    pub kubernetes: String,
    /// In order of node numbers.
    pub nodes: Vec<NodeStatus>,
    pub certificates: Vec<Certificate>,
    pub links: Vec<LinkStatus>,
    pub etcd: Vec<EtcdStatus>,
    pub snapshots: Vec<SnapshotStatus>,
    /// What is being replaced, a line each.
    pub under_way: Vec<String>,
    /// What could not be looked at: where, and what was seen.
    pub unknown: Vec<(String, String)>,
}

/// One machine.
#[derive(Debug, Clone, Serialize)]
pub struct NodeStatus {
    pub name: String,
    /// `control-plane` or `worker`.
    pub role: String,
    /// The kubelet's version; `None` when the API does not know the node.
    pub version: Option<String>,
    /// The node's Ready condition; `None` when unknown.
    pub ready: Option<bool>,
    /// Why it is not ready, as the API says it.
    pub reason: String,
    /// Overlay address.
    pub overlay: String,
    /// Whether SSH answered.
    pub reachable: bool,
}

/// What one machine knows of its WireGuard peer.
#[derive(Debug, Clone, Serialize)]
pub struct LinkStatus {
    pub node: String,
    pub peer: String,
    /// Seconds since the last handshake; `None`: never.
    pub handshake: Option<u64>,
}

/// One etcd member.
#[derive(Debug, Clone, Serialize)]
pub struct EtcdStatus {
    pub member: String,
    pub healthy: bool,
    /// What it holds against itself, or what was seen in place of an answer; empty where all is well.
    pub why: String,
    pub leader: bool,
    pub learner: bool,
    /// Bytes.
    pub db_size: u64,
}

impl EtcdStatus {
    /// A member that gave no answer; `seen` is what came in its place.
    #[must_use]
    pub fn silent(member: &str, seen: &str) -> Self {
        Self { member: member.into(), healthy: false, why: seen.trim().to_owned(), leader: false, learner: false, db_size: 0 }
    }

    /// What is wrong, and what to do where that is known.
    fn warning(&self) -> Option<String> {
        let why = if self.why.is_empty() { "it does not answer" } else { self.why.trim() };
        let help = if why.contains("NOSPACE") {
            "; nothing is written until its database has room: compact, defragment each member, then disarm the alarm (etcd.io: maintenance, space quota)"
        } else {
            ""
        };
        (!self.healthy).then(|| format!("{}: etcd is not well: {}{help}", self.member, clean(why)))
    }
}

/// The snapshots that a control plane keeps by itself.
#[derive(Debug, Clone, Serialize)]
pub struct SnapshotStatus {
    pub node: String,
    /// Seconds since the newest was taken; `None`: there is none.
    pub age: Option<u64>,
    /// Seconds since the timer that takes them was set up.
    pub due_for: u64,
}

/// Seconds between two snapshots of one machine, and how much later than that the next may come.
const SNAPSHOT_EVERY: u64 = 6 * 3600;
const SNAPSHOT_LATE: u64 = 3600;

impl SnapshotStatus {
    /// Two in a row did not come.
    fn warning(&self) -> Option<String> {
        let old = self.age.unwrap_or(self.due_for).min(self.due_for) > 2 * SNAPSHOT_EVERY + SNAPSHOT_LATE;
        let seen = match self.age {
            Some(age) => format!("the newest snapshot of etcd is {} hours old", age / 3600),
            None => "there is no snapshot of etcd".into(),
        };
        let help = "one is due every 6 hours: journalctl -u homectl-etcd-snapshot, systemctl list-timers homectl-etcd-snapshot.timer";
        old.then(|| format!("{}: {seen}; {help}", self.node))
    }
}

impl Status {
    /// What is being replaced; what runs out soon, or has; what somebody should look at.
    fn warnings(&self) -> Vec<String> {
        let certificates = self.certificates.iter().filter_map(Certificate::warning);
        let etcd = self.etcd.iter().filter_map(EtcdStatus::warning);
        let known = self.under_way.iter().cloned().chain(certificates);
        known.chain(etcd).chain(self.snapshots.iter().filter_map(SnapshotStatus::warning)).collect()
    }

    /// What keeps the cluster from being whole, as far as it could be looked at: which check says so, and what it saw.
    #[must_use]
    pub fn lacks(&self) -> Vec<(&'static str, String)> {
        let of = |n: &NodeStatus| match n.ready {
            Some(true) => None,
            Some(false) => Some(("nodes", format!("{} is not Ready: {}", n.name, clean(&n.reason)))),
            None => Some(("nodes", format!("nobody knows whether {} is Ready", n.name))),
        };
        let nodes = self.nodes.iter().filter_map(of);
        let etcd = self.etcd.iter().filter_map(|m| Some(("etcd", m.warning()?)));
        let dead = self.certificates.iter().filter(|c| c.expired()).filter_map(|c| Some(("certificates", c.warning()?)));
        nodes.chain(etcd).chain(dead).collect()
    }

    /// For people.
    #[must_use]
    pub fn text(&self, colour: bool) -> String {
        let paint = Paint(colour);
        let mut out = paint.bold(&format!("Cluster {}, Kubernetes {}", self.cluster, self.kubernetes)) + "\n\n";
        section(&mut out, paint, "Nodes", &["name", "role", "version", "ready", "overlay", "ssh"], self.nodes.iter().map(node).collect());
        section(&mut out, paint, "etcd", &["member", "health", "role", "size"], self.etcd.iter().map(etcd).collect());
        section(&mut out, paint, "Overlay (seconds since the last handshake)", &["node"], self.square());
        section(&mut out, paint, "Certificates", &["node", "days", "path", "subject"], self.certificates.iter().map(certificate).collect());
        ending(out, paint, self.warnings(), &self.unknown)
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "format": FORMAT,
            "cluster": self.cluster,
            "kubernetes": self.kubernetes,
            "nodes": self.nodes,
            "etcd": self.etcd,
            "snapshots": self.snapshots,
            "links": self.links,
            "certificates": self.certificates.iter().map(Certificate::json).collect::<Vec<_>>(),
            "warnings": self.warnings(),
            "unknown": unknown_json(&self.unknown),
        })
    }
}

fn node(n: &NodeStatus) -> Vec<String> {
    let ready = match (n.ready, n.reason.as_str()) {
        (Some(true), _) => "yes".into(),
        (Some(false), "") => "no".into(),
        (Some(false), reason) => format!("no: {}", clean(reason)),
        (None, _) => "unknown".into(),
    };
    let version = n.version.clone().unwrap_or_else(|| "-".into());
    let ssh = if n.reachable { "ok" } else { "unreachable" };
    vec![n.name.clone(), n.role.clone(), version, ready, n.overlay.clone(), ssh.into()]
}

fn etcd(m: &EtcdStatus) -> Vec<String> {
    let role = match (m.leader, m.learner) {
        (true, _) => "leader",
        (_, true) => "learner",
        _ => "follower",
    };
    let health = if m.healthy { "healthy" } else { "UNHEALTHY" };
    vec![m.member.clone(), health.into(), role.into(), super::style::megabytes(m.db_size)]
}

fn certificate(c: &Certificate) -> Vec<String> {
    vec![c.node.clone(), c.days_told(), c.path.clone(), clean(&c.subject).into_owned()]
}

impl Status {
    /// A square of the nodes in their order: rows look, columns are looked at.
    fn square(&self) -> Vec<Vec<String>> {
        let linked = |name: &str| self.links.iter().any(|l| l.node == name || l.peer == name);
        let names: Vec<&str> = self.nodes.iter().map(|n| n.name.as_str()).filter(|name| linked(name)).collect();
        if names.is_empty() {
            return Vec::new();
        }
        let cell = |row: &str, column: &str| match self.links.iter().find(|l| l.node == row && l.peer == column) {
            Some(LinkStatus { handshake: Some(seconds), .. }) => seconds.to_string(),
            Some(LinkStatus { handshake: None, .. }) => "never".into(),
            None => "-".to_owned(),
        };
        let mut rows = vec![std::iter::once(String::new()).chain(names.iter().map(ToString::to_string)).collect::<Vec<_>>()];
        for row in &names {
            rows.push(std::iter::once((*row).to_owned()).chain(names.iter().map(|column| cell(row, column))).collect());
        }
        rows
    }
}
