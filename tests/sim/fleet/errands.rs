//! What is done to a cluster that lives, and cut inside every item of its plan: a control plane leaves, etcd's data is restored.

use super::authorities::trusts;
use super::engine::{Errand, Fleet, Trouble, told};
use super::kill::{How, changed, converge, every, left, made, now, same, spoil, spoil_what_there_is};
use super::machine::Picture;
use super::restoring::Restored;
use crate::scenes::Scene;
use crate::world::World;
use homectl::pki::Ca;
use homectl::secrets::Secrets;
use homectl::steps::Mode;
use homectl::verbs::Moving;
use std::fs;
use std::path::Path;

/// Names of the steps that a run of it would do.
async fn planned(fleet: &Fleet) -> Vec<String> {
    let plan = fleet.copy().run(Mode::Present, &Trouble { api: Some(super::api::ApiFault::Before(0)), ..Trouble::default() }).await.plan;
    plan.steps.iter().filter(|s| s.acts()).map(|s| s.id.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_leaves_whatever_is_cut() {
    let fleet = made(&World::of("four", Scene::four(), now())).await;
    let fresh: Picture = Fleet::new(fleet.world.clone()).machine("cellar").picture();
    let mut after = fleet.world.clone();
    after.cluster.nodes.retain(|n| n.name != "cellar");
    let cellar = fleet.world.cluster.node("cellar").unwrap();
    let errand = Errand { moving: Some(Moving::leaves(cellar, fleet.world.cluster.clone())), ..Errand::default() };
    let leaving = || {
        let mut copy = fleet.copy();
        copy.errand = errand.clone();
        copy.becomes(after.clone());
        copy
    };
    let mut undisturbed = leaving();
    let steps = planned(&undisturbed).await;
    for name in ["drain-cellar@cluster", "etcd-dismissal@attic", "gone-cellar@cluster", "etcd@cellar", "overlay@shed"] {
        assert!(steps.iter().any(|s| s == name), "{name} is not in {steps:?}");
    }
    converge(&mut undisturbed, Mode::Present, "it leaves").await;
    let expected = undisturbed.picture();
    let members = fs::read_to_string(undisturbed.machine("attic").root().join("var/lib/etcd/member/members")).unwrap();
    assert!(members.lines().count() == 2 && !members.contains("cellar"), "{members}");
    assert!(!expected.contains_key("object:v1:Node:cellar"));
    let gone: Picture = undisturbed.machine("cellar").picture();
    let of = |p: &Picture| p.iter().map(|(k, v)| (format!("cellar {k}"), v.clone())).collect::<Picture>();
    assert_eq!(left(&of(&fresh), &of(&gone)), Vec::<String>::new());
    for how in [How::Shells, How::Power] {
        let mut cut = leaving();
        spoil(&mut cut, Mode::Present, how, &["attic", "garage", "shed", "cellar"], every(9)).await;
        same("left with cuts", &expected, &cut);
    }
}

/// One of three control planes dies while versions move: it is taken out, and the same run brings the others to the new version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_that_died_in_an_upgrade_is_taken_out() {
    let mut fleet = made(&World::of("four", Scene::four(), now())).await;
    fleet.machine("cellar").off();
    let cellar = fleet.world.cluster.node("cellar").unwrap().clone();
    let (mut after, errand) = changed(&fleet.world);
    after.cluster.nodes.retain(|n| n.name != "cellar");
    let version = format!("v{}", after.cluster.kubernetes);
    fleet.errand = Errand { moving: Some(Moving::gone(&cellar)), ..errand };
    fleet.becomes(after);
    let steps = planned(&fleet).await;
    for name in ["etcd-dismissal@attic", "gone-cellar@cluster", "apiserver@garage", "kubelet@shed"] {
        assert!(steps.iter().any(|s| s == name), "{name} is not in {steps:?}");
    }
    converge(&mut fleet, Mode::Present, "taken out").await;
    for name in ["attic", "garage"] {
        let root = fleet.machine(name).root();
        let members = fs::read_to_string(root.join("var/lib/etcd/member/members")).unwrap();
        assert!(members.lines().count() == 2 && !members.contains("cellar"), "{name}: {members}");
    }
    assert_eq!(fleet.world.facts["shed"].came_up["kubelet"], version);
    assert!(!fleet.picture().contains_key("object:v1:Node:cellar"));
}

/// Another machine at another address, in the place of a control plane that burnt: under its name and its overlay address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_is_replaced_by_a_machine_elsewhere() {
    let mut fleet = made(&World::of("four", Scene::four(), now())).await;
    let burnt = fleet.machine("cellar");
    burnt.kill();
    fs::remove_dir_all(burnt.root()).unwrap();
    burnt.install();
    let mut after = fleet.world.clone();
    let cellar = after.cluster.nodes.iter_mut().find(|n| n.name == "cellar").unwrap();
    (cellar.machine.ssh.address, cellar.machine.endpoint) = ("192.168.1.77".into(), Some("192.168.1.77:51820".into()));
    let overlay = cellar.overlay;
    fleet.errand = Errand { moving: Some(Moving::Replaced("cellar".into())), ..Errand::default() };
    fleet.becomes(after);
    let steps = planned(&fleet).await;
    for name in ["etcd@cellar", "kubelet@cellar", "overlay@shed"] {
        assert!(steps.iter().any(|s| s == name), "{name} is not in {steps:?}");
    }
    assert!(!steps.iter().any(|s| ["etcd@attic", "apiserver@garage", "kubelet@shed"].contains(&s.as_str())), "{steps:?}");
    converge(&mut fleet, Mode::Present, "replaced").await;
    let members = fs::read_to_string(fleet.machine("attic").root().join("var/lib/etcd/member/members")).unwrap();
    assert!(
        members.lines().filter(|l| l.ends_with(" voter")).count() == 3 && members.contains(&format!("cellar {overlay} voter")),
        "{members}"
    );
    assert!(fleet.machine("cellar").picture().contains_key("var/lib/homectl/etcd-cluster-id"));
}

