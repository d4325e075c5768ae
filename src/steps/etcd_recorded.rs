//! Which etcd cluster each control plane says that it belongs to: one and the same, or what a restore has to do with it that it is not.

use crate::cluster::Node;
use crate::error::{Failure, Result};
use crate::facts::{Facts, Origin};

/// What each control plane is called, and what it says.
type Seen<'a> = [(&'a Node, &'a Facts)];

/// All that is recorded is one and the same cluster, `known` by the lock, and no restore is half-way.
///
/// # Errors
/// A refusal that names the machine and the way out.
pub(super) fn one_cluster(known: Option<&str>, seen: &Seen) -> Result<()> {
    aside(known, seen)?;
    let recorded: Vec<(&str, &str)> = seen.iter().filter_map(|(n, f)| Some((n.name.as_str(), f.etcd_cluster_id.as_deref()?))).collect();
    let Some(expected) = known.or_else(|| recorded.first().map(|(_, id)| *id)) else { return Ok(()) };
    let Some((node, other)) = recorded.iter().find(|(_, id)| *id != expected) else { return Ok(()) };
    let whose = if known.is_some() { "the inventory's lock says" } else { "another control plane says" };
    let refused = Failure::refused(format!("it belongs to etcd cluster {other}, {whose} {expected}")).on(*node);
    // All that answer are of one cluster, and it is the lock that is alone.
    if recorded.iter().all(|(_, id)| id == other) {
        let refused = match origins(seen).find(|(_, o)| o.id == *other) {
            Some(made) => refused.seen(told(made)),
            None => refused,
        };
        return Err(refused.help(
            "every control plane that answers says so: the lock is older than a restore. Pull it from where it was committed; where nobody \
             has it, run the same `homectl restore` again: it is known to be done, and is recorded",
        ));
    }
    if let Some(half) = half_way(known, seen) {
        let before: Vec<&str> = recorded.iter().filter(|(_, id)| *id != half.1.id).map(|(name, _)| *name).collect();
        return Err(Failure::refused("a restore has ended on some control planes, and not on others")
            .on(half.0)
            .seen(told(half))
            .seen(format!("not of that cluster: {}", before.join(", ")))
            .help(
                "run the same `homectl restore` again: what is done is not done twice, and then it is recorded. Nothing has to be freed, \
                 nor reset. If something else is to be restored, restore that: it takes the place of this one",
            ));
    }
    // The lock knows of the restore, and this machine does not.
    if let Some(missed) = origins(seen).find(|(_, o)| known == Some(o.id.as_str()) && o.before.as_deref() == Some(other)) {
        return Err(refused.seen(told(missed)).help(
            "it has missed a restore: what it has is of the cluster before. Let it come in anew; on it: systemctl disable --now etcd kube-apiserver && \
             rm -r /var/lib/etcd/member /var/lib/homectl/etcd-cluster-id; then this again",
        ));
    }
    Err(refused.help(
        "this machine was part of another cluster: free it with that cluster's inventory (homectl reset), or take it out of this one",
    ))
}

/// Machines whose cluster comes from a restore, and what they noted of it.
fn origins<'a>(seen: &'a Seen) -> impl Iterator<Item = (&'a str, &'a Origin)> {
    seen.iter().filter_map(|(n, f)| Some((n.name.as_str(), f.etcd_origin.as_ref()?)))
}

fn told((node, origin): (&str, &Origin)) -> String {
    format!("{node} has what was restored of: {}", origin.title)
}

/// A machine that is where a restore leads, while others are still where it began, as far as the lock or they themselves know.
fn half_way<'a>(known: Option<&str>, seen: &'a Seen) -> Option<(&'a str, &'a Origin)> {
    let began = |o: &Origin| match known {
        Some(known) => o.before.as_deref() == Some(known),
        None => seen.iter().any(|(_, f)| f.etcd_cluster_id.is_some() && f.etcd_cluster_id == o.before),
    };
    origins(seen).find(|(_, o)| began(o))
}

/// A restore was cut while it replaced a member's data: only it may go on there.
fn aside(known: Option<&str>, seen: &Seen) -> Result<()> {
    let Some((node, folder)) = seen.iter().find_map(|(n, f)| Some((n, f.etcd_aside.as_ref()?))) else { return Ok(()) };
    let refused = Failure::refused("a restore was cut off here while it replaced etcd's data").on(&node.name);
    let again = "run the same homectl restore again: it goes on";
    if folder == RESTORED {
        return Err(refused.seen(format!("what was restored is whole, in {folder}; it is not in its place yet")).help(again));
    }
    let refused = refused.seen(format!("what was there is whole, in {folder}; nothing is in its place yet"));
    // Where one machine is of the new cluster already, by its record, the cluster before is no more to be had by a rename.
    if seen.iter().any(|(_, f)| f.etcd_cluster_id.as_deref() != known) {
        return Err(refused.help(again));
    }
    Err(refused.help(format!(
        "{again}; or, to have the cluster of before: on it, mv {folder} /var/lib/etcd/member && rm -rf /var/lib/etcd/aside {RESTORED}, then homectl apply"
    )))
}

