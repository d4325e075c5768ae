//! Steps and what was seen → a plan: one verdict a want, then the units that must hear of changes.

use super::model::{Item, Plan, PlannedStep};
use super::rollout::Rollout;
use super::{footing, graph, policy};
use crate::error::Result;
use crate::steps::{Lane, Mode, Step, StepId};
use crate::want::{Act, Impact, Run, Seen, Sh, Verdict, Want};
use std::collections::{BTreeMap, BTreeSet};

/// What was seen, one observation a want, by step.
pub type Observed = BTreeMap<StepId, Vec<Seen>>;

/// Compares every want with what was seen and orders the result.
///
/// A want without an observation is *blocked*: nothing is assumed.
///
/// # Errors
/// A bug in the steps: two of one name, or a cycle.
pub fn diff(cluster: &str, mode: Mode, steps: Vec<Step>, observed: &Observed) -> Result<Plan> {
    diff_moving(cluster, mode, steps, observed, &Rollout::default())
}

/// The same, while versions move as `rollout` says.
///
/// # Errors
/// As [`diff`].
pub fn diff_moving(cluster: &str, mode: Mode, steps: Vec<Step>, observed: &Observed, rollout: &Rollout) -> Result<Plan> {
    let mut draft = Draft::default();
    draft.add(steps, observed);
    draft.moving(rollout);
    draft.finish(cluster, mode)
}

/// A plan in the making, lane by lane.
#[derive(Debug, Default)]
pub struct Draft {
    steps: Vec<PlannedStep>,
    /// Whether it is to be looked at only: what would run is let go at once, a thousand machines' scripts are large.
    only_shown: bool,
    /// Whether the lines of what is new are let go, too.
    in_short: bool,
}

impl Draft {
    /// One that nothing can run; `in_short`, of what is new it knows how many lines it has and not which.
    #[must_use]
    pub fn only_shown(in_short: bool) -> Self {
        Self { only_shown: true, in_short, ..Self::default() }
    }

    /// Judges the steps of one lane or more; a lane's come all at once, since its units hear of its changes.
    pub fn add(&mut self, steps: Vec<Step>, observed: &Observed) {
        let mut judged: Vec<Judged> = steps.into_iter().map(|step| judge(step, observed)).collect();
        tell_units(&mut judged, observed);
        found(&mut judged, observed);
        self.steps.extend(judged.into_iter().map(|j| if self.only_shown { j.shown(self.in_short) } else { j.step }));
    }

    /// Takes over what was judged apart.
    pub fn join(&mut self, other: Self) {
        self.steps.extend(other.steps);
    }

    /// Puts all that was added into the order in which versions move.
    pub fn moving(&mut self, rollout: &Rollout) {
        rollout.shape(&mut self.steps);
    }

    /// Nodes on which the step of this name takes something down that runs.
    #[must_use]
    pub fn disturbed(&self, step: &str) -> BTreeSet<String> {
        let hit = self.steps.iter().filter(|s| s.id.name == step && s.items.iter().any(disturbs));
        hit.filter_map(|s| if let Lane::Node(node) = &s.id.lane { Some(node.clone()) } else { None }).collect()
    }

    /// Whether the node's step of this name has something to do.
    #[must_use]
    pub fn acts(&self, node: &str, step: &str) -> bool {
        self.steps.iter().any(|s| s.acts() && s.id == StepId::node(node, step))
    }

    /// The members of etcd on these nodes come up before anything that runs on another control plane is taken down.
    pub fn first(&mut self, mended: &BTreeSet<String>) {
        policy::mended_first(&mut self.steps, mended);
    }

    /// A step that stands already, before all others of its lane that are still to be added.
    pub fn insert(&mut self, step: PlannedStep) {
        self.steps.push(step);
    }

    /// The plan of all that was added.
    ///
    /// # Errors
    /// As [`diff`].
    pub fn finish(mut self, cluster: &str, mode: Mode) -> Result<Plan> {
        policy::one_at_a_time(&mut self.steps);
        let steps = graph::order(self.steps)?;
        let (offline, warnings, ran) = (Vec::new(), Vec::new(), BTreeMap::new());
        Ok(Plan { cluster: cluster.to_owned(), mode, steps, offline, warnings, not_compared: None, ran })
    }
}

