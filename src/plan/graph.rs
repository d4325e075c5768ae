//! Order: topological and stable; a cycle is named.

use super::model::PlannedStep;
use crate::error::{Failure, Result};
use crate::steps::{Lane, StepId};
use std::collections::{BTreeMap, BTreeSet};

/// Orders `steps` so that every edge points backwards; steps of one lane keep their order. Edges to steps that are
/// not there (their node is off) are dropped.
///
/// # Errors
/// A bug: two steps of one name, or a cycle, with the steps in it.
pub(super) fn order(mut steps: Vec<PlannedStep>) -> Result<Vec<PlannedStep>> {
    let ids: Vec<StepId> = steps.iter().map(|s| s.id.clone()).collect();
    let known: BTreeSet<&StepId> = ids.iter().collect();
    if known.len() != ids.len() {
        return Err(Failure::bug("two steps have the same name"));
    }
    let mut needs: BTreeMap<StepId, BTreeSet<StepId>> = BTreeMap::new();
    let mut last: BTreeMap<Lane, StepId> = BTreeMap::new();
    for step in &mut steps {
        step.after.retain(|id| known.contains(id));
        let mut edges: BTreeSet<StepId> = step.after.iter().cloned().collect();
        edges.extend(last.insert(step.id.lane.clone(), step.id.clone()));
        needs.insert(step.id.clone(), edges);
    }
    let mut done: BTreeSet<StepId> = BTreeSet::new();
    let mut out = Vec::with_capacity(steps.len());
    let mut left = steps;
    while !left.is_empty() {
        let Some(next) = left.iter().position(|s| needs[&s.id].is_subset(&done)) else {
            let names: Vec<String> = left.iter().map(|s| s.id.to_string()).collect();
            return Err(Failure::bug(format!("steps wait for each other: {}", names.join(", "))));
        };
        let step = left.remove(next);
        done.insert(step.id.clone());
        out.push(step);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(node: &str, name: &str, after: &[(&str, &str)]) -> PlannedStep {
        PlannedStep {
            id: StepId::node(node, name),
            title: name.into(),
            after: after.iter().map(|(n, s)| StepId::node(n, s)).collect(),
            items: Vec::new(),
            ready: None,
            rolling: None,
        }
    }

    #[test]
    fn edges_cross_lanes_and_lanes_keep_their_order() {
        let steps = vec![step("a", "x", &[("b", "y")]), step("a", "z", &[]), step("b", "x", &[]), step("b", "y", &[("gone", "q")])];
        let names: Vec<String> = order(steps).unwrap().iter().map(|s| s.id.to_string()).collect();
        assert_eq!(names, ["x@b", "y@b", "x@a", "z@a"]);
    }

    #[test]
    fn a_cycle_is_a_bug_that_names_its_steps() {
        let e = order(vec![step("a", "x", &[("b", "y")]), step("b", "y", &[("a", "x")])]).unwrap_err();
        assert!(e.to_string().contains("x@a, y@b"), "{e}");
    }
}
