//! What a plan rests on: of each thing that it would do, what was seen and what would run, as digests. Two plans with
//! the same footing do the same to machines that are the same; no secret can be read from it.

use super::model::{Item, Plan};
use crate::want::{Act, Change, GuardSeen, Inode, Run, Seen, UnitSeen, Verdict};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// What stands under one item that is not settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footing {
    /// What is done; nothing where it is blocked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub act: Option<Act>,
    /// Digest of what runs.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub does: String,
    /// Digest of what was seen.
    pub seen: String,
}

/// Footings by place: `file:/etc/hosts@attic`. What is settled has none: it may change as it likes while it stays so.
pub type Footings = BTreeMap<String, Footing>;

impl Plan {
    /// What this plan rests on.
    #[must_use]
    pub fn footings(&self) -> Footings {
        let items = self.steps.iter().flat_map(|s| s.items.iter().map(move |i| (&s.id.lane, i)));
        items.filter_map(|(lane, item)| Some((format!("{}@{lane}", item.addr), footing(item)?))).collect()
    }
}

/// Where `now` would do something else than `before`, or rests on something else; each with what became of it.
#[must_use]
pub fn moved(before: &Footings, now: &Footings) -> Vec<String> {
    let places: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let tell = |place: &&String| match (before.get(*place), now.get(*place)) {
        (Some(b), Some(n)) if b == n => None,
        (Some(b), Some(n)) if b.does != n.does || b.act != n.act => Some(format!("{place}: something else would be done")),
        (Some(_), Some(_)) => Some(format!("{place}: looks otherwise than when the plan was made")),
        (Some(_), None) => Some(format!("{place}: needs nothing any more")),
        (None, _) => Some(format!("{place}: needs something since")),
    };
    places.iter().filter_map(tell).collect()
}

fn footing(item: &Item) -> Option<Footing> {
    let change = item.verdict.change();
    if matches!(item.verdict, Verdict::Settled(_)) {
        return None;
    }
    let does = change.map(|c| does(&c.run)).unwrap_or_default();
    Some(Footing { act: change.map(|c| c.act), does, seen: item.seen.clone() })
}

/// Digest of what a look saw, as far as a verdict rests on it.
pub(super) fn seen(seen: &Seen, verdict: &Verdict) -> String {
    let lines = |c: &Change| c.lines.join("\n");
    match seen {
        // Of a live object, versions and states change all the time: what would change in it is what counts.
        Seen::Object(Some(_)) | Seen::Applied { .. } => digest(verdict.change().map(lines).unwrap_or_default()),
        // How a test words its evidence, and between which states a unit is that does not run, is no ground.
        Seen::Guard(guard) => digest(format!("{:?}", GuardSeen { output: String::new(), ..guard.clone() })),
        Seen::Unit(unit) if unit.active == "active" => {
            // A timer fires, a service reloads: it runs as before.
            digest(format!("{:?}", UnitSeen { sub: String::new(), changed: 0, ..unit.clone() }))
        }
        Seen::Unit(unit) => {
            let quiet = UnitSeen { active: String::new(), sub: String::new(), started: 0, changed: 0, ..unit.clone() };
            digest(format!("{quiet:?}"))
        }
        Seen::Inode(inode) => digest(format!("{:?}", Inode { text: None, ..inode.clone() })),
        Seen::Held { seen, by } => digest(format!("{} {by:?}", self::seen(seen, verdict))),
        other => digest(format!("{other:?}")),
    }
}

fn does(run: &Run) -> String {
    match run {
        Run::Script(sh) => digest(sh.as_str()),
        Run::Install(program) => digest(format!("{} {}", program.component, program.artifact.sha256)),
        Run::Api(object, present) => digest(format!("{present} {}", object.manifest)),
        Run::Seats(seats) => digest(format!("{seats:?}")),
    }
}

/// Half of a sha256 is enough to tell two things apart.
fn digest(text: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(&Sha256::digest(text)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::want::Unit;

    fn unit(active: &str, sub: &str, changed: i64) -> String {
        let saw = Seen::Unit(UnitSeen { active: active.into(), sub: sub.into(), changed, ..UnitSeen::default() });
        let verdict = crate::want::Want::Unit(Unit::running("x.timer")).diff(&saw);
        seen(&saw, &verdict)
    }

    #[test]
    fn a_timer_that_fires_and_a_unit_that_crashes_are_no_moved_ground() {
        assert_eq!(unit("active", "waiting", 1), unit("active", "running", 2));
        assert_eq!(unit("activating", "auto-restart", 1), unit("failed", "failed", 2));
        assert_ne!(unit("active", "running", 1), unit("failed", "failed", 1));
    }

    #[test]
    fn what_moved_is_told_with_what_became_of_it() {
        let footing = |does: &str, seen: &str| Footing { act: Some(Act::Update), does: does.into(), seen: seen.into() };
        let before =
            Footings::from([("a@x".into(), footing("1", "1")), ("b@x".into(), footing("1", "1")), ("c@x".into(), footing("1", "1"))]);
        let mut now = before.clone();
        assert!(moved(&before, &now).is_empty());
        now.insert("a@x".into(), footing("2", "1"));
        now.insert("b@x".into(), footing("1", "2"));
        now.remove("c@x");
        now.insert("d@x".into(), footing("1", "1"));
        assert_eq!(
            moved(&before, &now),
            [
                "a@x: something else would be done",
                "b@x: looks otherwise than when the plan was made",
                "c@x: needs nothing any more",
                "d@x: needs something since"
            ]
        );
    }
}
