//! What must not happen to an etcd cluster: a second one founded beside it, or members mixed. Judged from facts, before anything is planned.

use super::etcd::{members, token};
use crate::cluster::Cluster;
use crate::error::{Failure, Result};
use crate::facts::Facts;
use sha1::{Digest, Sha1};
use std::collections::{BTreeMap, BTreeSet};

/// The ID, 16 hex digits, that etcd gives a cluster founded by today's control planes: it follows from their peer addresses
/// and the token. `etcd_ca` is the authority's PEM.
#[must_use]
pub fn founding_id(cluster: &Cluster, etcd_ca: &str) -> String {
    let token = token(cluster, etcd_ca);
    let first8 = |bytes: &[u8]| <[u8; 8]>::try_from(&Sha1::digest(bytes)[..8]).unwrap_or_default();
    let ids: BTreeSet<[u8; 8]> = members(cluster).map(|(_, url)| first8(format!("{url}{token}").as_bytes())).collect();
    data_encoding::HEXLOWER.encode(&first8(&ids.into_iter().flatten().collect::<Vec<u8>>()))
}

/// Refuses what would found a second cluster or mix two: `facts` of every node that answered, `etcd_ca` in PEM.
///
/// # Errors
/// A refusal that names the machines and the way out.
pub fn check(cluster: &Cluster, facts: &BTreeMap<String, Facts>, etcd_ca: &str) -> Result<()> {
    let seen: Vec<(&str, &Facts)> = cluster.control_planes().filter_map(|n| facts.get(&n.name).map(|f| (n.name.as_str(), f))).collect();
    let (with, without): (Vec<_>, Vec<_>) = seen.iter().partition(|(_, f)| f.etcd_data);
    let (with, without) = (names(&with), names(&without));
    let recorded: BTreeMap<&str, &str> = seen.iter().filter_map(|(name, f)| Some((*name, f.etcd_cluster_id.as_deref()?))).collect();
    let known = cluster.etcd_cluster_id.as_deref();
    one_cluster(known, &recorded)?;
    if without.is_empty() {
        return Ok(());
    }
    match known {
        Some(id) if with.is_empty() => Err(lost(id, &without)),
        Some(id) => Err(joining(id, &with, &without)),
        None => founded_by_others(&recorded, &founding_id(cluster, etcd_ca), &without),
    }
}

/// All that is recorded is one and the same cluster.
fn one_cluster(known: Option<&str>, recorded: &BTreeMap<&str, &str>) -> Result<()> {
    let Some(expected) = known.or_else(|| recorded.values().next().copied()) else { return Ok(()) };
    let Some((node, other)) = recorded.iter().find(|(_, id)| **id != expected) else { return Ok(()) };
    let whose = if known.is_some() { "the inventory's lock says" } else { "another control plane says" };
    Err(Failure::refused(format!("it belongs to etcd cluster {other}, {whose} {expected}")).on(*node).help(
        "this machine was part of another cluster: free it with that cluster's inventory (homectl reset), or take it out of this one",
    ))
}

fn lost(id: &str, without: &str) -> Failure {
    Failure::refused(format!("etcd cluster {id} was founded, but no control plane that answers has its data ({without})"))
        .seen("going on would found a new, empty cluster in its place")
        .help("restore a snapshot (homectl restore), bring back the machine that has the data, or, if it may be forgotten, run homectl reset and begin again")
}

fn joining(id: &str, with: &str, without: &str) -> Failure {
    Failure::refused(format!("etcd cluster {id} lives on {with}; {without} would have to join it"))
        .seen(format!("no data in /var/lib/etcd on {without}"))
        .help("a control plane joins a living cluster by homectl add-node, and comes back empty by homectl replace-node")
}

/// Not known to us yet: an interrupted foundation may go on, a cluster with other members may not be founded once more.
fn founded_by_others(recorded: &BTreeMap<&str, &str>, ours: &str, without: &str) -> Result<()> {
    let Some((node, id)) = recorded.iter().find(|(_, id)| **id != ours) else { return Ok(()) };
    Err(Failure::refused(format!(
        "etcd cluster {id} was founded with other members than the inventory has; {without} would found a second one"
    ))
    .on(*node)
    .help("apply the inventory it was founded with once more, so that it is known; then homectl add-node"))
}

fn names(of: &[&(&str, &Facts)]) -> String {
    of.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
