//! How versions move: a snapshot first, API servers one after the other, then their controllers, then kubelets, nodes emptied
//! before a minor version and given back behind it. All of it is edges and a few steps more in the one plan.

use super::diff::disturbs;
use super::model::{Item, PlannedStep};
use crate::cluster::{Part, Ran};
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
/// Which part of its machine a step of this name brings from one release to another.
#[must_use]
pub fn part_of(step: &str) -> Option<Part> {
    match step {
        "etcd" => Some(Part::Etcd),
        step if SERVERS.contains(&step) || CONTROLLERS.contains(&step) => Some(Part::Server),
        step if NODE.contains(&step) || step == steps::CAME_UP => Some(Part::Node),
        _ => None,
    }
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

/// A node as a place for pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Whether it takes new ones.
    pub open: bool,
    /// Taints that keep those away which do not tolerate them.
    pub taints: BTreeSet<String>,
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
    /// What each of the nodes goes back to that does not come up.
    pub ran: BTreeMap<String, Ran>,
    /// Whether etcd's version changes on any of them.
    pub etcd: bool,
    /// Whether a snapshot of etcd is taken first.
    pub snapshot: bool,
    /// Nodes as places for pods that have to leave another; none where nobody is to be emptied.
    pub places: BTreeMap<String, Place>,
    /// What draining each node would mean, where that could be asked.
    pub leaving: BTreeMap<String, Leaving>,
    /// Nodes that homectl keeps pods away from, since some run was cut off.
    pub cordoned: BTreeSet<String>,
}

impl Rollout {
    /// Nodes that are emptied, those together that are at one time: all that change the minor version and whose pods have somewhere
    /// to go. Control planes first, one by one.
    fn drains(&self) -> Vec<Vec<&Move>> {
        let minor = |m: &&Move| self.is_minor(m) && self.has_room_without(&[*m]);
        let (planes, workers): (Vec<&Move>, Vec<&Move>) = self.moves.iter().filter(minor).partition(|m| m.control_plane);
        let mut all: Vec<Vec<&Move>> = planes.into_iter().map(|m| vec![m]).collect();
        let first = all.len();
        for m in workers {
            match all[first..].last_mut() {
                Some(batch) if batch.len() < self.at_once && self.has_room_without(&[batch.as_slice(), &[m]].concat()) => batch.push(m),
                _ => all.push(vec![m]),
            }
        }
        all
    }

    /// Whether pods of each of these nodes have a place while none of them is one: what pods are on a node tolerates its taints.
    fn has_room_without(&self, away: &[&Move]) -> bool {
        let nothing = BTreeSet::new();
        away.iter().all(|m| {
            let tolerated = self.places.get(&m.node).map_or(&nothing, |p| &p.taints);
            let stays = |name: &String| !away.iter().any(|m| m.node == *name);
            self.places.iter().any(|(name, place)| place.open && stays(name) && place.taints.is_subset(tolerated))
        })
    }

    /// Names of the nodes that [`Rollout::shape`] would empty.
    #[must_use]
    pub fn emptied(&self) -> Vec<&str> {
        self.drains().into_iter().flatten().map(|m| m.node.as_str()).collect()
    }

