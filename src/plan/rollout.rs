//! How versions move: a snapshot first, API servers one after the other, then their controllers, then kubelets, nodes emptied
//! before a minor version and given back behind it. All of it is edges and a few steps more in the one plan.

use super::diff::disturbs;
use super::model::{Item, PlannedStep};
use crate::kube::Leaving;
use crate::steps::{self, Lane, StepId};
use crate::want::{Change, Seats, Verdict};
use semver::Version;
use std::collections::{BTreeMap, BTreeSet};

/// Name of the step that takes a snapshot of etcd before something that cannot be taken back.
pub const SNAPSHOT: &str = "snapshot-before";
/// Steps of a control plane that come before any kubelet, in upstream's order.
const SERVERS: [&str; 1] = ["apiserver"];
const CONTROLLERS: [&str; 2] = ["controller-manager", "scheduler"];
/// What a node runs pods with: from the first of these on, its steps wait until it is empty.
const NODE: [&str; 5] = ["runtime", "cni", "kubelet", "kube-proxy", "kube-router"];
/// Whether a step of this name runs a program of the release on a machine, and whether that is one of a control plane's own services.
#[must_use]
pub fn runs_release(step: &str) -> Option<bool> {
    let own = SERVERS.contains(&step) || CONTROLLERS.contains(&step) || step == "etcd";
    (own || NODE.contains(&step)).then_some(own)
}

/// The first step of the API: what everything there rests on.
const FOUNDATION: &str = "bootstrap";

/// A node whose Kubernetes version changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub node: String,
    pub control_plane: bool,
    /// What its kubelet is now.
    pub from: Version,
}

/// The moves of one plan. By default nothing moves.
#[derive(Debug, Clone, Default)]
pub struct Rollout {
    /// By number; nothing where no version changes.
    pub moves: Vec<Move>,
    /// What all of them are to be.
    pub to: Option<Version>,
    /// How many workers may be empty at a time; at least 1.
    pub at_once: usize,
    /// Whether a snapshot of etcd is taken first.
    pub snapshot: bool,
    /// Whether there is another node for pods to go to.
    pub elsewhere: bool,
    /// What draining each node would mean, where that could be asked.
    pub leaving: BTreeMap<String, Leaving>,
    /// Nodes that homectl keeps pods away from, since some run was cut off.
    pub cordoned: BTreeSet<String>,
}

impl Rollout {
    /// Nodes that are emptied: those that change the minor version, where their pods have somewhere to go. Control planes first.
    fn drains(&self) -> Vec<&Move> {
        let Some(to) = self.to.as_ref().filter(|_| self.elsewhere) else { return Vec::new() };
        let mut all: Vec<&Move> = self.moves.iter().filter(|m| (m.from.major, m.from.minor) != (to.major, to.minor)).collect();
        all.sort_by_key(|m| !m.control_plane);
        all
    }

    /// Names of the nodes that [`Rollout::shape`] would empty.
    #[must_use]
    pub fn emptied(&self) -> Vec<&str> {
        self.drains().iter().map(|m| m.node.as_str()).collect()
    }

    /// What people should know before: what each drain would lose.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let of = |m: &&Move| self.leaving.get(&m.node).map(|l| (m.node.clone(), l.losses.clone()));
        self.drains()
            .iter()
            .filter_map(of)
            .flat_map(|(node, losses)| losses.into_iter().map(move |l| format!("{node} will be emptied; {l}")))
            .collect()
    }

    /// Puts the steps into the order of an upgrade, and the snapshot, drains and returns among them.
    pub(super) fn shape(&self, all: &mut Vec<PlannedStep>) {
        if !self.moves.is_empty() {
            servers_first(all);
        }
        snapshot(all, self.snapshot && !self.moves.is_empty());
        let mut seats = Vec::new();
        let drains = self.drains();
        let (planes, workers): (Vec<&Move>, Vec<&Move>) = drains.iter().partition(|m| m.control_plane);
        let mut before: Vec<StepId> =
            all.iter().filter(|s| s.acts() && is_any(s, &[&SERVERS[..], &CONTROLLERS].concat())).map(|s| s.id.clone()).collect();
        for together in planes.chunks(1).chain(workers.chunks(self.at_once.max(1))) {
            let taken: Vec<PlannedStep> = together.iter().map(|m| self.drain(&m.node, &before)).collect();
            for m in together {
                wait_until_empty(all, &m.node);
            }
            let given: Vec<PlannedStep> = together.iter().map(|m| self.uncordon(&m.node, all)).collect();
            before = given.iter().map(|s| s.id.clone()).collect();
            seats.extend(taken);
            seats.extend(given);
        }
        let left = self.cordoned.iter().filter(|n| !drains.iter().any(|m| m.node == **n));
        seats.extend(left.map(|node| self.uncordon(node, all)));
        let at = all.iter().position(|s| s.id == StepId::cluster(FOUNDATION)).map(|i| i + 1);
        let at = at.or_else(|| all.iter().position(|s| s.id.lane == Lane::Cluster)).unwrap_or(all.len());
        all.splice(at..at, seats);
    }

    fn drain(&self, node: &str, before: &[StepId]) -> PlannedStep {
        let verdict = self.leaving.get(node).and_then(lost).unwrap_or_else(|| Verdict::Change(self.emptying(node)));
        step(StepId::cluster(&format!("drain-{node}")), format!("{node} is emptied"), format!("drain:{node}"), verdict, before.to_vec())
    }

    fn emptying(&self, node: &str) -> Change {
        let change = Seats::Drain { node: node.to_owned() };
        match self.leaving.get(node) {
            Some(l) => change.change(format!("{} pods move: the kubelet changes its minor version", l.pods)).lines(l.losses.clone()),
            None => change.change("the kubelet changes its minor version"),
        }
    }

    fn uncordon(&self, node: &str, all: &[PlannedStep]) -> PlannedStep {
        let here = Lane::Node(node.to_owned());
        let after = all.iter().filter(|s| s.id.lane == here && s.acts()).map(|s| s.id.clone()).collect();
        let version = self.to.as_ref().filter(|_| self.moves.iter().any(|m| m.node == node)).map(|v| format!("v{v}"));
        let why = version
            .as_ref()
            .map_or_else(|| "a run that was cut off kept pods away".to_owned(), |v| format!("once its kubelet is {v} and Ready"));
        let change = Seats::Uncordon { node: node.to_owned(), version }.change(why);
        step(
            StepId::cluster(&format!("uncordon-{node}")),
            format!("{node} takes pods again"),
            format!("uncordon:{node}"),
            Verdict::Change(change),
            after,
        )
    }
}