/// A step with its verdicts, and the wants that they are on.
struct Judged {
    step: PlannedStep,
    wants: Vec<Want>,
}

impl Judged {
    /// Without what would run.
    fn shown(mut self, in_short: bool) -> PlannedStep {
        for item in &mut self.step.items {
            if let Verdict::Change(change) | Verdict::Deferred { change, .. } = &mut item.verdict {
                if in_short && change.act != Act::Update {
                    change.lines.forget();
                }
                change.run = Run::Script(Sh::new("echo 'this plan is only to be looked at'; exit 1"));
            }
        }
        self.step
    }
}

fn judge(step: Step, observed: &Observed) -> Judged {
    let unseen = Seen::Unknown("it was not looked at".into());
    let seen = observed.get(&step.id);
    let verdict = |(i, want): (usize, &Want)| {
        let verdict = want.diff(seen.and_then(|s| s.get(i)).unwrap_or(&unseen));
        Item { addr: want.addr(), verdict, seen: String::new() }
    };
    let items = step.wants.iter().enumerate().map(verdict).collect();
    let planned = PlannedStep {
        id: step.id,
        title: step.title,
        after: step.after,
        items,
        ready: step.ready,
        rolling: step.rolling,
        aside: step.aside,
    };
    Judged { step: planned, wants: step.wants }
}

/// A unit that runs already restarts (or reloads) when something it reads changes; the reasons stand in the plan.
fn tell_units(judged: &mut [Judged], observed: &Observed) {
    let mut because: BTreeMap<(Lane, String), (Vec<String>, bool)> = BTreeMap::new();
    for Judged { step, wants } in judged.iter() {
        for (item, want) in step.items.iter().zip(wants).filter(|(i, _)| matches!(&i.verdict, Verdict::Change(c) if c.heard)) {
            for notify in want.notifies() {
                let entry = because.entry((step.id.lane.clone(), notify.unit.clone())).or_insert((Vec::new(), true));
                entry.0.push(item.addr.clone());
                entry.1 &= notify.reload;
            }
        }
    }
    for Judged { step, wants } in judged.iter_mut() {
        let seen = observed.get(&step.id);
        for (i, (item, want)) in step.items.iter_mut().zip(wants).enumerate() {
            let Want::Unit(unit) = want else { continue };
            let Some((reasons, reload)) = because.get(&(step.id.lane.clone(), unit.name.clone())) else { continue };
            unit.because.clone_from(reasons);
            unit.reload = *reload;
            if let Some(seen) = seen.and_then(|s| s.get(i)) {
                item.verdict = want.diff(seen);
            }
        }
    }
}

/// Notes what each verdict rests on, where something is to be done.
fn found(judged: &mut [Judged], observed: &Observed) {
    for Judged { step, .. } in judged {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::want::{File, Inode, InodeKind, Unit, UnitSeen};

    /// What is planned for the unit that reads `/etc/x`, of which this was seen.
    fn planned(seen: Inode) -> bool {
        let wants = vec![Want::File(File::text("/etc/x", "a").restarts("x.service")), Want::Unit(Unit::running("x.service"))];
        let id = StepId::node("attic", "x");
        let step = Step { id: id.clone(), title: "x".into(), after: Vec::new(), wants, ready: None, rolling: None, aside: false };
        let running = UnitSeen {
            load: "loaded".into(),
            active: "active".into(),
            file: "enabled".into(),
            fragment: "/etc/systemd/system/x.service".into(),
            ..UnitSeen::default()
        };
        let observed = Observed::from([(id, vec![Seen::Inode(seen), Seen::Unit(running)])]);
        let plan = diff("home", Mode::Present, vec![step], &observed).unwrap();
        assert!(matches!(plan.steps[0].items[0].verdict, Verdict::Change(_)));
        plan.steps[0].items[1].verdict.change().is_some()
    }

    #[test]
    fn a_unit_hears_of_content_and_not_of_modes() {
        let sum = |text: &str| File::text("/etc/x", text).body.and_then(|body| body.sha256());
        let inode = |mode, text| Inode { kind: InodeKind::File, mode, owner: "root:root".into(), sha256: sum(text), text: None };
        assert!(planned(inode(0o644, "b")));
        assert!(!planned(inode(0o600, "a")));
    }
}
