//! Units learn what they read: every file, link and certificate that notifies one is known to it, so that a run which was cut
//! between a file and its restart is seen by the next.

use super::model::{Lane, Step};
use crate::want::Want;
use std::collections::BTreeMap;

/// Fills in what each unit reads.
#[must_use]
pub fn acquaint(mut steps: Vec<Step>) -> Vec<Step> {
    let mut reads: BTreeMap<(Lane, String), Vec<(String, bool)>> = BTreeMap::new();
    for step in &steps {
        for want in &step.wants {
            let Some(path) = path(want) else { continue };
            for notify in want.notifies() {
                reads.entry((step.id.lane.clone(), notify.unit.clone())).or_default().push((path.to_owned(), notify.reload));
            }
        }
    }
    for step in &mut steps {
        let lane = step.id.lane.clone();
        for want in &mut step.wants {
            if let Want::Unit(unit) = want {
                unit.reads = reads.remove(&(lane.clone(), unit.name.clone())).unwrap_or_default();
            }
        }
    }
    steps
}

fn path(want: &Want) -> Option<&str> {
    match want {
        Want::File(w) => Some(&w.path),
        Want::Leaf(w) => Some(&w.path),
        Want::Link(w) => Some(&w.path),
        _ => None,
    }
}
