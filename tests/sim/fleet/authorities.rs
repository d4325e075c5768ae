//! Other authorities take over, whatever is cut on the way: every stage ends where an undisturbed one does, and asks for no more.

use super::engine::Fleet;
use super::kill::{How, converge, made, now, same, spoil_what_there_is};
use crate::scenes::Scene;
use crate::world::World;
use homectl::pki::Ca;
use homectl::secrets::Stage;
use homectl::steps::Mode;
use std::fs;

/// What lies on every machine, and who signed what its kubelet shows.
fn trusts(fleet: &Fleet, trusted: &str, signer: &str) {
    for node in &fleet.world.cluster.nodes {
        let read = |path: &str| fs::read_to_string(fleet.machine(&node.name).root().join(path)).unwrap();
        assert_eq!(read("etc/kubernetes/pki/ca.crt"), trusted, "{}", node.name);
        assert_eq!(read("var/lib/kubelet/pki/kubelet-server-current.pem"), signer, "{}", node.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_take_over_whatever_is_cut() {
    let mut world = World::of("four", Scene::four(), now());
    let mut fleet = made(&world).await;
    world.cluster.etcd_cluster_id.clone_from(&fleet.world.cluster.etcd_cluster_id);
    for (stage, how) in [(Stage::Known, How::Power), (Stage::First, How::Shells), (Stage::Alone, How::Power)] {
        world.secrets.turn_authorities(world.now).unwrap();
        world.secrets.refresh(&world.cluster, world.now).unwrap();
        assert_eq!(world.secrets.authority_stage(), stage);
        let mut cut = fleet.copy_of(world.clone());
        fleet.becomes(world.clone());
        converge(&mut fleet, Mode::Present, "undisturbed").await;
        trusts(&fleet, &world.secrets.trusted(Ca::Cluster), &world.secrets.authority(Ca::Cluster).cert);
        let spoiled = spoil_what_there_is(&mut cut, Mode::Present, how, &["cellar"], 1).await;
        assert!(spoiled > 2, "{stage:?}: {spoiled}");
        same(&format!("{stage:?} with cuts"), &fleet.picture(), &cut);
    }
}
