//! Which etcd cluster the machines are of, for who recovers what is lost: the lock may be lost, too, or older than a restore.

use crate::error::{Failure, Result};
use crate::facts::Facts;
use std::collections::{BTreeMap, BTreeSet};

/// The ID that is to be recorded, if any, and what the operator should know of it; `locked` is what the lock says.
///
/// # Errors
/// Machines that belong neither to the lock's cluster nor all to one.
pub(super) fn live_etcd(facts: &BTreeMap<String, Facts>, locked: Option<&str>) -> Result<(Option<String>, Option<String>)> {
    let said: BTreeSet<&str> = facts.values().filter_map(|f| f.etcd_cluster_id.as_deref()).collect();
    let mut all = said.iter().copied();
    match (locked, all.next(), all.next()) {
        (locked, None, _) => Ok((locked.map(str::to_owned), None)),
        // With others beside it, too: a restore was cut, or somebody missed one. The next verb says which, and needs what is recovered.
        (Some(locked), ..) if said.contains(locked) => Ok((Some(locked.to_owned()), None)),
        (Some(locked), Some(live), None) => Ok((
            Some(live.to_owned()),
            Some(format!(
                "The lock was older than a restore: it said etcd cluster {locked}, the machines all say {live}, and have one authority. That \
                 is what it says now; where it is in version control, commit it."
            )),
        )),
        (None, Some(live), None) => Ok((Some(live.to_owned()), None)),
        (None, ..) => Ok((
            None,
            Some(format!(
                "Which etcd cluster it is was not recorded, for machines say different ones ({}): `homectl plan` tells what that means.",
                of(facts)
            )),
        )),
        (Some(locked), ..) => Err(Failure::refused(format!("the lock says etcd cluster {locked}, and the machines say others"))
            .seen(of(facts))
            .help("is it the right inventory? If it is, move the lock's line etcd-cluster-id out of the way: then this goes on, and `homectl plan` says what became of etcd")),
    }
}

fn of(facts: &BTreeMap<String, Facts>) -> String {
    let said = facts.iter().filter_map(|(name, f)| Some(format!("{name}: {}", f.etcd_cluster_id.as_ref()?)));
    said.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenes::Scene;

    /// Of three control planes that say these: the ID, and whether anything is told.
    fn of_three(locked: Option<&str>, ids: [&str; 3]) -> Result<(Option<String>, bool)> {
        let mut facts = Scene::four().facts;
        for (name, id) in ["attic", "cellar", "garage"].into_iter().zip(ids) {
            facts.get_mut(name).unwrap().etcd_cluster_id = Some(id.to_owned()).filter(|id| !id.is_empty());
        }
        live_etcd(&facts, locked).map(|(id, told)| (id, told.is_some()))
    }

    #[test]
    fn machines_of_one_cluster_are_believed_and_a_lock_that_one_of_them_knows() {
        let table = [
            (Some("old"), ["old", "old", ""], (Some("old"), false)),
            (None, ["new", "new", "new"], (Some("new"), false)),
            (None, ["", "", ""], (None, false)),
            (Some("old"), ["", "", ""], (Some("old"), false)),
            // The lock is from before a restore.
            (Some("old"), ["new", "new", "new"], (Some("new"), true)),
            (Some("old"), ["new", "", ""], (Some("new"), true)),
            // A restore was cut: it goes on with what is recovered, from where the lock is.
            (Some("old"), ["new", "old", "old"], (Some("old"), false)),
            (None, ["new", "old", "old"], (None, true)),
        ];
        for (locked, ids, (id, told)) in table {
            assert_eq!(of_three(locked, ids).unwrap(), (id.map(str::to_owned), told), "{locked:?} {ids:?}");
        }
        let e = of_three(Some("ours"), ["new", "old", "old"]).unwrap_err();
        assert!(e.exit_code() == crate::error::exit::REFUSED && e.evidence()[0].contains("attic: new"), "{e}");
    }
}
