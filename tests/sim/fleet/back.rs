//! A node goes back to what it ran before versions moved, whatever is cut, and on again.

use super::api::ApiFault;
use super::engine::{BEFORE, Errand, Fleet, Trouble, told};
use super::house::{House, NEXT, NOW};
use super::kill::{How, changed, converge, made, now, same, spoil_what_there_is};
use crate::scenes::Scene;
use crate::world::World;
use homectl::artifacts::{self, Limits, LockMode};
use homectl::cluster::{Arch, Cluster, Component, Lock, Ran, Release};
use homectl::inventory;
use homectl::plan::Plan;
use homectl::steps::{Lane, Mode};
use homectl::verbs::Pace;
use std::fs;
use std::path::PathBuf;

fn release(cluster: &Cluster) -> Release {
    Release { kubernetes: cluster.kubernetes.clone(), programs: cluster.programs.clone() }
}

/// The sum of what a program on the machine is linked to.
fn linked(fleet: &Fleet, machine: &str, name: &str) -> String {
    let link: PathBuf = fleet.machine(machine).root().join("opt/homectl/bin").join(name).read_link().unwrap();
    link.components().nth_back(1).unwrap().as_os_str().to_str().unwrap().to_owned()
}

/// The fleet as it is while `node` is put back to `before`, its control plane's own services, too, where `servers` says so.
fn going_back(fleet: &Fleet, node: &str, before: &Release, servers: bool) -> Fleet {
    let old = || Some(before.clone()).filter(|_| servers);
    back_to(fleet, node, &Ran { node: Some(before.clone()), server: old(), etcd: old() })
}

/// The same to what it `ran`.
fn back_to(fleet: &Fleet, node: &str, ran: &Ran) -> Fleet {
    let mut back = fleet.copy();
    let releases: Vec<Release> = std::iter::once(release(&fleet.world.cluster)).chain(fleet.errand.others.iter().cloned()).collect();
    let linked = Ran::linked(&releases, &fleet.world.facts[node].programs).unwrap();
    let ran = &ran.clone().within_minors(&linked);
    let (now, before) = (release(&back.world.cluster), ran.node.clone().unwrap());
    back.world.cluster.kubernetes = before.kubernetes.clone();
    back.world.cluster.programs = ran.programs(&linked, &now.programs);
    let pace = Pace { back: Some((node.into(), ran.parts().collect())), ..Pace::default() };
    back.errand = Errand { others: vec![now, before], pace, ..Errand::default() };
    back
}

/// What a machine's etcd is, is known by what the machine says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_etcd_comes_behind_a_snapshot() {
    let mut fleet = made(&World::of("three", Scene::three(), now())).await;
    fleet.errand.others = vec![release(&fleet.world.cluster)];
    let programs = &mut fleet.world.cluster.programs;
    let patch = programs.versions[&Component::Etcd].strip_suffix(".0").unwrap().to_owned() + ".1";
    programs.versions.insert(Component::Etcd, patch);
    for (_, artifact) in programs.artifacts.iter_mut().filter(|((c, _), _)| *c == Component::Etcd) {
        artifact.sha256 = format!("{}f", &artifact.sha256[1..]);
    }
    let plan = fleet.copy().run(Mode::Present, &Trouble::default()).await.plan;
    let steps: Vec<String> = plan.steps.iter().filter(|s| s.acts()).map(|s| s.id.to_string()).collect();
    let place = |name: &str| steps.iter().position(|s| s.starts_with(name)).unwrap_or_else(|| panic!("{name} is not in {steps:?}"));
    assert!(place("snapshot-before@") < place("etcd@"), "{steps:?}");
}

/// The command that restarts a unit, behind the one that has systemd forget its failures.
const RESTART: usize = 1;

/// One run in which the restart of a unit fails on the machine, and only that.
async fn fails(fleet: &mut Fleet, node: &str, addr: &str) -> super::engine::Ran {
    let plan = fleet.copy().run(Mode::Present, &Trouble { api: Some(ApiFault::Before(0)), ..Trouble::default() }).await.plan;
    let lane = Lane::Node(node.to_owned());
    let items = plan.steps.iter().filter(|s| s.id.lane == lane).flat_map(|s| &s.items).map(|i| i.addr.as_str());
    let others = items.chain([BEFORE]).filter(|other| *other != addr);
    fleet.tried = others.map(|other| (format!("{lane} {other}"), None)).collect();
    let ran = fleet.run(Mode::Present, &Trouble { spoil: vec![node.to_owned()], at: RESTART, fails: true, ..Trouble::default() }).await;
    fleet.tried.clear();
    ran
}

