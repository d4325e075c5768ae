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
    let places: BTreeMap<StepId, usize> = steps.iter().enumerate().map(|(i, s)| (s.id.clone(), i)).collect();
    if places.len() != steps.len() {
        return Err(Failure::bug("two steps have the same name"));
    }
    let mut waits = vec![0_usize; steps.len()];
    let mut waited: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    let mut last: BTreeMap<Lane, usize> = BTreeMap::new();
    for (i, step) in steps.iter_mut().enumerate() {
        step.after.retain(|id| places.contains_key(id));
        let mut edges: BTreeSet<usize> = step.after.iter().map(|id| places[id]).collect();
        edges.extend(last.insert(step.id.lane.clone(), i));
        waits[i] = edges.len();
        for before in edges {
            waited[before].push(i);
        }
    }
    // Of those that may come next, the first as given.
    let mut free: BTreeSet<usize> = (0..steps.len()).filter(|i| waits[*i] == 0).collect();
    let mut left: Vec<Option<PlannedStep>> = steps.into_iter().map(Some).collect();
    let mut out = Vec::with_capacity(left.len());
    while let Some(next) = free.pop_first() {
        out.extend(left[next].take());
        for &later in &waited[next] {
            waits[later] -= 1;
            if waits[later] == 0 {
                free.insert(later);
            }
        }
    }
    if out.len() == left.len() {
        return Ok(out);
    }
    let names: Vec<String> = left.iter().flatten().map(|s| s.id.to_string()).collect();
    Err(Failure::bug(format!("steps wait for each other: {}", names.join(", "))))
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
            aside: false,
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
