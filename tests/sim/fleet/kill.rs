//! Whatever is cut, and wherever: the next runs end where an undisturbed one would have.

use super::api::ApiFault;
use super::engine::{Errand, Fleet, Ran, Trouble, differences, told};
use super::host::Fault;
use super::machine::Picture;
use crate::needles::Needles;
use crate::scenes::Scene;
use crate::world::World;
use homectl::cluster::{Component, Registry, Release};
use homectl::plan::PlannedStep;
use homectl::steps::{Lane, Mode};
use homectl::want::Verdict;
use std::collections::BTreeMap;

pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Runs until nothing is to do, which is after two at the latest.
pub(super) async fn converge(fleet: &mut Fleet, mode: Mode, context: &str) {
    for _ in 0..3 {
        let ran = fleet.run(mode, &Trouble::default()).await;
        assert_eq!(ran.plan.counts().blocked, 0, "{context}:\n{}", told(&ran.plan));
        assert_eq!(ran.report.failed, Vec::new(), "{context}");
        if done(&ran, mode) {
            return;
        }
    }
    let ran = fleet.run(mode, &Trouble::default()).await;
    panic!("{context}: there is no end:\n{}", told(&ran.plan));
}

/// A reset has ended when no machine is ours any more. What the API holds is not known while it is restored.
fn done(ran: &Ran, mode: Mode) -> bool {
    let open = |s: &PlannedStep| {
        s.items.iter().any(|i| matches!(i.verdict, Verdict::Change(_)) || s.id.lane != Lane::Cluster && i.verdict.change().is_some())
    };
    if mode == Mode::Absent { ran.plan.steps.is_empty() } else { !ran.plan.steps.iter().any(open) }
}

/// How a chain of runs is spoiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    /// Power cut: everything on the machines ends, they boot.
    Power,
    /// The shells on the machines are killed, and homectl.
    Shells,
    /// A command fails.
    Failure,
}

/// Spoils every item of `machines` (or some), one after the other: each run gets one further and is spoiled in the next.
pub(super) async fn spoil(fleet: &mut Fleet, mode: Mode, how: How, machines: &[&str], some: usize) {
    let spoiled = spoil_what_there_is(fleet, mode, how, machines, some).await;
    assert!(spoiled * some.max(1) > 15, "{how:?}: only {spoiled} runs were spoiled");
}

/// The same where there may be little to do; how many runs were spoiled.
pub(super) async fn spoil_what_there_is(fleet: &mut Fleet, mode: Mode, how: How, machines: &[&str], some: usize) -> usize {
    fleet.tried.clear();
    let needles = Needles::of(&fleet.world.secrets);
    let spoil: Vec<String> = machines.iter().map(|m| (*m).to_owned()).collect();
    let together = machines.len() == fleet.machines().count();
    let mut spoiled = 0;
    for round in 0..600 {
        let trouble = Trouble { spoil: spoil.clone(), at: round * 5 % 8, fails: how == How::Failure, together, some, ..Trouble::default() };
        let ran = fleet.run(mode, &trouble).await;
        let context = format!("{how:?}, round {round}");
        assert_eq!(ran.plan.counts().blocked, 0, "{context}:\n{}", told(&ran.plan));
        assert_eq!(needles.found(&format!("{}{:?}", ran.events, ran.report)), None, "{context}: {}", ran.events);
        if done(&ran, mode) {
            return spoiled;
        }
        spoiled += usize::from(!ran.cut.is_empty() || !ran.report.failed.is_empty());
        assert!(how == How::Failure || !ran.cut.is_empty() || ran.report.failed.is_empty(), "{context}: {:?}", ran.report.failed);
        if how == How::Power {
            ran.cut.iter().for_each(|name| fleet.machine(name).boot());
        }
    }
    panic!("{how:?}: there is no end");
}

/// The inventory as its owner changes it later: the next minor version of Kubernetes, one more name of the API, a mirror, a label.
/// With it what is to be known of the release before: nodes are emptied, and a snapshot is taken.
pub(super) fn changed(world: &World) -> (World, Errand) {
    let mut world = world.clone();
    let cluster = &mut world.cluster;
    let others = vec![Release { kubernetes: cluster.kubernetes.clone(), programs: cluster.programs.clone() }];
    cluster.kubernetes = semver::Version::new(1, cluster.kubernetes.minor + 1, 0);
    for ((component, _), artifact) in &mut cluster.programs.artifacts {
        if *component <= Component::Kubectl {
            artifact.sha256 = format!("{}f", &artifact.sha256[1..]);
            cluster.programs.versions.insert(*component, format!("v{}", cluster.kubernetes));
        }
    }
    cluster.api.names.push("cluster.home.lan".into());
    cluster.registries.push(Registry { host: "registry.k8s.io".into(), mirrors: vec!["http://nas.lan:5000".into()] });
    cluster.nodes[1].machine.labels.insert("example.net/disk".into(), "big".into());
    assert!(world.secrets.ensure(&world.cluster, world.now).unwrap(), "the API has another certificate");
    (world, Errand { others, ..Errand::default() })
}