/// A kubelet does not come up, nobody is there to put it back, and in the next run it does not, either: that knows what came up there
/// last, though the machine is linked to the new one by then. Once it has come up, nothing of the move is left to go back to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_cut_is_no_reason_to_stay() {
    let mut fleet = made(&World::of("three", Scene::three(), now())).await;
    let before = release(&fleet.world.cluster);
    (fleet.world, fleet.errand) = changed(&fleet.world);
    let new = fleet.world.cluster.programs.get(Component::Kubelet, Arch::Amd64).unwrap().sha256.clone();
    let mut again = false;
    for _ in 0..2 {
        let ran = fails(&mut fleet, "attic", "unit:kubelet.service").await;
        let failed: Vec<&str> = ran.report.failed.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(failed, ["kubelet"], "{:?}", ran.report.failed);
        let went = &ran.plan.ran["attic"];
        assert_eq!((went.node.as_ref(), went.server.is_some()), (Some(&before), !again), "again: {again}");
        assert_eq!(linked(&fleet, "attic", "kubelet"), new);
        let mut back = back_to(&fleet, "attic", &went.without_servers());
        converge(&mut back, Mode::Present, "put back").await;
        assert_ne!(linked(&back, "attic", "kubelet"), new);
        assert_eq!(linked(&back, "attic", "kube-apiserver"), linked(&fleet, "attic", "kube-apiserver"));
        again = true;
    }
    converge(&mut fleet, Mode::Present, "upgraded").await;
    // As with an add-on that never gets ready: the lock has the release before for weeks.
    let ran = fleet.run(Mode::Present, &Trouble::default()).await.plan.ran;
    assert!(ran.values().all(|r| *r == Ran::default()), "{ran:?}");
}

/// Versions are on their way and have not reached this machine: its API server and etcd do not move because its kubelet goes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_back_takes_no_other_part_along() {
    let mut fleet = made(&World::of("three", Scene::three(), now())).await;
    let before = release(&fleet.world.cluster);
    (fleet.world, fleet.errand) = changed(&fleet.world);
    for ran in [Ran { node: Some(before.clone()), ..Ran::default() }, Ran { node: Some(before.clone()), server: Some(before), etcd: None }]
    {
        let mut back = back_to(&fleet, "attic", &ran);
        converge(&mut back, Mode::Present, "put back").await;
        for name in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"] {
            assert_eq!(linked(&back, "attic", name), linked(&fleet, "attic", name), "{name}");
        }
    }
}

/// The version is edited by hand, nothing else: plain apply goes the way of an upgrade to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_edited_by_hand_goes_all_the_way() {
    let House { home, mut fleet, .. } = House::new().await;
    let text = fs::read_to_string(home.inventory()).unwrap();
    fs::write(home.inventory(), text.replace(NOW, NEXT)).unwrap();
    let old = Lock::load(&Lock::path(&home.inventory())).unwrap().unwrap();
    let read = inventory::read(&home.inventory()).unwrap();
    let lock = artifacts::lock(&read, Some(&old), LockMode::Complete, Limits::default()).await.unwrap().lock;
    lock.save(&Lock::path(&home.inventory())).unwrap();
    fleet.becomes(home.world(now()));
    fleet.errand.others = lock.releases().split_off(1);
    assert_eq!(fleet.errand.others, [old.release()]);
    let plan = fleet.copy().run(Mode::Present, &Trouble::default()).await.plan;
    let after = |name: &str| after(&plan, name);
    assert!(after("apiserver").iter().any(|s| s.starts_with("snapshot-before@")), "{}", told(&plan));
    assert_eq!((after("drain-n4"), after("drain-n3")), (vec!["uncordon-n3@cluster".into()], vec!["uncordon-n2@cluster".into()]));
    converge(&mut fleet, Mode::Present, "moved").await;
    for n in ["n1", "n2", "n3", "n4"] {
        assert_eq!(fleet.world.facts[n].came_up["kubelet"], format!("v{NEXT}"));
        assert!(lock.release().knows(Component::Kubelet, &linked(&fleet, n, "kubelet")));
    }
}

