//! Units learn what they read: every file, link, certificate and program that notifies one is known to it, so that a run which was cut
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
            let paths = paths(want);
            for notify in want.notifies() {
                let reads = reads.entry((step.id.lane.clone(), notify.unit.clone())).or_default();
                reads.extend(paths.iter().map(|path| (path.clone(), notify.reload)));
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

fn paths(want: &Want) -> Vec<String> {
    match want {
        Want::File(w) => vec![w.path.clone()],
        Want::Guard(w) => w.writes.clone(),
        Want::Leaf(w) => vec![w.path.clone()],
        Want::Link(w) => vec![w.path.clone()],
        Want::Program(w) => w.files().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{fixture::Fixture, node};
    use super::*;

    #[test]
    fn a_service_reads_its_program_and_its_files() {
        let fixture = Fixture::one();
        let steps = acquaint(node(&fixture.ctx("attic")).unwrap());
        let wants = || steps.iter().flat_map(|s| &s.wants);
        let program = wants().find_map(|w| if let Want::Program(p) = w { p.files().find(|f| f.ends_with("/kubelet")) } else { None });
        let unit = wants().find_map(|w| if let Want::Unit(u) = w { (u.name == "kubelet.service").then_some(u) } else { None });
        let reads: Vec<&str> = unit.unwrap().reads.iter().map(|(path, _)| path.as_str()).collect();
        for path in [program.unwrap().as_str(), "/opt/homectl/bin/kubelet", "/var/lib/kubelet/config.yaml"] {
            assert!(reads.contains(&path), "{path}: {reads:?}");
        }
    }
}
