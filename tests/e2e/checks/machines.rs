//! Nodes as the API has them, and the overlay between their machines.

use super::Cluster;
use crate::Result;
use crate::kubectl::condition;
use crate::scene::ensure;
use serde_json::Value;
use std::time::SystemTime;

/// The overlay's range begins with this, in every inventory of the lab.
const OVERLAY: &str = "10.77.0.";

/// Every node is there and Ready, and known by its overlay address; by name, in the order of the list.
pub(crate) fn ready(cluster: &Cluster) -> Result<Vec<(String, String)>> {
    let items = cluster.kubectl.items(&["get", "nodes"])?;
    ensure(items.len() == cluster.nodes.len(), || format!("{} nodes, not {}", items.len(), cluster.nodes.len()))?;
    items.iter().map(node).collect()
}

fn node(node: &Value) -> Result<(String, String)> {
    let name = node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    ensure(condition(node, "Ready") == Some("True"), || format!("{name} is not Ready: {}", node["status"]["conditions"]))?;
    let addresses = node["status"]["addresses"].as_array().cloned().unwrap_or_default();
    let internal: Vec<&str> = addresses.iter().filter(|a| a["type"] == "InternalIP").filter_map(|a| a["address"].as_str()).collect();
    match internal.as_slice() {
        [address] if address.starts_with(OVERLAY) => Ok((name, (*address).to_owned())),
        other => Err(format!("{name} has InternalIP {other:?}, not one of {OVERLAY}0/24")),
    }
}

/// Every kubelet has renewed its lease since: Ready is not a memory.
pub(crate) fn leases_since(cluster: &Cluster, then: SystemTime) -> Result {
    for lease in cluster.kubectl.items(&["get", "leases", "-n", "kube-node-lease"])? {
        let renewed = lease["spec"]["renewTime"].as_str().unwrap_or_default();
        ensure(moment(renewed)? > then, || format!("{} was renewed at {renewed}", lease["metadata"]["name"]))?;
    }
    Ok(())
}

/// A moment as the API writes it.
pub(crate) fn moment(text: &str) -> Result<SystemTime> {
    text.parse::<jiff::Timestamp>().map(SystemTime::from).map_err(|error| format!("'{text}' is no time: {error}"))
}

/// Everything in the system's namespaces runs, as `apply` has waited for it.
pub(crate) fn system_pods(cluster: &Cluster) -> Result {
    let pods = cluster.kubectl.items(&["get", "pods", "-A"])?;
    ensure(!pods.is_empty(), || "there is no pod at all".into())?;
    let not: Vec<String> = pods
        .iter()
        .filter(|pod| condition(pod, "Ready") != Some("True"))
        .map(|pod| format!("{} ({})", pod["metadata"]["name"], pod["status"]["phase"]))
        .collect();
    ensure(not.is_empty(), || format!("not ready: {}", not.join(", ")))
}

/// `wg` on every node, once pods have talked: all others are peers, have shaken hands, and carry their pods' range.
pub(crate) fn overlay(cluster: &Cluster) -> Result {
    for node in cluster.names() {
        let dump = cluster.lab.sh(node, "wg show wg0 dump")?;
        let peers: Vec<Vec<&str>> = dump.lines().skip(1).map(|line| line.split('\t').collect()).collect();
        ensure(peers.len() == cluster.nodes.len() - 1, || format!("{node}: {} peers: {dump}", peers.len()))?;
        for peer in peers {
            let (key, allowed, handshake) = (peer[0], peer[3], peer[4]);
            ensure(handshake != "0", || format!("{node}: no handshake yet with {key}"))?;
            ensure(allowed.contains("10.77.0.") && allowed.contains("/24"), || format!("{node}: allowed for {key}: {allowed}"))?;
        }
    }
    Ok(())
}