    /// What people should know before: what each drain would lose, and whose pods stay where upstream would have them leave.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let stays = |m: &Move| {
            format!(
                "{}: the kubelet goes from {} to {} with its pods on it: no other node takes them. What they do may stop for a moment",
                m.node,
                m.from,
                self.to.as_ref().unwrap_or(&m.from)
            )
        };
        let of = |m: &Move| self.leaving.get(&m.node).map(|l| (m.node.clone(), l.losses.clone()));
        let (emptied, losses) = (self.emptied(), self.drains().into_iter().flatten().filter_map(of));
        let lost = losses.flat_map(|(node, losses)| losses.into_iter().map(move |l| format!("{node} will be emptied; {l}")));
        // One node that goes back is emptied by nobody.
        let full = self.moves.iter().filter(|m| self.snapshot && self.is_minor(m) && !emptied.contains(&m.node.as_str()));
        lost.chain(full.map(stays)).collect()
    }

    fn is_minor(&self, m: &Move) -> bool {
        self.to.as_ref().is_some_and(|to| (m.from.major, m.from.minor) != (to.major, to.minor))
    }

    /// Puts the steps into the order of an upgrade, and the snapshot, drains and returns among them.
    pub(super) fn shape(&self, all: &mut Vec<PlannedStep>) {
        if !self.moves.is_empty() {
            servers_first(all);
        }
        snapshot(all, self.snapshot && (!self.moves.is_empty() || self.etcd));
        let mut seats = Vec::new();
        let drains = self.drains();
        let mut before = due(all, &[&SERVERS[..], &CONTROLLERS].concat());
        for together in &drains {
            let taken: Vec<PlannedStep> = together.iter().map(|m| self.drain(&m.node, &before)).collect();
            for m in together {
                wait_until_empty(all, &m.node);
            }
            let given: Vec<PlannedStep> = together.iter().map(|m| self.uncordon(&m.node, all)).collect();
            for (m, back) in together.iter().zip(&given) {
                let noted = StepId::node(&m.node, steps::CAME_UP);
                all.iter_mut().filter(|s| s.id == noted).for_each(|s| s.after.push(back.id.clone()));
            }
            before = given.iter().map(|s| s.id.clone()).collect();
            seats.extend(taken);
            seats.extend(given);
        }
        let left = self.cordoned.iter().filter(|n| !drains.iter().flatten().any(|m| m.node == **n));
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
        // Who stands aside may wait for another node's turn, and that for this one's return.
        let after = all.iter().filter(|s| s.id.lane == here && s.acts() && !s.aside).map(|s| s.id.clone()).collect();
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
    PlannedStep { id, title, after, items: vec![Item { addr, verdict, seen: String::new() }], ready: None, rolling: None, aside: false }
}

fn is_any(step: &PlannedStep, names: &[&str]) -> bool {
    matches!(step.id.lane, Lane::Node(_)) && names.contains(&step.id.name.as_str())
}

/// The steps of these names that have something to do. What may not be touched is one of them: it keeps back what comes after it, as
/// what fails does.
fn due(all: &[PlannedStep], names: &[&str]) -> Vec<StepId> {
    let is_due = |s: &&PlannedStep| (s.acts() || s.blocked().is_some()) && is_any(s, names);
    all.iter().filter(is_due).map(|s| s.id.clone()).collect()
}