/// What an upgrade does besides an apply is in the plan.
async fn upgrade_like(fleet: &Fleet) {
    let plan = fleet.copy().run(Mode::Present, &Trouble { api: Some(ApiFault::Before(0)), ..Trouble::default() }).await.plan;
    let steps: Vec<&str> = plan.steps.iter().filter(|s| s.acts()).map(|s| s.id.name.as_str()).collect();
    for name in ["snapshot-before", "drain-attic", "uncordon-attic", "drain-garage", "uncordon-garage"] {
        assert!(steps.contains(&name), "{name} is not in {steps:?}");
    }
}

/// As an undisturbed run leaves it.
pub(super) async fn made(world: &World) -> Fleet {
    let mut fleet = Fleet::new(world.clone());
    converge(&mut fleet, Mode::Present, "undisturbed").await;
    fleet
}

pub(super) fn same(context: &str, expected: &Picture, fleet: &Fleet) {
    let found = differences(expected, &fleet.picture());
    assert!(found.is_empty(), "{context}: expected ≠ found\n{}", found.join("\n"));
}

/// What a reset leaves, but for what it says that it leaves: packages with what they brought, the kernel's module.
pub(super) fn left(fresh: &Picture, after: &Picture) -> Vec<String> {
    let mine = ["etc/group", "etc/passwd", "proc/sys/net/bridge", "sim/packages", "sim/vendor", "sys/module/br_netfilter"];
    // Snapshots that were taken stay, with their folder.
    let kept = ["var/lib/homectl:", "var/lib/homectl/snapshots:"];
    let stays = |path: &str| mine.iter().any(|m| path.starts_with(m)) || kept.contains(&path);
    differences(fresh, after).into_iter().filter(|d| !d.split(' ').nth(1).is_some_and(stays)).collect()
}

/// Every so-manieth, unless all are asked for.
pub(super) fn every(nth: usize) -> usize {
    if std::env::var("HOMECTL_SIM").is_ok_and(|what| what == "all") { 1 } else { nth }
}

/// Power cuts in the whole house: inside every item on every machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_anywhere() {
    a_life(How::Power).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_anywhere() {
    let world = World::of("one", Scene::one(), now());
    let made = made(&world).await.picture();
    let mut fleet = Fleet::new(world);
    spoil(&mut fleet, Mode::Present, How::Failure, &["attic"], every(3)).await;
    same("made with failures", &made, &fleet);
}

/// Every shell on every machine is killed, and homectl, inside every item; the machines themselves go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_machines_without_their_shells() {
    a_life(How::Shells).await;
}

/// Three machines become a cluster, change, and are free again; cut inside every item of all three.
async fn a_life(how: How) {
    let all = ["attic", "cellar", "garage"];
    let world = World::of("three", Scene::three(), now());
    let mut undisturbed = made(&world).await;
    let mut fleet = Fleet::new(world);
    let fresh = fleet.picture();
    spoil(&mut fleet, Mode::Present, how, &all, 1).await;
    same("made with cuts", &undisturbed.picture(), &fleet);

    (undisturbed.world, undisturbed.errand) = changed(&undisturbed.world);
    (fleet.world, fleet.errand) = (undisturbed.world.clone(), undisturbed.errand.clone());
    upgrade_like(&undisturbed).await;
    converge(&mut undisturbed, Mode::Present, "changed").await;
    spoil(&mut fleet, Mode::Present, how, &all, 1).await;
    same("changed with cuts", &undisturbed.picture(), &fleet);

    spoil(&mut fleet, Mode::Absent, how, &all, 1).await;
    assert_eq!(left(&fresh, &fleet.picture()), Vec::<String>::new(), "a reset with cuts leaves something");
}

/// What the chains above do not show: that one cut is made good by what comes next, whatever would have come after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_cut_is_made_good_by_the_next_run() {
    let stories = Stories::tell().await;
    for (story, nth) in stories.all().into_iter().zip([23, 4, 23]) {
        once(&story, every(nth)).await;
    }
}

/// What a cluster goes through, each from where it begins to where it ends undisturbed.
struct Stories {
    empty: Fleet,
    made: Fleet,
    later: Fleet,
}

struct Story<'a> {
    mode: Mode,
    base: &'a Fleet,
    towards: (&'a World, Errand),
    expected: Picture,
}

