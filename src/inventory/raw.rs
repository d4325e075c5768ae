//! The keys of the inventory, as written: every value with its place, nothing judged.

use super::problem::Sink;
use super::table::Table;
use std::ops::Range;
use toml::Spanned;
use toml::de::DeTable;

pub(super) type At<T> = Spanned<T>;

const TOP: &[&str] = &["cluster", "network", "api", "ssh", "artifacts", "registries", "backup", "node", "addon"];
const CLUSTER: &[&str] = &["name", "kubernetes", "versions"];
pub(super) const VERSIONS: &[&str] = &["etcd", "containerd", "runc", "cni-plugins", "kube-router"];
const NETWORK: &[&str] = &["overlay", "pods", "services", "cni", "policy", "domain", "mtu"];
const API: &[&str] = &["names", "lan"];
const SSH: &[&str] = &["user", "identity", "port", "jump", "ssh-config"];
const ARTIFACTS: &[&str] = &["mirror"];
const REGISTRY: &[&str] = &["mirrors"];
const BACKUP: &[&str] = &["to", "keep"];
const NODE: &[&str] = &[
    "name",
    "address",
    "role",
    "workloads",
    "port",
    "user",
    "identity",
    "host-key",
    "endpoint",
    "listen-port",
    "site",
    "behind-nat",
    "arch",
    "hostname",
    "labels",
    "taints",
];
const ADDON: &[&str] = &["name", "needs", "manifests", "chart", "version", "values"];

/// The table that a key belongs to, for a key that stands in the wrong one.
pub(super) fn home_of(key: &str) -> Option<&'static str> {
    let tables: [(&str, &[&str]); 9] = [
        ("[[node]]", NODE),
        ("[network]", NETWORK),
        ("[cluster]", CLUSTER),
        ("[cluster.versions]", VERSIONS),
        ("[api]", API),
        ("[ssh]", SSH),
        ("[artifacts]", ARTIFACTS),
        ("[backup]", BACKUP),
        ("[[addon]]", ADDON),
    ];
    tables.iter().find(|(_, keys)| keys.contains(&key)).map(|(title, _)| *title)
}

#[derive(Default)]
pub(super) struct Raw {
    pub(super) cluster: Cluster,
    pub(super) network: Network,
    pub(super) api_names: Vec<At<String>>,
    pub(super) api_lan: Option<At<bool>>,
    pub(super) ssh: Login,
    pub(super) mirror: Option<At<String>>,
    pub(super) registries: Vec<Registry>,
    pub(super) backup: Option<Backup>,
    pub(super) nodes: Vec<Node>,
    /// Something stands where nodes should, or nearly.
    pub(super) nodes_attempted: bool,
    pub(super) addons: Vec<Addon>,
}

#[derive(Default)]
pub(super) struct Cluster {
    pub(super) name: Option<At<String>>,
    pub(super) kubernetes: Option<At<String>>,
    /// In the order of [`VERSIONS`].
    pub(super) versions: Vec<(&'static str, At<String>)>,
}

#[derive(Default)]
pub(super) struct Network {
    pub(super) overlay: Option<At<String>>,
    pub(super) pods: Option<At<String>>,
    pub(super) services: Option<At<String>>,
    pub(super) cni: Option<At<String>>,
    pub(super) policy: Option<At<String>>,
    pub(super) domain: Option<At<String>>,
    pub(super) mtu: Option<At<u16>>,
}

/// How to log in, for all nodes or for one.
#[derive(Default)]
pub(super) struct Login {
    pub(super) user: Option<At<String>>,
    pub(super) identity: Option<At<String>>,
    pub(super) port: Option<At<u16>>,
    pub(super) jump: Option<At<String>>,
    pub(super) ssh_config: Option<At<bool>>,
}

pub(super) struct Registry {
    pub(super) host: At<String>,
    pub(super) mirrors: Option<At<Vec<At<String>>>>,
}

pub(super) struct Backup {
    pub(super) to: Option<At<Vec<At<String>>>>,
    pub(super) keep: Option<At<u16>>,
}

pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) name: Option<At<String>>,
    pub(super) address: Option<At<String>>,
    pub(super) role: Option<At<String>>,
    pub(super) workloads: Option<At<bool>>,
    pub(super) ssh: Login,
    pub(super) host_key: Option<At<String>>,
    pub(super) endpoint: Option<At<String>>,
    pub(super) listen_port: Option<At<u16>>,
    pub(super) site: Option<At<String>>,
    pub(super) behind_nat: Option<At<bool>>,
    pub(super) arch: Option<At<String>>,
    pub(super) hostname: Option<At<String>>,
    pub(super) labels: Vec<(At<String>, At<String>)>,
    pub(super) taints: Vec<At<String>>,
}

pub(super) struct Addon {
    pub(super) name: Option<At<String>>,
    pub(super) needs: Vec<At<String>>,
    pub(super) manifests: Option<At<Vec<At<String>>>>,
    /// Place of the first key that only a chart has.
    pub(super) chart: Option<Range<usize>>,
}

