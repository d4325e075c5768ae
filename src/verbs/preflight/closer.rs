//! The closer look itself: one script on each machine, all at once.

use super::finding::Findings;
use super::reading::{self, Reading};
use super::{fleet, ground, reach};
use crate::cluster::{Cluster, Node};
use crate::error::Failure;
use crate::facts::Facts;
use crate::report::Link;
use crate::ssh::Connection;
use data_encoding::HEXLOWER;
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SCRIPT: &str = include_str!("look.sh");
/// How long one machine may take; its parts have limits of their own.
const PATIENCE: Duration = Duration::from_secs(45);

/// What came of it.
#[derive(Debug, Default)]
pub(in crate::verbs) struct Closer {
    pub(in crate::verbs) findings: Findings,
    pub(in crate::verbs) readings: BTreeMap<String, Reading>,
    /// Every pair of machines that were looked at.
    pub(in crate::verbs) links: Vec<Link>,
}

impl Reading {
    /// Milliseconds that a small write takes until it is on the disk, where that was measured.
    pub(in crate::verbs) fn fsync_ms(&self) -> Option<f64> {
        self.fsync.as_ref().map(|f| Duration::from_micros(f.mean).as_secs_f64() * 1000.0)
    }
}

/// Looks closer at every machine in `hosts`: a few kilobytes are written and removed on control planes, and datagrams go
/// between all of them. `keys` are the nodes' names by their WireGuard's public key; without them the machines' own word is taken.
pub(in crate::verbs) async fn look(
    cluster: &Cluster,
    facts: &BTreeMap<String, Facts>,
    hosts: &BTreeMap<String, Connection>,
    keys: Option<BTreeMap<String, String>>,
) -> Closer {
    let nodes: Vec<&Node> = cluster.nodes.iter().filter(|n| hosts.contains_key(&n.name)).collect();
    let nonce = HEXLOWER.encode(&rand::random::<[u8; 8]>());
    // Where both are of the cluster already, their handshakes tell.
    let ours: BTreeSet<&str> = facts.iter().filter(|(_, f)| f.is_of(&cluster.name)).map(|(n, _)| n.as_str()).collect();
    let asks = nodes.iter().map(|node| {
        let is_old = |name: &str| ours.contains(node.name.as_str()) && ours.contains(name);
        let peers: Vec<&Node> = nodes.iter().copied().filter(|p| !is_old(&p.name)).collect();
        let script = script(cluster, node, &peers, &nonce);
        async move { (*node, ask(&hosts[&node.name], &script).await) }
    });
    let mut closer = Closer::default();
    for (node, reading) in join_all(asks).await {
        match reading {
            Ok(reading) => drop(closer.readings.insert(node.name.clone(), reading)),
            Err(why) => {
                let unread = Failure::failed("it could not be looked at closely").seen(why).help("run `homectl check` again");
                closer.findings.warn("system", &node.name, unread);
            }
        }
    }
    for node in &nodes {
        if let (Some(f), Some(reading)) = (facts.get(&node.name), closer.readings.get(&node.name)) {
            ground::judge(cluster, node, f, reading, &mut closer.findings);
        }
    }
    fleet::cards(cluster, facts, &closer.readings, &mut closer.findings);
    let own = |(node, reading): (&String, &Reading)| Some((reading.key.clone()?, node.clone()));
    let keys = keys.unwrap_or_else(|| closer.readings.iter().filter_map(own).collect());
    closer.links = reach::judge(cluster, &closer.readings, &ours, &keys, &mut closer.findings);
    closer
}

/// What one machine is asked: the probe of the overlay runs beside the rest.
pub(super) fn script(cluster: &Cluster, node: &Node, peers: &[&Node], nonce: &str) -> String {
    let measure = if node.is_control_plane() { "yes" } else { "no" };
    let names = ground::wanted(cluster, node).join(" ");
    format!("{}names='{names}' measure={measure}\n{SCRIPT}", reach::script(node, peers, nonce))
}

async fn ask(host: &Connection, script: &str) -> Result<Reading, String> {
    match tokio::time::timeout(PATIENCE, host.run(script, &mut |_| ())).await {
        Ok(Ok(reply)) => reading::parse(&reply.output),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
