//! A node goes back to what it ran before versions moved, whatever is cut, and on again.

use super::engine::{Errand, Fleet, Trouble, told};
use super::kill::{How, changed, converge, made, now, same, spoil_what_there_is};
use crate::scenes::Scene;
use crate::world::World;
use homectl::cluster::{Cluster, Component, Release};
use homectl::steps::Mode;
use homectl::verbs::Pace;
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
    let mut back = fleet.copy();
    let now = release(&back.world.cluster);
    back.world.cluster.kubernetes = before.kubernetes.clone();
    back.world.cluster.programs = before.back_from(&now.programs, servers.then_some(before));
    let pace = Pace { back: Some(node.into()), ..Pace::default() };
    back.errand = Errand { others: vec![now, before.clone()], pace, ..Errand::default() };
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
