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
    id_of(members(cluster).map(|(_, url)| url), &token(cluster, etcd_ca))
}

/// As etcd computes it: a member's ID from its peer address and the token, the cluster's from its members' in order.
fn id_of(urls: impl Iterator<Item = String>, token: &str) -> String {
    let first8 = |bytes: &[u8]| <[u8; 8]>::try_from(&Sha1::digest(bytes)[..8]).unwrap_or_default();
    let ids: BTreeSet<[u8; 8]> = urls.map(|url| first8(format!("{url}{token}").as_bytes())).collect();
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
        .help("bring back the machine that has the data, or restore a snapshot (/var/lib/homectl/snapshots, `etcdutl snapshot restore`); if it may be forgotten, run homectl reset and begin again")
}

fn joining(id: &str, with: &str, without: &str) -> Failure {
    Failure::refused(format!("etcd cluster {id} lives on {with}; {without} would have to join it"))
        .seen(format!("no data in /var/lib/etcd on {without}"))
        .help("this homectl does not join a control plane to a living cluster: make it a worker, or take it out of the inventory")
}

/// Not known to us yet: an interrupted foundation may go on, a cluster with other members may not be founded once more.
fn founded_by_others(recorded: &BTreeMap<&str, &str>, ours: &str, without: &str) -> Result<()> {
    let Some((node, id)) = recorded.iter().find(|(_, id)| **id != ours) else { return Ok(()) };
    Err(Failure::refused(format!(
        "etcd cluster {id} was founded with other members than the inventory has; {without} would found a second one"
    ))
    .on(*node)
    .help("apply the inventory it was founded with once more, so that it is known"))
}

fn names(of: &[&(&str, &Facts)]) -> String {
    of.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    /// Made with etcd 3.6.16: `home-…` and three peers.
    #[test]
    fn the_founding_id_is_etcds() {
        let url = |n: u8| format!("https://10.77.0.{n}:2380");
        assert_eq!(id_of((1..=3).map(url), "home-0123456789ab"), "905ec495eb90d0b9");
        assert_eq!(id_of((1..=1).map(url), "home-3b71f4b650eb"), "244b020c19ef35c9");
    }

    /// The verdict on four (three control planes) with `id:data` for each: `-` no data, `=` data, a letter: recorded too.
    fn verdict(known: Option<&str>, state: &str) -> String {
        let mut fixture = Fixture::four();
        let ca = fixture.secrets.etcd_ca.cert.clone();
        let ours = founding_id(&fixture.cluster, &ca);
        let id = |c: char| if c == 'o' { ours.clone() } else { c.to_string().repeat(16) };
        fixture.cluster.etcd_cluster_id = known.and_then(|k| k.chars().next()).map(id);
        for (name, c) in ["attic", "cellar", "garage"].into_iter().zip(state.chars()) {
            if c == '?' {
                fixture.facts.remove(name);
                continue;
            }
            let facts = fixture.facts.get_mut(name).unwrap();
            (facts.etcd_data, facts.etcd_cluster_id) = (c != '-', (!"-=".contains(c)).then(|| id(c)));
        }
        match check(&fixture.cluster, &fixture.facts, &ca) {
            Ok(()) => "ok".into(),
            Err(e) => {
                assert_eq!(e.exit_code(), crate::error::exit::REFUSED);
                assert!(e.remedy().is_some());
                format!("{}{}", e.node().map(|n| format!("{n}: ")).unwrap_or_default(), e.what())
            }
        }
    }

    #[test]
    fn table() {
        let table = [
            // Fresh, founded, and everything between the two.
            (None, "---", "ok"),
            (None, "--?", "ok"),
            (None, "=--", "ok"),
            (None, "o--", "ok"),
            (None, "ooo", "ok"),
            (None, "===", "ok"),
            (Some("o"), "ooo", "ok"),
            (Some("o"), "o=o", "ok"),
            (Some("o"), "o?o", "ok"),
            // Grown since: its ID is no longer what its members would be founded with.
            (Some("a"), "aaa", "ok"),
            (None, "aaa", "ok"),
            // Another cluster's data.
            (Some("o"), "oob", "garage: it belongs to etcd cluster bbbbbbbbbbbbbbbb, the inventory's lock says"),
            (None, "ab=", "cellar: it belongs to etcd cluster bbbbbbbbbbbbbbbb, another control plane says aaaaaaaaaaaaaaaa"),
            // Lost, and joining.
            (
                Some("a"),
                "---",
                "etcd cluster aaaaaaaaaaaaaaaa was founded, but no control plane that answers has its data (attic, cellar, garage)",
            ),
            (
                Some("a"),
                "?--",
                "etcd cluster aaaaaaaaaaaaaaaa was founded, but no control plane that answers has its data (cellar, garage)",
            ),
            (Some("a"), "aa-", "etcd cluster aaaaaaaaaaaaaaaa lives on attic, cellar; garage would have to join it"),
            // One control plane that was a cluster of its own, and an inventory that grew before that was recorded.
            (
                None,
                "a--",
                "attic: etcd cluster aaaaaaaaaaaaaaaa was founded with other members than the inventory has; cellar, garage would",
            ),
        ];
        for (known, state, expected) in table {
            let said = verdict(known, state);
            assert!(said.starts_with(expected), "{known:?} {state}: {said}");
        }
    }
}