/// What a restore has made, until it is in its place.
const RESTORED: &str = "/var/lib/etcd/restored";

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    const OLD: &str = "0123456789abcdef";
    const NEW: &str = "fedcba9876543210";

    fn origin() -> Origin {
        Origin { id: NEW.into(), revision: 7, before: Some(OLD.into()), title: "Monday (from monday.age)".into() }
    }

    /// What is said where the three control planes have these records; whether the new one's restore is noted.
    fn said(known: Option<&str>, ids: [&str; 3], noted: bool) -> Failure {
        let mut fixture = Fixture::four();
        for (name, id) in ["attic", "cellar", "garage"].into_iter().zip(ids) {
            let facts = fixture.facts.get_mut(name).unwrap();
            (facts.etcd_data, facts.etcd_cluster_id) = (true, Some(id.to_owned()));
            facts.etcd_origin = (noted && id == NEW).then(origin);
        }
        let seen: Vec<(&Node, &Facts)> = fixture.cluster.control_planes().map(|n| (n, &fixture.facts[&n.name])).collect();
        one_cluster(known, &seen).unwrap_err()
    }

    #[test]
    fn a_lock_from_before_a_restore_is_no_reason_to_free_a_machine() {
        let behind = said(Some(OLD), [NEW; 3], true);
        let remedy = behind.remedy().unwrap();
        assert!(remedy.contains("the lock is older than a restore") && !remedy.contains("homectl reset"), "{behind}");
        assert!(behind.evidence()[0].contains("monday.age"), "{behind}");
        // Of a restore that noted nothing of itself, too.
        assert!(said(Some(OLD), [NEW; 3], false).remedy().unwrap().contains("the lock is older than a restore"));
    }

    #[test]
    fn a_restore_that_was_cut_is_gone_on_with_and_nothing_is_freed() {
        for (known, ids) in [(Some(OLD), [NEW, OLD, OLD]), (Some(OLD), [OLD, NEW, NEW]), (None, [OLD, NEW, OLD]), (None, [NEW, OLD, OLD])] {
            let cut = said(known, ids, true);
            let (what, remedy) = (cut.what(), cut.remedy().unwrap());
            assert!(what.contains("ended on some control planes"), "{cut}");
            assert!(remedy.contains("run the same `homectl restore` again") && !remedy.contains("homectl reset"), "{cut}");
            assert!(cut.evidence()[0].contains("Monday"), "{cut}");
        }
    }

    #[test]
    fn one_that_missed_a_restore_comes_in_anew_and_a_strange_one_is_freed() {
        let missed = said(Some(NEW), [NEW, OLD, NEW], true);
        assert_eq!(missed.node(), Some("cellar"));
        assert!(missed.remedy().unwrap().contains("missed a restore") && missed.remedy().unwrap().contains("rm -r /var/lib/etcd/member"));
        let strange = said(Some(NEW), [NEW, "00000000deadbeef", NEW], true);
        assert!(strange.remedy().unwrap().contains("homectl reset"), "{strange}");
        assert!(said(Some(OLD), [OLD, NEW, OLD], false).remedy().unwrap().contains("homectl reset"));
    }

    /// The first machine was cut with its data moved into `folder`; the others have these records, and the lock knows the old.
    fn cut(folder: &str, ids: [&str; 3]) -> Failure {
        let mut fixture = Fixture::four();
        for (name, id) in ["attic", "cellar", "garage"].into_iter().zip(ids) {
            let facts = fixture.facts.get_mut(name).unwrap();
            (facts.etcd_data, facts.etcd_cluster_id) = (true, Some(id.to_owned()));
        }
        fixture.facts.get_mut("attic").unwrap().etcd_aside = Some(folder.into());
        fixture.cluster.etcd_cluster_id = Some(OLD.into());
        super::super::check_etcd(&fixture.cluster, &fixture.facts, Some("ca")).unwrap_err()
    }

    #[test]
    fn what_a_restore_has_moved_aside_is_not_lost() {
        let e = cut("/var/lib/etcd/before-1", [OLD; 3]);
        assert_eq!((e.exit_code(), e.node()), (crate::error::exit::REFUSED, Some("attic")));
        assert!(e.remedy().unwrap().contains("homectl restore again") && e.remedy().unwrap().contains("mv /var/lib/etcd/before-1"), "{e}");
        // The new cluster is recorded somewhere: there is no way back by hand.
        for ids in [[NEW, OLD, OLD], [OLD, NEW, OLD]] {
            let e = cut("/var/lib/etcd/before-1", ids);
            assert!(e.remedy().unwrap().contains("homectl restore again") && !e.remedy().unwrap().contains("mv "), "{e}");
        }
        let e = cut(RESTORED, [NEW, OLD, OLD]);
        assert!(e.evidence()[0].contains("what was restored is whole") && !e.remedy().unwrap().contains("mv "), "{e}");
    }
}