/// No controller is newer than any API server, and no kubelet.
fn servers_first(all: &mut [PlannedStep]) {
    let servers = due(all, &SERVERS);
    let controllers = due(all, &CONTROLLERS);
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
            places: places(&[("shed", ""), ("attic", ""), ("cellar", ""), ("garage", "")]),
            ..Rollout::default()
        }
    }

    /// Open ones, with a taint each, or none.
    fn places(all: &[(&str, &str)]) -> BTreeMap<String, Place> {
        let place = |taint: &str| Place { open: true, taints: Some(taint.to_owned()).filter(|t| !t.is_empty()).into_iter().collect() };
        all.iter().map(|(name, taint)| ((*name).to_owned(), place(taint))).collect()
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

    /// A machine that was off for months: another has to have its kubelet's certificate approved, once that kubelet is up.
    #[test]
    fn who_stands_aside_keeps_no_node_from_being_given_back() {
        let aside = |node: &str, name: &str, after: Vec<StepId>| PlannedStep { aside: true, after, rolling: None, ..restart(node, name) };
        let mut all = house();
        all.push(aside("attic", "serving-shed", vec![StepId::node("shed", "kubelet")]));
        all.push(aside("shed", steps::CAME_UP, vec![StepId::node("shed", "kubelet")]));
        let names = order(&moved("1.35.4", 1), all);
        sorted(&names, &["uncordon-attic@cluster", "kubelet@shed", "serving-shed@attic"]);
        sorted(&names, &["kubelet@shed", "uncordon-shed@cluster", "came-up@shed"]);
    }

    /// An API server whose program may not be exchanged (its disk is read-only, say) stays as old as it is.
    #[test]
    fn no_kubelet_passes_an_api_server_that_cannot_move() {
        let mut all = house();
        let held = all.iter_mut().find(|s| s.id == StepId::node("cellar", "apiserver")).unwrap();
        held.items[0].verdict = Verdict::Blocked { why: "the file system is read-only".into(), help: String::new() };
        let held = held.id.clone();
        moved("1.35.4", 1).shape(&mut all);
        for name in ["controller-manager", "kubelet"] {
            let steps = all.iter().filter(|s| s.id.name == name);
            assert!(steps.clone().count() > 1 && steps.clone().all(|s| s.after.contains(&held)), "{name} waits for {held}");
        }
        assert!(all.iter().find(|s| s.id.name == "drain-attic").unwrap().after.contains(&held), "nor is anybody emptied");
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
        let alone = Rollout { places: BTreeMap::new(), ..moved("1.35.4", 1) };
        assert!(!order(&alone, house()).iter().any(|n| n.contains("drain")));
        let told = alone.warnings();
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[0].starts_with("shed: the kubelet goes from 1.35.4 to 1.36.3 with its pods on it"), "{told:?}");
        assert!(moved("1.35.4", 1).warnings().is_empty() && moved("1.36.1", 1).warnings().is_empty());
        assert!(Rollout { snapshot: false, ..alone }.warnings().is_empty(), "who goes back is emptied by nobody");
    }

    #[test]
    fn what_takes_no_pods_is_no_place_for_them() {
        let own = "node-role.kubernetes.io/control-plane=:NoSchedule";
        let emptied = |places, at_once| Rollout { places, ..moved("1.35.4", at_once) }.emptied().join(" ");
        let mut one_worker = moved("1.35.4", 1);
        one_worker.moves.retain(|m| m.node != "garage");
        one_worker.places = places(&[("attic", own), ("cellar", own), ("shed", "")]);
        assert_eq!(one_worker.emptied(), ["attic", "cellar"], "pods of the only worker could go nowhere, those of control planes could");
        let mut closed = places(&[("attic", own), ("cellar", own), ("shed", ""), ("garage", "")]);
        assert_eq!(emptied(closed.clone(), 1), "attic cellar shed garage");
        closed.get_mut("garage").unwrap().open = false;
        assert_eq!(emptied(closed, 1), "attic cellar garage", "from garage pods can go to shed, and not back");
    }

    #[test]
    fn however_many_may_be_empty_at_a_time_somebody_stays() {
        let own = "node-role.kubernetes.io/control-plane=:NoSchedule";
        let away = |places| {
            let rollout = Rollout { places, ..moved("1.35.4", 9) };
            rollout.drains().iter().map(|b| b.iter().map(|m| m.node.as_str()).collect::<Vec<_>>().join("+")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(away(places(&[("attic", ""), ("cellar", ""), ("shed", ""), ("garage", "")])), "attic cellar shed+garage");
        assert_eq!(away(places(&[("attic", own), ("cellar", own), ("shed", ""), ("garage", "")])), "attic cellar shed garage");
    }

    #[test]
    fn where_etcd_alone_moves_a_snapshot_comes_first() {
        let members = || vec![restart("attic", "etcd"), restart("cellar", "etcd")];
        let moves = Rollout { etcd: true, snapshot: true, ..Rollout::default() };
        assert_eq!(order(&moves, members()), ["snapshot-before@attic", "etcd@attic", "etcd@cellar"]);
        assert_eq!(order(&Rollout { snapshot: true, ..Rollout::default() }, members()), ["etcd@attic", "etcd@cellar"]);
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
