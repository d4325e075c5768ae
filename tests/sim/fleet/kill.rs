//! Whatever is cut, and wherever: the next runs end where an undisturbed one would have.

use super::api::ApiFault;
use super::engine::{Fleet, Ran, Trouble, differences, told};
use super::host::Fault;
use super::machine::Picture;
use crate::needles::Needles;
use crate::scenes::Scene;
use crate::world::World;
use homectl::cluster::{Component, Registry};
use homectl::steps::Mode;
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

/// A reset has ended when no machine is ours any more.
fn done(ran: &Ran, mode: Mode) -> bool {
    if mode == Mode::Absent { ran.plan.steps.is_empty() } else { ran.plan.counts().changes() == 0 }
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
    let together = machines.len() == fleet.world.cluster.nodes.len();
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

/// The inventory as its owner changes it later: another version of Kubernetes, one more name of the API, a mirror, a label.
fn changed(world: &World) -> World {
    let mut world = world.clone();
    let cluster = &mut world.cluster;
    cluster.kubernetes = semver::Version::new(1, 36, 4);
    for ((component, _), artifact) in &mut cluster.programs.artifacts {
        if *component <= Component::Kubectl {
            artifact.sha256 = format!("{}f", &artifact.sha256[1..]);
            cluster.programs.versions.insert(*component, "v1.36.4".into());
        }
    }
    cluster.api.names.push("cluster.home.lan".into());
    cluster.registries.push(Registry { host: "registry.k8s.io".into(), mirrors: vec!["http://nas.lan:5000".into()] });
    cluster.nodes[1].machine.labels.insert("example.net/disk".into(), "big".into());
    assert!(world.secrets.ensure(&world.cluster, world.now).unwrap(), "the API has another certificate");
    world
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
    differences(fresh, after).into_iter().filter(|d| !mine.iter().any(|m| d.split(' ').nth(1).is_some_and(|p| p.starts_with(m)))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_anywhere() {
    let world = World::of("one", Scene::one(), now());
    let made = made(&world).await;
    let mut fleet = Fleet::new(world);
    let fresh = fleet.picture();
    spoil(&mut fleet, Mode::Present, How::Power, &["attic"], 1).await;
    same("made with cuts", &made.picture(), &fleet);
    spoil(&mut fleet, Mode::Absent, How::Power, &["attic"], 1).await;
    assert_eq!(left(&fresh, &fleet.picture()), Vec::<String>::new(), "a reset with cuts leaves something");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_anywhere() {
    let world = World::of("one", Scene::one(), now());
    let made = made(&world).await.picture();
    let mut fleet = Fleet::new(world);
    spoil(&mut fleet, Mode::Present, How::Failure, &["attic"], 3).await;
    same("made with failures", &made, &fleet);
}

/// Every shell on every machine is killed, and homectl, inside every item; the machines themselves go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_machines_without_their_shells() {
    let all = ["attic", "cellar", "garage"];
    let world = World::of("three", Scene::three(), now());
    let mut undisturbed = made(&world).await;
    let mut fleet = Fleet::new(world);
    let fresh = fleet.picture();
    spoil(&mut fleet, Mode::Present, How::Shells, &all, 1).await;
    same("made with cuts", &undisturbed.picture(), &fleet);

    undisturbed.world = changed(&undisturbed.world);
    fleet.world = undisturbed.world.clone();
    converge(&mut undisturbed, Mode::Present, "changed").await;
    spoil(&mut fleet, Mode::Present, How::Shells, &all, 1).await;
    same("changed with cuts", &undisturbed.picture(), &fleet);

    spoil(&mut fleet, Mode::Absent, How::Shells, &all, 1).await;
    assert_eq!(left(&fresh, &fleet.picture()), Vec::<String>::new(), "a reset with cuts leaves something");
}

/// What the chains above do not show: that one cut is made good by what comes next, whatever would have come after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_cut_is_made_good_by_the_next_run() {
    let world = World::of("three", Scene::three(), now());
    let empty = Fleet::new(world.clone());
    let base = made(&world).await;
    let mut later = base.copy();
    later.world = changed(&base.world);
    converge(&mut later, Mode::Present, "changed").await;
    once(&empty, &world, Mode::Present, &base.picture(), 23).await;
    once(&base, &later.world, Mode::Present, &later.picture(), 4).await;
    once(&base, &base.world, Mode::Absent, &empty.picture(), 23).await;
}

/// From `base`, towards `world`: a run that is cut on each machine at the first of some items, one at their second, and so on.
async fn once(base: &Fleet, world: &World, mode: Mode, expected: &Picture, some: usize) {
    let mut tried = BTreeMap::new();
    for round in 0.. {
        let mut fleet = base.copy();
        fleet.world = world.clone();
        fleet.tried.clone_from(&tried);
        let spoil: Vec<String> = fleet.machines().map(|m| m.name).collect();
        let ran = fleet.run(mode, &Trouble { spoil, some, at: round % 8, together: true, ..Trouble::default() }).await;
        if ran.cut.is_empty() {
            return assert!(round > 3, "{mode:?}: few cuts");
        }
        let places: Vec<&String> = fleet.tried.keys().filter(|p| !tried.contains_key(*p)).collect();
        let context = format!("{mode:?}, cut {round} at {places:?}");
        tried.extend(fleet.tried.keys().map(|place| (place.clone(), None)));
        if round % 2 == 0 {
            ran.cut.iter().for_each(|name| fleet.machine(name).boot());
        }
        converge(&mut fleet, mode, &context).await;
        if mode == Mode::Present {
            same(&context, expected, &fleet);
        } else {
            assert_eq!(left(expected, &fleet.picture()), Vec::<String>::new(), "{context}");
        }
    }
}

/// TCP is dropped before a script, or its reply is lost after the work was done; the other machines go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_break() {
    let world = World::of("three", Scene::three(), now());
    let expected = made(&world).await.picture();
    for fault in [Fault::Before as fn(usize) -> Fault, Fault::After] {
        for number in 0.. {
            let mut fleet = Fleet::new(world.clone());
            let faults = fleet.machines().map(|m| (m.name, fault(number))).collect();
            let ran = fleet.run(Mode::Present, &Trouble { faults, ..Trouble::default() }).await;
            if ran.cut.is_empty() {
                break;
            }
            let context = format!("{:?} on {:?}", fault(number), ran.cut);
            assert_eq!(ran.report.failed.len(), ran.cut.len(), "{context}: {:?}", ran.report.failed);
            converge(&mut fleet, Mode::Present, &context).await;
            same(&context, &expected, &fleet);
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
        spoil(&mut fleet, Mode::Present, How::Power, &[name], 9).await;
        same(name, &expected, &fleet);
    }
}
