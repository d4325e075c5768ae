//! Steps and what was seen → a plan: one verdict a want, then the units that must hear of changes.

use super::model::{Item, Plan, PlannedStep};
use super::{footing, graph, policy};
use crate::error::Result;
use crate::steps::{Lane, Mode, Step, StepId};
use crate::want::{Impact, Seen, Verdict, Want};
use std::collections::BTreeMap;

/// What was seen, one observation a want, by step.
pub type Observed = BTreeMap<StepId, Vec<Seen>>;

/// Compares every want with what was seen and orders the result.
///
/// A want without an observation is *blocked*: nothing is assumed.
///
/// # Errors
/// A bug in the steps: two of one name, or a cycle.
pub fn diff(cluster: &str, mode: Mode, steps: Vec<Step>, observed: &Observed) -> Result<Plan> {
    let mut planned: Vec<PlannedStep> = steps.into_iter().map(|step| judge(step, observed)).collect();
    tell_units(&mut planned, observed);
    found(&mut planned, observed);
    policy::one_at_a_time(&mut planned);
    let steps = graph::order(planned)?;
    Ok(Plan { cluster: cluster.to_owned(), mode, steps, offline: Vec::new(), warnings: Vec::new() })
}

fn judge(step: Step, observed: &Observed) -> PlannedStep {
    let unseen = Seen::Unknown("it was not looked at".into());
    let seen = observed.get(&step.id);
    let items = step
        .wants
        .into_iter()
        .enumerate()
        .map(|(i, want)| {
            let verdict = want.diff(seen.and_then(|s| s.get(i)).unwrap_or(&unseen));
            Item { addr: want.addr(), want, verdict, seen: String::new() }
        })
        .collect();
    PlannedStep { id: step.id, title: step.title, after: step.after, items, ready: step.ready, rolling: step.rolling }
}

/// A unit that runs already restarts (or reloads) when something it reads changes; the reasons stand in the plan.
fn tell_units(steps: &mut [PlannedStep], observed: &Observed) {
    let mut because: BTreeMap<(Lane, String), (Vec<String>, bool)> = BTreeMap::new();
    for step in steps.iter() {
        for item in step.items.iter().filter(|i| matches!(i.verdict, Verdict::Change(_))) {
            for notify in item.want.notifies() {
                let entry = because.entry((step.id.lane.clone(), notify.unit.clone())).or_insert((Vec::new(), true));
                entry.0.push(item.addr.clone());
                entry.1 &= notify.reload;
            }
        }
    }
    for step in steps.iter_mut() {
        let seen = observed.get(&step.id);
        for (i, item) in step.items.iter_mut().enumerate() {
            let Want::Unit(unit) = &mut item.want else { continue };
            let Some((reasons, reload)) = because.get(&(step.id.lane.clone(), unit.name.clone())) else { continue };
            unit.because.clone_from(reasons);
            unit.reload = *reload;
            if let Some(seen) = seen.and_then(|s| s.get(i)) {
                item.verdict = item.want.diff(seen);
            }
        }
    }
}

/// Notes what each verdict rests on, where something is to be done.
fn found(steps: &mut [PlannedStep], observed: &Observed) {
    for step in steps {
        let Some(seen) = observed.get(&step.id) else { continue };
        for (item, seen) in step.items.iter_mut().zip(seen).filter(|(i, _)| !matches!(i.verdict, Verdict::Settled(_))) {
            item.seen = footing::seen(seen, &item.verdict);
        }
    }
}

/// Whether an item takes something down that runs now.
pub(super) fn disturbs(item: &Item) -> bool {
    item.verdict.change().is_some_and(|c| !matches!(c.impact, Impact::Safe))
}