/// A cluster of which a snapshot was taken, and more happened since.
async fn lived() -> Fleet {
    let mut fleet = made(&World::of("four", Scene::four(), now())).await;
    let mut store = fleet.api.store.lock().unwrap().clone();
    store.insert("object:v1:ConfigMap:default/old".into(), serde_json::json!({"kind": "ConfigMap", "metadata": {"name": "old"}}));
    fleet.api.snapshots.insert("then".into(), store);
    let new = serde_json::json!({"kind": "ConfigMap", "metadata": {"name": "new"}});
    fleet.api.store.lock().unwrap().insert("object:v1:ConfigMap:default/new".into(), new);
    fleet
}

/// The errand: a snapshot, or what the machine has that alone takes part.
fn restoring(fleet: &Fleet, file: Option<&Path>, only: Option<&str>) -> Errand {
    let recorded = fleet.world.cluster.etcd_cluster_id.clone();
    let restoring = Some(Restored { file: file.map(Path::to_owned), recorded, passing: 0 });
    Errand { restoring, only: only.map(str::to_owned), ..Errand::default() }
}

/// What etcd had before the restore lies aside on the machine.
fn is_kept(fleet: &Fleet, machine: &str) -> bool {
    let root = fleet.machine(machine).root();
    let founded = fs::read(fleet.machine(machine).ctl().join("founding-id")).unwrap();
    let all = fs::read_dir(root.join("var/lib/etcd")).unwrap().map(|e| e.unwrap().path());
    let mut aside = all.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with("before-"));
    aside.any(|p| fs::read(p.join("id")).is_ok_and(|id| id == founded))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_restored_whatever_is_cut() {
    let fleet = lived().await;
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("snapshot.db");
    fs::write(&file, "then\n").unwrap();
    let errand = restoring(&fleet, Some(&file), None);
    let begun = || {
        let mut copy = fleet.copy();
        copy.errand = errand.clone();
        copy
    };
    let mut undisturbed = begun();
    let steps = planned(&undisturbed).await;
    assert!(steps.iter().any(|s| s == "etcd-stop@garage"), "{steps:?}");
    ends(&mut undisturbed, "restored").await;
    let expected = undisturbed.picture();
    assert!(expected.contains_key("object:v1:ConfigMap:default/old") && !expected.contains_key("object:v1:ConfigMap:default/new"));
    for how in [How::Shells, How::Power] {
        let mut cut = begun();
        restore_with_cuts(&mut cut, how).await;
        same("restored with cuts", &expected, &cut);
        for machine in ["attic", "cellar", "garage"] {
            assert!(is_kept(&cut, machine), "{machine}: what was there is gone");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_survivor_is_restored_whatever_is_cut() {
    let fleet = lived().await;
    for name in ["cellar", "garage", "shed"] {
        fleet.machine(name).off();
    }
    let errand = restoring(&fleet, None, Some("attic"));
    let begun = || {
        let mut copy = fleet.copy();
        copy.errand = errand.clone();
        copy
    };
    let mut undisturbed = begun();
    assert!(!undisturbed.api.up(), "the majority is off");
    ends(&mut undisturbed, "restored").await;
    assert!(undisturbed.api.up(), "one member is enough now");
    let expected = undisturbed.picture();
    assert!(expected.contains_key("object:v1:ConfigMap:default/new"));
    // Cut before its very last rename, and no lock that says so: the record is there, and nothing is in the data's place.
    let mut last = begun();
    converge(&mut last, Mode::Present, "restored").await;
    let (attic, data) = (last.machine("attic"), last.machine("attic").root().join("var/lib/etcd"));
    attic.kill();
    fs::rename(data.join("member"), data.join("restored")).unwrap();
    attic.boot();
    let ran = last.run(Mode::Present, &Trouble::default()).await;
    assert_eq!(ran.report.failed, Vec::new());
    assert!(data.join("member").exists() && !data.join("restored").exists());
    ends(&mut last, "gone on with").await;
    same("gone on with", &expected, &last);
    for how in [How::Shells, How::Power] {
        let mut cut = begun();
        restore_with_cuts(&mut cut, how).await;
        same("restored with cuts", &expected, &cut);
        assert!(is_kept(&cut, "attic"), "what was there is gone");
    }
}

/// A backup from before other authorities took over, with the secrets of then: what kubelets have of the later ones goes with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored_with_authorities_from_before() {
    let mut fleet = lived().await;
    let mut then = fleet.world.clone();
    let other = Secrets::make(&then.cluster, then.now).unwrap();
    (then.secrets.cluster_ca, then.secrets.etcd_ca, then.secrets.front_proxy_ca) = (other.cluster_ca, other.etcd_ca, other.front_proxy_ca);
    then.secrets.refresh(&then.cluster, then.now).unwrap();
    fleet.becomes(then);
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("snapshot.db");
    fs::write(&file, "then\n").unwrap();
    let secrets = &fleet.world.secrets;
    let (trusted, signer) = (secrets.trusted(Ca::Cluster), secrets.authority(Ca::Cluster).cert.clone());
    fleet.errand = restoring(&fleet, Some(&file), None);
    let ran = fleet.run(Mode::Present, &Trouble::default()).await;
    assert_eq!(ran.report.failed, Vec::new());
    for node in ["attic", "shed"] {
        for file in ["client-current", "server-current"] {
            let item = format!("{node} certificate:/var/lib/kubelet/pki/kubelet-{file}.pem");
            assert!(told(&ran.plan).contains(&item), "{item} is not in {}", told(&ran.plan));
        }
    }
    ends(&mut fleet, "restored").await;
    trusts(&fleet, &trusted, &signer);
}

/// The one revision that all control planes have.
fn revision(fleet: &Fleet) -> u64 {
    let of = |name| fs::read_to_string(fleet.machine(name).root().join("var/lib/etcd/member/content")).unwrap();
    let all = ["attic", "cellar", "garage"].map(of);
    assert!(all.iter().all(|text| *text == all[0]), "{all:?}");
    all[0].lines().find_map(|line| line.strip_prefix("revision ")).unwrap().parse().unwrap()
}

/// One restore after the other: of a newer snapshot, of an older one, of the same once more; while time goes by, and whatever is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_restore_takes_anybody_back_in_time() {
    let mut fleet = lived().await;
    let then = fleet.api.snapshots["then"].clone();
    fleet.api.snapshots.insert("long ago".into(), then);
    let folder = tempfile::TempDir::new().unwrap();
    let snapshot = |name: &str, revision: u64| {
        let file = folder.path().join(name);
        fs::write(&file, format!("{name}\nrevision {revision}\n")).unwrap();
        file
    };
    let (newer, older) = (snapshot("then", 500_000), snapshot("long ago", 400_000));
    let (mut seen, mut ids) = (500_000, Vec::new());
    for (file, how) in [(&newer, How::Power), (&older, How::Shells), (&older, How::Shells)] {
        let mut errand = restoring(&fleet, Some(file), None);
        errand.restoring.as_mut().unwrap().passing = 1;
        fleet.errand = errand;
        // Cut in the middle of it, on one machine after the other, and gone on with later.
        let spoiled = spoil_what_there_is(&mut fleet, Mode::Present, how, &["attic", "cellar", "garage"], 3).await;
        let restored = fleet.restoring.clone().unwrap();
        assert!(spoiled > 1 && restored.is_done(&fleet.world.facts), "{spoiled}");
        assert!(!ids.contains(&restored.restore.id), "{ids:?}");
        ids.push(restored.restore.id);
        ends(&mut fleet, "restored").await;
        let now = revision(&fleet);
        assert!(now > seen && now < 1 << 52, "{now} after {seen}");
        // Life goes on.
        seen = now + 250_000;
        for name in ["attic", "cellar", "garage"] {
            let content = fleet.machine(name).root().join("var/lib/etcd/member/content");
            fs::write(&content, fs::read_to_string(&content).unwrap().replace(&now.to_string(), &seen.to_string())).unwrap();
        }
    }
}

/// A restore is at its end when its plan has nothing to do; the apply after it sees to the API.
async fn ends(fleet: &mut Fleet, context: &str) {
    converge(fleet, Mode::Present, context).await;
    fleet.errand.restoring = None;
    if fleet.errand.only.is_none() {
        converge(fleet, Mode::Present, context).await;
    }
}

async fn restore_with_cuts(fleet: &mut Fleet, how: How) {
    let all: Vec<String> = fleet.machines().map(|m| m.name).collect();
    spoil(fleet, Mode::Present, how, &all.iter().map(String::as_str).collect::<Vec<_>>(), 1).await;
    ends(fleet, "restored with cuts").await;
    let again = fleet.run(Mode::Present, &Trouble::default()).await;
    assert_eq!(again.plan.counts().changes(), 0, "{}", told(&again.plan));
}
