//! A cluster that grows: control planes join the one that is there, whatever is cut on the way.

use super::engine::Fleet;
use super::kill::{How, converge, every, now, same, spoil};
use crate::scenes::Scene;
use crate::world::World;
use homectl::steps::Mode;

/// The same with its first node only.
fn alone(world: &World) -> World {
    let mut world = world.clone();
    world.cluster.nodes.truncate(1);
    world.facts.retain(|name, _| world.cluster.nodes.iter().any(|n| n.name == *name));
    world
}

/// Everybody in the inventory, and what was founded meanwhile.
fn grown(world: &World, fleet: &Fleet) -> World {
    let mut world = world.clone();
    world.cluster.etcd_cluster_id.clone_from(&fleet.world.cluster.etcd_cluster_id);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_planes_join_whatever_is_cut() {
    let world = World::of("four", Scene::four(), now());
    let mut fleet = Fleet::new(world.clone());
    fleet.becomes(alone(&world));
    converge(&mut fleet, Mode::Present, "alone").await;
    assert!(fleet.world.cluster.etcd_cluster_id.is_some(), "it was founded");
    let grown = grown(&world, &fleet);
    let mut undisturbed = fleet.copy_of(grown.clone());
    converge(&mut undisturbed, Mode::Present, "undisturbed").await;
    let expected = undisturbed.picture();
    for name in ["attic", "cellar", "garage"] {
        let list = std::fs::read_to_string(undisturbed.machine(name).root().join("var/lib/etcd/member/members")).unwrap();
        assert_eq!(list.lines().filter(|l| l.ends_with(" voter")).count(), 3, "{name}: {list}");
    }
    for (how, some) in [(How::Power, 7), (How::Shells, 23)] {
        let mut cut = fleet.copy_of(grown.clone());
        spoil(&mut cut, Mode::Present, how, &["cellar", "garage"], every(some)).await;
        same("joined with cuts", &expected, &cut);
    }
}
