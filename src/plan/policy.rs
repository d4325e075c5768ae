//! Policy: what touches a running service of a rolling group goes one node at a time, each proven before the next.

use super::diff::disturbs;
use super::model::{Item, PlannedStep};
use crate::steps::{Lane, StepId};
use crate::want::Verdict;
use std::collections::{BTreeMap, BTreeSet};

/// Chains the steps of each rolling group that disturb something running. A fresh start disturbs nothing and so
/// stays parallel: several etcd members must come up together. So does what serves nobody as it is: members whose
/// certificates have all run out find each other only together.
pub(super) fn one_at_a_time(steps: &mut [PlannedStep]) {
    let mut last: BTreeMap<&'static str, StepId> = BTreeMap::new();
    for step in steps.iter_mut() {
        let Some(group) = step.rolling else { continue };
        if !step.items.iter().any(disturbs) || step.items.iter().any(mends) {
            step.rolling = None;
            continue;
        }
        if let Some(before) = last.insert(chain(group), step.id.clone())
            && (before.lane != step.id.lane || group == "apiserver")
        {
            step.after.push(before);
        }
    }
}

/// What brings up the members of etcd on these nodes waits for nobody's turn, and everybody's turn waits for it: with one member that
/// does not answer, no other may be away.
pub(super) fn mended_first(steps: &mut [PlannedStep], mended: &BTreeSet<String>) {
    let is = |id: &StepId| matches!(&id.lane, Lane::Node(node) if mended.contains(node));
    let first: Vec<StepId> = steps.iter().filter(|s| s.acts() && s.id.name == "etcd" && is(&s.id)).map(|s| s.id.clone()).collect();
    for step in steps.iter_mut().filter(|s| s.rolling.is_some_and(|group| chain(group) == CONTROL_PLANE)) {
        if first.contains(&step.id) {
            step.rolling = None;
        } else if step.items.iter().any(disturbs) && !is(&step.id) {
            step.after.extend(first.iter().cloned());
        }
    }
}

/// The group in which a control plane's own services take turns.
const CONTROL_PLANE: &str = "control plane";

/// An API server lives by the member of etcd beside it: while one of the two is away, nobody else's is touched. Nor is it asked to
/// end before that member is back: without it, it finds no end by itself, and systemd would start the member only behind that end.
fn chain(group: &'static str) -> &'static str {
    match group {
        "etcd" | "apiserver" => CONTROL_PLANE,
        other => other,
    }
}

fn mends(item: &Item) -> bool {
    matches!(&item.verdict, Verdict::Change(change) if change.mends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::want::{Act, Change, Impact};

    fn step(node: &str, verdict: Verdict) -> PlannedStep {
        PlannedStep {
            id: StepId::node(node, "etcd"),
            title: "etcd".into(),
            after: Vec::new(),
            items: vec![Item { addr: "unit:etcd.service".into(), verdict, seen: String::new() }],
            ready: None,
            rolling: Some("etcd"),
            aside: false,
        }
    }

    fn restart() -> Verdict {
        Verdict::Change(Change::script(Act::Restart, "x", "x").impact(Impact::Restart(vec!["etcd.service".into()])))
    }

    #[test]
    fn what_disturbs_goes_round_and_what_does_not_waits_for_nobody() {
        let fresh = || Verdict::Change(Change::script(Act::Start, "x", "x"));
        let mut steps = vec![step("a", restart()), step("b", Verdict::Settled("x".into())), step("c", restart()), step("d", restart())];
        one_at_a_time(&mut steps);
        let after = |i: usize| steps[i].after.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!([after(0), after(1), after(2), after(3)], ["", "", "etcd@a", "etcd@c"]);
        assert_eq!(steps[1].rolling, None);
        let mut steps = vec![step("a", fresh()), step("b", fresh())];
        one_at_a_time(&mut steps);
        assert!(steps.iter().all(|s| s.after.is_empty() && s.rolling.is_none()), "a first start comes up together");
    }
    #[test]
    fn a_control_plane_is_whole_before_the_next_is_touched() {
        let api = |node: &str| PlannedStep { id: StepId::node(node, "apiserver"), rolling: Some("apiserver"), ..step(node, restart()) };
        let mut steps = vec![step("a", restart()), api("a"), step("b", restart()), api("b"), api("c")];
        one_at_a_time(&mut steps);
        let after = |i: usize| steps[i].after.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!([after(0), after(1), after(2), after(3), after(4)], ["", "etcd@a", "apiserver@a", "etcd@b", "apiserver@b"]);
    }

    #[test]
    fn who_does_not_answer_comes_up_first() {
        let mut steps = vec![step("a", restart()), step("b", restart()), step("c", restart())];
        mended_first(&mut steps, &BTreeSet::from(["c".to_owned()]));
        one_at_a_time(&mut steps);
        let after = |i: usize| steps[i].after.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!([after(0), after(1), after(2)], ["etcd@c", "etcd@c etcd@a", ""]);
    }

    #[test]
    fn what_serves_nobody_waits_for_nobody() {
        let dead = |node: &str| {
            let mut step = step(node, restart());
            let change = Change::script(Act::Update, "expired", "x").mends(true);
            step.items.push(Item { addr: "certificate:x".into(), verdict: Verdict::Change(change), seen: String::new() });
            step
        };
        let mut steps = vec![dead("a"), dead("b"), step("c", restart())];
        one_at_a_time(&mut steps);
        assert!(steps.iter().all(|s| s.after.is_empty()));
        assert_eq!(steps.iter().map(|s| s.rolling).collect::<Vec<_>>(), [None, None, Some("etcd")]);
    }
}
