//! What `homectl status` says, against what the machines say themselves.

use super::Cluster;
use crate::Result;
use crate::scene::ensure;
use crate::shell::Ran;
use serde_json::Value;

/// `status --json` of a cluster of which every machine is up.
pub(crate) fn told(cluster: &Cluster, ran: Ran) -> Result {
    let status: Value = serde_json::from_str(&ran.with(0)?.out).map_err(|error| error.to_string())?;
    let mut wrong = Vec::new();
    let mut hold = |holds: bool, what: String| wrong.extend((!holds).then_some(what));
    let list = |name: &str| status[name].as_array().cloned().unwrap_or_default();
    let version = cluster.kubectl.ok(&["get", "nodes", "-o", "jsonpath={.items[0].status.nodeInfo.kubeletVersion}"])?;
    for node in &cluster.nodes {
        let row = list("nodes").into_iter().find(|n| n["name"] == node.name).unwrap_or_default();
        hold(row["ready"] == true && row["reachable"] == true && row["version"] == version.as_str(), format!("{}: {row}", node.name));
        // A peer that was never heard of has 0 there.
        let heard = cluster.lab.sh(node.name, "wg show wg0 latest-handshakes | awk '$2 > 0' | wc -l")?;
        let links = list("links").into_iter().filter(|l| l["node"] == node.name && l["handshake"].is_u64()).count();
        hold(heard.trim() == links.to_string(), format!("{}: {links} handshakes, wg says {heard}", node.name));
    }
    let planes = cluster.nodes.iter().filter(|n| n.control_plane).count();
    let members = list("etcd");
    hold(members.len() == planes && members.iter().all(|m| m["healthy"] == true), format!("etcd: {members:?}"));
    hold(members.iter().filter(|m| m["leader"] == true).count() == 1, format!("etcd's leader: {members:?}"));
    let certificates = list("certificates");
    let metrics =
        cluster.kubectl.ok(&["get", "secret", "-n", "kube-system", "metrics-server-serving", "--ignore-not-found", "-o", "name"])?;
    let api = if metrics.is_empty() { &[] as &[&str] } else { &["API"] };
    for place in ["operator"].iter().chain(api).copied().chain(cluster.names()) {
        hold(certificates.iter().any(|c| c["node"] == place), format!("no certificate of {place}"));
    }
    let late: Vec<&Value> = certificates.iter().filter(|c| c["days_left"].as_i64().is_none_or(|days| days < 300)).collect();
    hold(late.is_empty(), format!("days left: {late:?}"));
    hold(list("unknown").is_empty(), format!("unknown: {:?}", list("unknown")));
    ensure(wrong.is_empty(), || wrong.join("\n      "))
}
