//! The same steps, gone: wants absent and reversed, edges turned round. Every verb that removes walks this.

use super::model::{Step, StepId};
use std::collections::BTreeMap;

/// What `reset` walks for what `apply` walked.
#[must_use]
pub fn absent(steps: Vec<Step>) -> Vec<Step> {
    let mut after: BTreeMap<StepId, Vec<StepId>> = BTreeMap::new();
    for step in &steps {
        for needed in &step.after {
            after.entry(needed.clone()).or_default().push(step.id.clone());
        }
    }
    steps
        .into_iter()
        .rev()
        .map(|step| Step {
            after: after.remove(&step.id).unwrap_or_default(),
            wants: step.wants.iter().rev().filter_map(crate::want::Want::absent).collect(),
            ready: None,
            rolling: None,
            aside: false,
            ..step
        })
        .collect()
}