/// Pods that no drain may end.
#[must_use]
pub fn lost(leaving: &Leaving) -> Option<Verdict> {
    let them = match leaving.bare.len() {
        0 => return None,
        1 => "it",
        _ => "them",
    };
    Some(Verdict::Blocked {
        why: format!("{} would be gone for good: nothing makes {them} anew", leaving.bare.join(", ")),
        help: "end such pods by hand, or let a Deployment make them; then run again".into(),
    })
}

fn step(id: StepId, title: String, addr: String, verdict: Verdict, after: Vec<StepId>) -> PlannedStep {
    PlannedStep { id, title, after, items: vec![Item { addr, verdict, seen: String::new() }], ready: None, rolling: None }
}

fn is_any(step: &PlannedStep, names: &[&str]) -> bool {
    matches!(step.id.lane, Lane::Node(_)) && names.contains(&step.id.name.as_str())
}

/// No controller is newer than any API server, and no kubelet.
fn servers_first(all: &mut [PlannedStep]) {
    let acting =
        |names: &[&str], all: &[PlannedStep]| all.iter().filter(|s| s.acts() && is_any(s, names)).map(|s| s.id.clone()).collect::<Vec<_>>();
    let servers = acting(&SERVERS, all);
    let controllers = acting(&CONTROLLERS, all);
    for step in all.iter_mut().filter(|s| s.acts()) {
        if is_any(step, &CONTROLLERS) {
            step.after.extend(servers.iter().cloned());
        } else if is_any(step, &NODE) {
            step.after.extend(servers.iter().chain(&controllers).cloned());
        }
    }
}

/// A verified snapshot before a member of etcd leaves, and where versions move before the first of etcd's members or API servers
/// is touched: neither can be taken back.
fn snapshot(all: &mut Vec<PlannedStep>, versions_move: bool) {
    let moved = |s: &PlannedStep| versions_move && is_any(s, &["etcd", "apiserver"]) && s.items.iter().any(disturbs);
    let touched = |s: &PlannedStep| moved(s) || is_any(s, &[steps::DISMISSAL]) && s.acts();
    let Some(first) = all.iter().position(touched) else { return };
    let Lane::Node(node) = all[first].id.lane.clone() else { return };
    let id = StepId::node(&node, SNAPSHOT);
    for step in all.iter_mut().filter(|s| touched(s)) {
        step.after.push(id.clone());
    }
    let change: Change = steps::snapshot_before("before what cannot be taken back; kept on this machine like those of the timer");
    all.insert(first, step(id, "a snapshot of etcd, verified".into(), "snapshot:before".into(), Verdict::Change(change), Vec::new()));
}