/// Reads the whole document.
pub(super) fn read(document: &DeTable<'_>, sink: &mut Sink) -> Raw {
    let top = Table::document(TOP, document, sink);
    let mut raw = Raw { cluster: cluster(&top, sink), ..Raw::default() };
    if let Some(t) = top.table("network", "[network]", NETWORK, sink) {
        raw.network = network(&t, sink);
    }
    if let Some(t) = top.table("api", "[api]", API, sink) {
        raw.api_names = t.texts("names", sink).map(Spanned::into_inner).unwrap_or_default();
        raw.api_lan = t.flag("lan", sink);
    }
    if let Some(t) = top.table("ssh", "[ssh]", SSH, sink) {
        raw.ssh = Login { jump: t.text("jump", sink), ssh_config: t.flag("ssh-config", sink), ..login(&t, sink) };
    }
    if let Some(t) = top.table("artifacts", "[artifacts]", ARTIFACTS, sink) {
        raw.mirror = t.text("mirror", sink);
    }
    raw.registries = registries(&top, sink);
    raw.backup = top.table("backup", "[backup]", BACKUP, sink).map(|t| backup(&t, sink));
    raw.nodes_attempted = ["node", "nodes"].iter().any(|key| document.contains_key(*key));
    raw.nodes = top.tables("node", "[[node]]", NODE, sink).iter().map(|t| node(t, sink)).collect();
    raw.addons = top.tables("addon", "[[addon]]", ADDON, sink).iter().map(|t| addon(t, sink)).collect();
    raw
}

fn cluster(top: &Table<'_, '_>, sink: &mut Sink) -> Cluster {
    if top.get("cluster").is_none() {
        sink.error_anywhere("the inventory has no [cluster]").help("begin with [cluster], name = \"home\" and kubernetes = \"…\"");
        return Cluster::default();
    }
    let Some(t) = top.table("cluster", "[cluster]", CLUSTER, sink) else { return Cluster::default() };
    let name = t.required("name", "home", sink);
    let kubernetes = t.required("kubernetes", super::TESTED[0].kubernetes, sink);
    let mut versions = Vec::new();
    if let Some(v) = t.table("versions", "[cluster.versions]", VERSIONS, sink) {
        versions.extend(VERSIONS.iter().filter_map(|key| Some((*key, v.text(key, sink)?))));
    }
    Cluster { name, kubernetes, versions }
}

fn network(t: &Table<'_, '_>, sink: &mut Sink) -> Network {
    Network {
        overlay: t.text("overlay", sink),
        pods: t.text("pods", sink),
        services: t.text("services", sink),
        cni: t.text("cni", sink),
        policy: t.text("policy", sink),
        domain: t.text("domain", sink),
        mtu: t.number("mtu", super::model::MTU, sink),
    }
}

fn login(t: &Table<'_, '_>, sink: &mut Sink) -> Login {
    Login {
        user: t.text("user", sink),
        identity: t.text("identity", sink),
        port: t.number("port", 1..=u16::MAX, sink),
        jump: None,
        ssh_config: None,
    }
}

fn registries(top: &Table<'_, '_>, sink: &mut Sink) -> Vec<Registry> {
    let mut all = Vec::new();
    for (host, value) in top.children("registries", "[registries.\"HOST\"]", sink) {
        if let Some(t) = Table::open("[registries.\"HOST\"]", REGISTRY, value, sink) {
            if t.get("mirrors").is_none() {
                sink.error(&t.span, format!("[registries.\"{}\"] has no `mirrors`", host.get_ref().escape_debug()))
                    .help("add mirrors = [\"http://…\"]");
            }
            all.push(Registry { host, mirrors: t.texts("mirrors", sink) });
        }
    }
    all
}

fn backup(t: &Table<'_, '_>, sink: &mut Sink) -> Backup {
    if t.get("to").is_none() {
        sink.error(&t.span, "[backup] has no `to`").help("add to = [\"/mnt/nas/backups\"]");
    }
    Backup { to: t.texts("to", sink), keep: t.number("keep", 1..=u16::MAX, sink) }
}

fn node(t: &Table<'_, '_>, sink: &mut Sink) -> Node {
    Node {
        span: t.span.clone(),
        name: t.required("name", "attic", sink),
        address: t.required("address", "192.168.1.20", sink),
        role: t.text("role", sink),
        workloads: t.flag("workloads", sink),
        ssh: login(t, sink),
        host_key: t.text("host-key", sink),
        endpoint: t.text("endpoint", sink),
        listen_port: t.number("listen-port", 1..=u16::MAX, sink),
        site: t.text("site", sink),
        behind_nat: t.flag("behind-nat", sink),
        arch: t.text("arch", sink),
        hostname: t.text("hostname", sink),
        labels: t.map("labels", "[node.labels]", sink),
        taints: t.texts("taints", sink).map(Spanned::into_inner).unwrap_or_default(),
    }
}

fn addon(t: &Table<'_, '_>, sink: &mut Sink) -> Addon {
    let chart = ["chart", "version", "values"].into_iter().find_map(|key| t.get(key));
    Addon {
        name: t.required("name", "metrics-server", sink),
        needs: t.texts("needs", sink).map(Spanned::into_inner).unwrap_or_default(),
        manifests: t.texts("manifests", sink),
        chart: chart.map(Spanned::span),
    }
}
