//! Policy: what touches a running service of a rolling group goes one node at a time, each proven before the next.

use super::diff::disturbs;
use super::model::PlannedStep;
use crate::steps::StepId;
use std::collections::BTreeMap;

/// Chains the steps of each rolling group that disturb something running. A fresh start disturbs nothing and so
/// stays parallel: several etcd members must come up together.
pub(super) fn one_at_a_time(steps: &mut [PlannedStep]) {
    let mut last: BTreeMap<&'static str, StepId> = BTreeMap::new();
    for step in steps.iter_mut() {
        let Some(group) = step.rolling else { continue };
        if !step.items.iter().any(disturbs) {
            step.rolling = None;
            continue;
        }
        if let Some(before) = last.insert(group, step.id.clone()) {
            step.after.push(before);
        }
    }
}