/// What concerns pods on a node waits for its drain; its turn comes by that, not by its place in a rolling group.
fn wait_until_empty(all: &mut [PlannedStep], node: &str) {
    let here = Lane::Node(node.to_owned());
    for step in all.iter_mut().filter(|s| s.id.lane == here && s.acts() && is_any(s, &NODE)) {
        step.after.push(StepId::cluster(&format!("drain-{node}")));
        step.rolling = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{graph, policy};
    use super::*;
    use crate::want::{Act, Impact};

    fn restart(node: &str, name: &str) -> PlannedStep {
        let verdict = Verdict::Change(Change::script(Act::Restart, "x", "x").impact(Impact::Restart(vec![format!("{name}.service")])));
        let group = match name {
            "etcd" => Some("etcd"),
            "apiserver" => Some("apiserver"),
            "kubelet" => Some("kubelet"),
            _ => None,
        };
        PlannedStep { rolling: group, ..step(StepId::node(node, name), name.into(), format!("unit:{name}"), verdict, Vec::new()) }
    }

    fn house() -> Vec<PlannedStep> {
        let mut all = vec![restart("shed", "kubelet")];
        for node in ["attic", "cellar"] {
            all.extend(["apiserver", "controller-manager", "kubelet"].map(|name| restart(node, name)));
        }
        all.push(restart("garage", "kubelet"));
        let mut node = restart("x", "node-attic");
        (node.id, node.after) = (StepId::cluster("node-attic"), vec![StepId::node("attic", "kubelet")]);
        all.push(node);
        all
    }

    fn moved(from: &str, at_once: usize) -> Rollout {
        let one = |(node, control_plane): (&str, bool)| Move { node: node.into(), control_plane, from: from.parse().unwrap() };
        Rollout {
            moves: [("shed", false), ("attic", true), ("cellar", true), ("garage", false)].map(one).into(),
            to: Some(Version::new(1, 36, 3)),
            at_once,
            snapshot: true,
            elsewhere: true,
            ..Rollout::default()
        }
    }

    fn order(rollout: &Rollout, mut all: Vec<PlannedStep>) -> Vec<String> {
        rollout.shape(&mut all);
        policy::one_at_a_time(&mut all);
        graph::order(all).unwrap().iter().map(|s| s.id.to_string()).collect()
    }

    fn sorted(names: &[String], expected: &[&str]) {
        let place = |name: &str| names.iter().position(|n| n == name).unwrap_or_else(|| panic!("{name} is not in {names:?}"));
        for pair in expected.windows(2) {
            assert!(place(pair[0]) < place(pair[1]), "{} before {}: {names:?}", pair[0], pair[1]);
        }
    }

    #[test]
    fn a_minor_version_goes_round_in_upstreams_order() {
        let names = order(&moved("1.35.4", 1), house());
        sorted(
            &names,
            &["snapshot-before@attic", "apiserver@attic", "apiserver@cellar", "controller-manager@attic", "drain-attic@cluster"],
        );
        sorted(
            &names,
            &["controller-manager@cellar", "drain-attic@cluster", "kubelet@attic", "uncordon-attic@cluster", "drain-cellar@cluster"],
        );
        sorted(
            &names,
            &[
                "uncordon-cellar@cluster",
                "drain-shed@cluster",
                "kubelet@shed",
                "uncordon-shed@cluster",
                "drain-garage@cluster",
                "kubelet@garage",
            ],
        );
        sorted(&names, &["uncordon-garage@cluster", "node-attic@cluster"]);
    }

    #[test]
    fn several_workers_may_be_empty_at_a_time() {
        let names = order(&moved("1.35.4", 2), house());
        sorted(
            &names,
            &["uncordon-cellar@cluster", "drain-shed@cluster", "drain-garage@cluster", "uncordon-shed@cluster", "uncordon-garage@cluster"],
        );
    }

    #[test]
    fn a_patch_drains_nobody_and_keeps_the_order() {
        let names = order(&moved("1.36.1", 1), house());
        assert!(!names.iter().any(|n| n.contains("drain") || n.contains("uncordon")), "{names:?}");
        sorted(&names, &["apiserver@cellar", "controller-manager@attic", "kubelet@attic"]);
        sorted(&names, &["apiserver@cellar", "kubelet@shed"]);
    }

    #[test]
    fn where_pods_cannot_go_anywhere_they_stay() {
        let alone = Rollout { elsewhere: false, ..moved("1.35.4", 1) };
        assert!(!order(&alone, house()).iter().any(|n| n.contains("drain")));
    }

    #[test]
    fn what_a_cut_run_left_cordoned_is_given_back() {
        let left = Rollout { cordoned: BTreeSet::from(["garage".to_owned()]), ..Rollout::default() };
        let names = order(&left, vec![restart("garage", "kube-router")]);
        assert_eq!(names, ["kube-router@garage", "uncordon-garage@cluster"]);
    }

    #[test]
    fn a_snapshot_comes_before_a_member_goes() {
        let mut dismissal = restart("cellar", steps::DISMISSAL);
        dismissal.after.push(StepId::cluster("drain-attic"));
        let names = order(&Rollout::default(), vec![restart("attic", "kubelet"), dismissal]);
        sorted(&names, &["snapshot-before@cellar", "etcd-dismissal@cellar"]);
        let quiet = order(&Rollout::default(), house());
        assert!(!quiet.iter().any(|n| n.starts_with(SNAPSHOT)), "{quiet:?}");
    }

    #[test]
    fn bare_pods_are_not_lost() {
        let mut rollout = moved("1.35.4", 1);
        rollout.leaving.insert("shed".into(), Leaving { bare: vec!["default/debug".into()], pods: 1, losses: Vec::new() });
        let mut all = house();
        rollout.shape(&mut all);
        let drain = all.iter().find(|s| s.id.name == "drain-shed").unwrap();
        assert!(
            matches!(&drain.items[0].verdict, Verdict::Blocked { why, .. } if why == "default/debug would be gone for good: nothing makes it anew")
        );
    }
}
