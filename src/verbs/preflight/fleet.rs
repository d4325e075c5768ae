//! What shows only when machines are compared with each other: clones, names, clocks.

use super::finding::Findings;
use super::reading::Reading;
use crate::cluster::{Cluster, HostnamePolicy, Node};
use crate::error::Failure;
use crate::facts::Facts;
use std::collections::BTreeMap;

/// Seconds between the slowest and the fastest clock that are worth a word; answers are whole seconds, and take a while.
const APART: i64 = 3;

/// The same machine under two names, a cloned disk, names that clash, clocks that differ.
pub(super) fn compare(cluster: &Cluster, facts: &BTreeMap<String, Facts>, found: &mut Findings) {
    let asked: Vec<(&Node, &Facts)> = cluster.nodes.iter().filter_map(|n| Some((n, facts.get(&n.name)?))).collect();
    let ids = asked.iter().filter(|(_, f)| !f.machine_id.is_empty()).map(|(n, f)| (*n, f.machine_id.as_str()));
    for (node, first, id) in twins(ids) {
        let twin = Failure::failed(format!("it has the same machine-id as {}", first.name)).seen(id).help(
            "either both addresses lead to one machine, or a disk was cloned; then, on one of them: rm /etc/machine-id && systemd-machine-id-setup, and reboot",
        );
        found.fail("identity", &node.name, twin);
    }
    let kept = asked.iter().filter(|(n, _)| n.hostname == HostnamePolicy::Keep).map(|(n, f)| (*n, f.hostname.as_str()));
    for (node, first, name) in twins(kept) {
        let twin = Failure::failed(format!("it has the same hostname as {}", first.name))
            .seen(name)
            .help("Kubernetes knows machines by their names: leave out hostname = \"keep\", or give one of them another (hostnamectl set-hostname)");
        found.fail("identity", &node.name, twin);
    }
    clocks(&asked, found);
}

/// Machines of one site with the same network card: a cloned virtual machine.
pub(super) fn cards(cluster: &Cluster, facts: &BTreeMap<String, Facts>, readings: &BTreeMap<String, Reading>, found: &mut Findings) {
    let mut seen: BTreeMap<(Option<&str>, &str), &Node> = BTreeMap::new();
    for node in &cluster.nodes {
        let Some(reading) = readings.get(&node.name) else { continue };
        for (card, mac) in &reading.cards {
            let first = *seen.entry((node.site.as_deref(), mac)).or_insert(node);
            let id = |n: &Node| facts.get(&n.name).map(|f| f.machine_id.as_str());
            // The same machine-id is told already.
            if first.name != node.name && id(first) != id(node) {
                let twin = Failure::failed(format!("its network card has the same address as one of {}", first.name))
                    .seen(format!("{card} {mac}"))
                    .help("switches and routers mix the two machines up: give one of the virtual machines a new MAC address");
                found.fail("identity", &node.name, twin);
            }
        }
    }
}

/// Those whose key somebody before them has, with that one.
fn twins<'a>(keys: impl Iterator<Item = (&'a Node, &'a str)>) -> Vec<(&'a Node, &'a Node, &'a str)> {
    let mut seen: BTreeMap<&str, &Node> = BTreeMap::new();
    let mut twins = Vec::new();
    for (node, key) in keys {
        match seen.get(key) {
            Some(first) => twins.push((node, *first, key)),
            None => drop(seen.insert(key, node)),
        }
    }
    twins
}

/// Clocks that are right enough for us, but not for each other.
fn clocks(asked: &[(&Node, &Facts)], found: &mut Findings) {
    let right = || asked.iter().filter(|(_, f)| f.skew.abs() <= super::machine::SKEW);
    let (Some(slow), Some(fast)) = (right().min_by_key(|(_, f)| f.skew), right().max_by_key(|(_, f)| f.skew)) else { return };
    let apart = fast.1.skew - slow.1.skew;
    if apart >= APART {
        let warning = Failure::failed(format!("its clock is {apart} s ahead of that of {}", slow.0.name))
            .help("logs, leases and certificates suffer: turn on time synchronisation on both (timedatectl set-ntp true)");
        found.warn("clock", &fast.0.name, warning);
    }
}