/// What a step of the cluster, or the first of this name, waits for.
fn after(plan: &Plan, name: &str) -> Vec<String> {
    let step = plan.steps.iter().find(|s| s.id.name == name).unwrap_or_else(|| panic!("{name}: {}", told(plan)));
    step.after.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_may_be_empty_at_a_time() {
    let mut fleet = made(&World::of("three", Scene::three(), now())).await;
    (fleet.world, fleet.errand) = changed(&fleet.world);
    fleet.errand.pace.at_once = 2;
    let ran = fleet.run(Mode::Present, &Trouble::default()).await;
    assert_eq!(ran.report.failed, Vec::new());
    for worker in ["cellar", "garage"] {
        assert_eq!(after(&ran.plan, &format!("drain-{worker}")), ["uncordon-attic@cluster"]);
    }
    let of = |what: &str| ran.events.lines().position(|l| l.contains(what)).unwrap_or_else(|| panic!("{what}: {}", ran.events));
    let (drained, given) = (of("drain-cellar").max(of("drain-garage")), of("uncordon-cellar").min(of("uncordon-garage")));
    assert!(drained < given, "both are empty before one is given back");
    assert!(fleet.world.facts.values().all(|f| f.came_up["kubelet"] == format!("v{}", fleet.world.cluster.kubernetes)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_goes_back_and_on_whatever_is_cut() {
    let mut fleet = made(&World::of("three", Scene::three(), now())).await;
    let before = release(&fleet.world.cluster);
    (fleet.world, fleet.errand) = changed(&fleet.world);
    converge(&mut fleet, Mode::Present, "upgraded").await;
    let upgraded = fleet.picture();
    let sum = |programs: &homectl::cluster::Programs, c: Component| programs.get(c, homectl::cluster::Arch::Amd64).unwrap().sha256.clone();
    let (old, new) = (|c| sum(&before.programs, c), |c| sum(&fleet.world.cluster.programs, c));

    for (node, servers) in [("garage", false), ("attic", false), ("attic", true)] {
        let mut back = going_back(&fleet, node, &before, servers);
        let plan = back.copy().run(Mode::Present, &Trouble::default()).await.plan;
        let elsewhere = plan.steps.iter().filter(|s| s.acts() && s.id.lane != homectl::steps::Lane::Node(node.into())).count();
        assert_eq!(elsewhere, 0, "nobody else is touched:\n{}", told(&plan));
        let harmless =
            |s: &homectl::plan::PlannedStep| !s.acts() || !s.id.name.starts_with("drain-") && s.id.name != homectl::plan::SNAPSHOT;
        assert!(plan.steps.iter().all(harmless), "{}", told(&plan));
        converge(&mut back, Mode::Present, "put back").await;
        assert_eq!(linked(&back, node, "kubelet"), old(Component::Kubelet));
        if node == "attic" {
            let server = if servers { old(Component::KubeApiserver) } else { new(Component::KubeApiserver) };
            assert_eq!(linked(&back, node, "kube-apiserver"), server, "servers: {servers}");
            assert_eq!(linked(&back, node, "etcd"), new(Component::Etcd));
        }
        for other in ["attic", "cellar", "garage"].iter().filter(|o| **o != node) {
            assert_eq!(linked(&back, other, "kubelet"), new(Component::Kubelet));
        }
        let expected = back.picture();
        let mut cut = going_back(&fleet, node, &before, servers);
        let spoiled = spoil_what_there_is(&mut cut, Mode::Present, How::Power, &[node], 1).await;
        assert!(spoiled > 3, "{node}: {spoiled}");
        same("put back with cuts", &expected, &cut);

        // The same command goes on with the upgrade.
        (back.world, back.errand) = (fleet.world.clone(), Errand { others: vec![before.clone()], ..Errand::default() });
        converge(&mut back, Mode::Present, "upgraded after all").await;
        assert_eq!(linked(&back, node, "kubelet"), new(Component::Kubelet));
        same("upgraded after all", &upgraded, &back);
    }
}