impl Stories {
    async fn tell() -> Self {
        let world = World::of("three", Scene::three(), now());
        let empty = Fleet::new(world.clone());
        let made = made(&world).await;
        let mut later = made.copy();
        (later.world, later.errand) = changed(&made.world);
        converge(&mut later, Mode::Present, "changed").await;
        Self { empty, made, later }
    }

    /// A fresh apply, a change, a reset.
    fn all(&self) -> [Story<'_>; 3] {
        [
            Story {
                mode: Mode::Present,
                base: &self.empty,
                towards: (&self.empty.world, Errand::default()),
                expected: self.made.picture(),
            },
            Story {
                mode: Mode::Present,
                base: &self.made,
                towards: (&self.later.world, self.later.errand.clone()),
                expected: self.later.picture(),
            },
            Story { mode: Mode::Absent, base: &self.made, towards: (&self.made.world, Errand::default()), expected: self.empty.picture() },
        ]
    }
}

impl Story<'_> {
    /// At its beginning.
    fn begin(&self) -> Fleet {
        let mut fleet = self.base.copy();
        (fleet.world, fleet.errand) = (self.towards.0.clone(), self.towards.1.clone());
        fleet
    }

    /// Undisturbed runs bring it to its end.
    async fn end(&self, mut fleet: Fleet, context: &str) {
        converge(&mut fleet, self.mode, context).await;
        if self.mode == Mode::Present {
            same(context, &self.expected, &fleet);
        } else {
            assert_eq!(left(&self.expected, &fleet.picture()), Vec::<String>::new(), "{context}");
        }
    }
}

/// A run that is cut on each machine at the first of some items, one at their second, and so on.
async fn once(story: &Story<'_>, some: usize) {
    let mut tried = BTreeMap::new();
    for round in 0.. {
        let mut fleet = story.begin();
        fleet.tried.clone_from(&tried);
        let spoil: Vec<String> = fleet.machines().map(|m| m.name).collect();
        let ran = fleet.run(story.mode, &Trouble { spoil, some, at: round % 8, together: true, ..Trouble::default() }).await;
        if ran.cut.is_empty() {
            return assert!(round > 3, "{:?}: few cuts", story.mode);
        }
        let places: Vec<&String> = fleet.tried.keys().filter(|p| !tried.contains_key(*p)).collect();
        let context = format!("{:?}, cut {round} at {places:?}", story.mode);
        tried.extend(fleet.tried.keys().map(|place| (place.clone(), None)));
        if round % 2 == 0 {
            ran.cut.iter().for_each(|name| fleet.machine(name).boot());
        }
        story.end(fleet, &context).await;
    }
}

fn on_machines(fleet: &Fleet) -> Picture {
    fleet.picture().into_iter().filter(|(place, _)| !place.starts_with("object:")).collect()
}

/// TCP is dropped before a script, or its reply is lost after the work was done; the other machines go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_break() {
    for story in Stories::tell().await.all() {
        for fault in [Fault::Before as fn(usize) -> Fault, Fault::After] {
            for number in 0.. {
                let mut fleet = story.begin();
                let faults = fleet.machines().map(|m| (m.name, fault(number))).collect();
                let ran = fleet.run(story.mode, &Trouble { faults, ..Trouble::default() }).await;
                if ran.cut.is_empty() {
                    assert!(number > 0, "no script was sent");
                    break;
                }
                let context = format!("{:?}, {:?} on {:?}", story.mode, fault(number), ran.cut);
                assert_eq!(ran.plan.counts().blocked, 0, "{context}");
                assert!(!ran.report.failed.is_empty(), "{context}");
                if fault(number) == Fault::Before(0) {
                    assert_eq!(on_machines(&fleet), on_machines(story.base), "{context}: who only looked has changed something");
                }
                story.end(fleet, &context).await;
            }
        }
    }
}

/// Every second change in the API is done, and its reply is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_goes_away() {
    let world = World::of("one", Scene::one(), now());
    let mut fleet = made(&world).await;
    let expected = fleet.picture();
    fleet.api.store.lock().unwrap().clear();
    for fault in [ApiFault::Before(1), ApiFault::After(1)].into_iter().cycle().take(100) {
        let ran = fleet.run(Mode::Present, &Trouble { api: Some(fault), ..Trouble::default() }).await;
        if ran.report.failed.is_empty() {
            converge(&mut fleet, Mode::Present, "the API is back").await;
            return same("objects made with cuts", &expected, &fleet);
        }
    }
    panic!("there is no end");
}

/// A control plane that dies while the workers go on, a worker that dies while they do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_machine_dies() {
    let world = World::of("three", Scene::three(), now());
    let expected = made(&world).await.picture();
    for name in ["attic", "garage"] {
        let mut fleet = Fleet::new(world.clone());
        spoil(&mut fleet, Mode::Present, How::Power, &[name], every(9)).await;
        same(name, &expected, &fleet);
    }
}
