//! Other authorities take over, whatever is cut on the way: every stage ends where an undisturbed one does, and asks for no more.

use super::engine::{Fleet, Trouble};
use super::kill::{How, converge, made, now, same, spoil_what_there_is};
use crate::scenes::Scene;
use crate::world::World;
use homectl::pki::{Ca, encryption_key};
use homectl::secrets::{Secrets, Stage};
use homectl::steps::{self, Mode};
use homectl::verbs::Pace;
use std::fs;

/// What lies on every machine, and who signed what its kubelet shows.
pub(super) fn trusts(fleet: &Fleet, trusted: &str, signer: &str) {
    for node in &fleet.world.cluster.nodes {
        let read = |path: &str| fs::read_to_string(fleet.machine(&node.name).root().join(path)).unwrap();
        assert_eq!(read("etc/kubernetes/pki/ca.crt"), trusted, "{}", node.name);
        assert_eq!(read("var/lib/kubelet/pki/kubelet-server-current.pem"), signer, "{}", node.name);
    }
}

/// What machines say of whom they trust and what they encrypt with; whether `ours` is behind it.
fn are_further_on(fleet: &Fleet, ours: &Secrets) -> bool {
    let world = &fleet.world;
    let marks = world.secrets.marks(world.now);
    let authority = marks.authority.expect("it has not run out");
    for node in world.cluster.control_planes() {
        let facts = &world.facts[&node.name];
        assert_eq!((&facts.authorities, facts.signer.as_ref()), (&authority.known, Some(&authority.known[authority.used])));
        assert_eq!(facts.encryption, [(1, marks.encryption.known[0].clone())]);
    }
    assert_eq!(world.facts["shed"].authorities, authority.known);
    steps::check_secrets(&world.cluster, &world.facts, &ours.marks(world.now)).is_err()
}

/// The fleet turned to this stage without being disturbed; given back as it was before, to be cut.
async fn turned(fleet: &mut Fleet, world: &World) -> Fleet {
    let cut = fleet.copy_of(world.clone());
    fleet.becomes(world.clone());
    converge(fleet, Mode::Present, "undisturbed").await;
    cut
}

/// The same stage, cut at each item of `node`, ends like the undisturbed one; how often it was cut.
async fn with_cuts(undisturbed: &Fleet, cut: &mut Fleet, stage: Stage, how: How, node: &str) -> usize {
    let spoiled = spoil_what_there_is(cut, Mode::Present, how, &[node], 1).await;
    same(&format!("{stage:?} with cuts"), &undisturbed.picture(), cut);
    spoiled
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_take_over_whatever_is_cut() {
    let mut world = World::of("four", Scene::four(), now());
    let before = world.secrets.clone();
    let mut fleet = made(&world).await;
    world.cluster.etcd_cluster_id.clone_from(&fleet.world.cluster.etcd_cluster_id);
    for (stage, how) in [(Stage::Known, How::Power), (Stage::First, How::Shells), (Stage::Alone, How::Power)] {
        world.secrets.turn_authorities(world.now).unwrap();
        world.secrets.refresh(&world.cluster, world.now).unwrap();
        assert_eq!(world.secrets.authority_stage(), stage);
        let mut cut = turned(&mut fleet, &world).await;
        trusts(&fleet, &world.secrets.trusted(Ca::Cluster), &world.secrets.authority(Ca::Cluster).cert);
        assert_eq!(are_further_on(&fleet, &before), stage != Stage::Known, "{stage:?}");
        let spoiled = with_cuts(&fleet, &mut cut, stage, how, "cellar").await;
        assert!(spoiled > 2, "{stage:?}: {spoiled}");
    }
}

/// The key of encryption likewise: known by every API server before any writes with it, and alone once nothing needs the former one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_encryption_takes_over_whatever_is_cut() {
    let mut world = World::of("four", Scene::four(), now());
    let mut fleet = made(&world).await;
    world.cluster.etcd_cluster_id.clone_from(&fleet.world.cluster.etcd_cluster_id);
    for (stage, how, keys) in [(Stage::Known, How::Power, 2), (Stage::First, How::Shells, 2), (Stage::Alone, How::Power, 1)] {
        assert_eq!(world.secrets.turn_encryption_key(encryption_key), stage);
        let mut cut = turned(&mut fleet, &world).await;
        let wanted: Vec<String> = world.secrets.encryption_keys().iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(wanted.len(), keys);
        for plane in world.cluster.control_planes() {
            let text = fs::read_to_string(fleet.machine(&plane.name).root().join("etc/kubernetes/encryption.yaml")).unwrap();
            let names: Vec<&str> = text.lines().filter_map(|l| l.trim().trim_start_matches("- ").strip_prefix("name: ")).collect();
            assert_eq!(names, wanted, "{stage:?} on {}: the first is written with", plane.name);
        }
        let sealed = fs::read_to_string(fleet.machine("attic").root().join("var/lib/etcd/member/key")).unwrap_or_default();
        assert_eq!(sealed.trim() == wanted[0], stage != Stage::Known, "{stage:?}: Secrets are encrypted with {sealed}");
        let spoiled = with_cuts(&fleet, &mut cut, stage, how, "attic").await;
        assert!(spoiled > 1, "{stage:?}: {spoiled}");
    }
}

/// Nobody learned to trust them first, since nobody trusts anybody any more: two stages, and the first on all machines at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_that_have_ended_are_superseded_whatever_is_cut() {
    let mut world = World::of("four", Scene::four(), now());
    let mut fleet = made(&world).await;
    world.cluster.etcd_cluster_id.clone_from(&fleet.world.cluster.etcd_cluster_id);
    world.secrets.supersede_authorities(world.now).unwrap();
    world.secrets.refresh(&world.cluster, world.now).unwrap();
    let mut cut = fleet.copy_of(world.clone());
    fleet.becomes(world.clone());
    for fleet in [&mut fleet, &mut cut] {
        fleet.errand.pace = Pace { together: true, ..Pace::default() };
    }
    let plan = fleet.copy().run(Mode::Present, &Trouble { spoil: vec!["shed".into()], ..Trouble::default() }).await.plan;
    let after_others = |name: &str| {
        let steps = plan.steps.iter().filter(|s| s.id.name == name && s.acts());
        steps.map(|s| s.after.iter().filter(|id| id.lane != s.id.lane && id.name == name).count()).collect::<Vec<_>>()
    };
    for name in ["etcd", "apiserver"] {
        assert_eq!(after_others(name), [0, 0, 0], "{name}: one would wait for another that does not trust it");
    }
    converge(&mut fleet, Mode::Present, "undisturbed").await;
    trusts(&fleet, &world.secrets.trusted(Ca::Cluster), &world.secrets.authority(Ca::Cluster).cert);
    let spoiled = spoil_what_there_is(&mut cut, Mode::Present, How::Power, &["cellar"], 1).await;
    assert!(spoiled > 2, "{spoiled}");
    same("superseded with cuts", &fleet.picture(), &cut);
    world.secrets.turn_authorities(world.now).unwrap();
    fleet.becomes(world.clone());
    converge(&mut fleet, Mode::Present, "alone").await;
    assert_eq!(world.secrets.authority_stage(), Stage::Alone);
    trusts(&fleet, &world.secrets.cluster_ca.cert, &world.secrets.cluster_ca.cert);
}
