//! Numbers, the lock as a file, and what an inventory becomes with it.

use super::{AddonSource, Arch, Artifact, Cluster, Component, Lock, Role};
use crate::inventory::{self, Inventory};
use std::path::{Path, PathBuf};

const HEAD: &str = "[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n";

fn node(name: &str, last: usize) -> String {
    format!("[[node]]\nname = \"{name}\"\naddress = \"192.168.1.{last}\"\nrole = \"control-plane\"\n")
}

fn write(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("home.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn inventory(folder: &Path, rest: &str, names: &[&str]) -> Inventory {
    let nodes: String = names.iter().enumerate().map(|(i, n)| node(n, i + 10)).collect();
    inventory::read(&write(folder, &format!("{HEAD}{rest}{nodes}"))).unwrap()
}

/// A lock with made-up sums that covers the inventory.
fn covering(inventory: &Inventory) -> Lock {
    let mut lock = Lock::empty(inventory);
    for (i, c) in Component::ALL.into_iter().enumerate() {
        lock.programs.versions.insert(c, c.version(inventory));
        let artifact = Artifact { url: format!("https://dl.example.net/{c}"), sha256: format!("{i:064x}") };
        lock.programs.artifacts.insert((c, Arch::Amd64), artifact);
    }
    lock.assign(inventory).unwrap();
    lock
}

fn numbers(lock: &Lock) -> Vec<(&str, u16)> {
    lock.numbers.iter().map(|(n, i)| (n.as_str(), *i)).collect()
}

#[test]
fn numbers_follow_the_first_appearance_and_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut lock = covering(&inventory(dir.path(), "", &["c", "a", "b"]));
    assert_eq!(numbers(&lock), [("a", 2), ("b", 3), ("c", 1)]);
    lock.assign(&inventory(dir.path(), "", &["b", "c", "a"])).unwrap();
    assert_eq!(numbers(&lock), [("a", 2), ("b", 3), ("c", 1)]);
    // `a` left and may come back: nobody gets its number.
    lock.assign(&inventory(dir.path(), "", &["x", "b", "c"])).unwrap();
    assert_eq!(numbers(&lock), [("a", 2), ("b", 3), ("c", 1), ("x", 4)]);
    // Its line was taken out by hand: the number is free.
    lock.numbers.remove("a");
    lock.assign(&inventory(dir.path(), "", &["y", "x", "b", "c"])).unwrap();
    assert_eq!(lock.numbers["y"], 2);
}

#[test]
fn a_full_range_names_the_numbers_that_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let small = "[network]\noverlay = \"10.77.0.0/29\"\n";
    let mut lock = covering(&inventory(dir.path(), small, &["a", "b", "c", "d", "e", "f"]));
    let error = lock.assign(&inventory(dir.path(), small, &["a", "b", "c", "d", "e", "g"])).unwrap_err();
    assert_eq!(error.exit_code(), 65);
    let said = error.to_string();
    assert!(said.contains("no node number left for `g`") && said.contains("left the inventory: f"), "{said}");
}

#[test]
fn a_lock_is_the_same_after_a_round_and_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let inventory = inventory(dir.path(), "", &["attic", "cabin"]);
    let mut lock = covering(&inventory);
    lock.etcd_cluster_id = Some("0123456789abcdef".to_owned());
    let path = Lock::path(&inventory.path);
    assert_eq!(path, dir.path().join("home.lock"));
    assert!(lock.save(&path).unwrap());
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    let loaded = Lock::load(&path).unwrap().unwrap();
    assert_eq!(loaded, lock);
    assert!(!loaded.save(&path).unwrap(), "nothing to write");
    assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), before);
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# Made by homectl; commit it."), "{text}");
    for part in [
        "version = 1\ncluster = \"home\"\nkubernetes = \"1.36.3\"\netcd-cluster-id = \"0123456789abcdef\"\n",
        "[numbers]\nattic = 1\ncabin = 2\n",
        "[programs.etcd]\nversion = \"v3.6.16\"\n\n[programs.etcd.amd64]\nurl = \"https://dl.example.net/etcd\"\nsha256 = \"00",
    ] {
        assert!(text.contains(part), "{part}\n--- not in\n{text}");
    }
}

#[test]
fn a_linked_lock_stays_a_link_and_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let inventory = inventory(dir.path(), "", &["attic"]);
    let (path, target) = (dir.path().join("home.lock"), dir.path().join("elsewhere"));
    std::fs::write(&target, "").unwrap();
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    assert!(covering(&inventory).save(&path).unwrap());
    assert!(path.is_symlink());
    assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(Lock::load(&path).unwrap().is_some());
}

#[test]
fn a_lock_that_cannot_be_written_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let inventory = inventory(dir.path(), "", &["attic"]);
    let error = covering(&inventory).save(&dir.path().join("gone/home.lock")).unwrap_err();
    assert!(error.what().contains("cannot write"), "{error}");
}

#[test]
fn locks_that_are_none_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home.lock");
    assert!(Lock::load(&path).unwrap().is_none());
    let good = covering(&inventory(dir.path(), "", &["attic", "cabin"])).text().unwrap();
    let cases = [
        (good.replace("version = 1\n", "version = 2\n"), "its format is 2"),
        (good.replace("version = 1\n", ""), "no format version"),
        ("not toml".to_owned(), "not a lock of homectl"),
        (format!("surprise = 1\n{good}"), "not a lock of homectl"),
        (good.replace("cabin = 2", "cabin = 1"), "both have the number 1"),
        (good.replace("cabin = 2", "cabin = 0"), "has the number 0"),
        (good.replace("cabin = 2", "cabin = 70000"), "not a lock of homectl"),
        (good.replacen("sha256 = \"0", "sha256 = \"G", 1), "is not the sha256 of"),
        (good.replacen("https://", "http://", 1), "is not the https URL of"),
        (good.replace("[numbers]", "etcd-cluster-id = \"12\"\n[numbers]"), "not an etcd cluster ID"),
        ("\u{0}".repeat(5 << 20), "longer than 4 MiB"),
    ];
    for (text, why) in cases {
        std::fs::write(&path, text).unwrap();
        let error = Lock::load(&path).unwrap_err();
        assert_eq!(error.exit_code(), 65);
        assert!(error.what().contains(why), "{why}: {error}");
    }
}

#[test]
fn another_clusters_lock_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let inventory = inventory(dir.path(), "", &["attic"]);
    let mut lock = covering(&inventory);
    lock.cluster = "cabin".to_owned();
    let error = inventory.resolve(&lock).unwrap_err();
    assert_eq!(error.exit_code(), 65);
    assert!(error.what().contains("belongs to the cluster `cabin`"), "{error}");
}

#[test]
fn a_lock_that_does_not_cover_the_inventory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let lock = covering(&inventory(dir.path(), "", &["attic"]));
    for (rest, names, why) in [
        ("", ["attic", "new"].as_slice(), "no number for `new`"),
        ("[cluster.versions]\netcd = \"3.6.15\"\n", &["attic"], "asks for v3.6.15"),
    ] {
        let error = inventory(dir.path(), rest, names).resolve(&lock).unwrap_err();
        assert!(error.what().contains(why), "{error}");
        assert!(error.remedy().is_some_and(|r| r.contains("homectl lock")), "{error}");
    }
    let other = inventory::read(&write(dir.path(), &(HEAD.replace("1.36.3", "1.35.4") + &node("attic", 10)))).unwrap();
    assert!(other.resolve(&lock).unwrap_err().what().contains("Kubernetes 1.36.3, the inventory 1.35.4"));
    let shrunk = inventory(dir.path(), "[network]\noverlay = \"10.77.0.0/30\"\n", &["attic"]);
    let mut far = lock.clone();
    far.numbers.insert("attic".to_owned(), 9);
    assert!(shrunk.resolve(&far).unwrap_err().what().contains("number 9"));
}

fn full(dir: &Path) -> Cluster {
    let text = format!(
        "{HEAD}\n[ssh]\nuser = \"pi\"\nidentity = \"keys/id\"\nport = 2222\n\
         [[node]]\nname = \"cabin\"\naddress = \"cabin.example.net\"\nsite = \"cabin\"\nbehind-nat = true\nport = 22\nuser = \"root\"\n\
         [[node]]\nname = \"attic\"\naddress = \"2001:db8::1\"\nrole = \"control-plane\"\nlisten-port = 7000\ntaints = [\"b:NoExecute\", \"a=1:NoSchedule\"]\n\
         [[node]]\nname = \"cellar\"\naddress = \"192.168.1.9\"\nendpoint = \"home.example.net:1\"\n\
         [[addon]]\nname = \"media\"\nneeds = [\"local-storage\"]\nmanifests = [\"media/*.yaml\", \"media/a.yaml\"]\n\
         [[addon]]\nname = \"local-storage\"\n"
    );
    std::fs::create_dir_all(dir.join("media")).unwrap();
    std::fs::write(dir.join("media/b.yaml"), "b: 1\n").unwrap();
    std::fs::write(dir.join("media/a.yaml"), "a: 1\n").unwrap();
    let inventory = inventory::read(&write(dir, &text)).unwrap();
    let mut lock = covering(&inventory);
    lock.numbers = [("cabin", 3), ("attic", 1), ("cellar", 200)].map(|(n, i)| (n.to_owned(), i)).into();
    inventory.resolve(&lock).unwrap()
}

#[test]
fn addresses_follow_from_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = full(dir.path());
    let told: Vec<String> = cluster.nodes.iter().map(|n| format!("{} {} {} {}", n.number, n.name, n.overlay, n.pods)).collect();
    assert_eq!(told, ["1 attic 10.77.0.1 10.78.1.0/24", "3 cabin 10.77.0.3 10.78.3.0/24", "200 cellar 10.77.0.200 10.78.200.0/24"]);
    assert_eq!(cluster.api_service().to_string(), "10.79.0.1");
    assert_eq!(cluster.dns_service().to_string(), "10.79.0.10");
}

#[test]
fn logins_and_endpoints_have_their_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = full(dir.path());
    let [attic, cabin, cellar] = cluster.nodes.as_slice() else { panic!("{:?}", cluster.nodes) };
    assert_eq!((attic.ssh.user.as_str(), attic.ssh.port, attic.ssh.identities[0].clone()), ("pi", 2222, dir.path().join("keys/id")));
    assert_eq!((cabin.ssh.user.as_str(), cabin.ssh.port), ("root", 22));
    let asked = |rest: &str| {
        let inventory = inventory(dir.path(), rest, &["attic"]);
        inventory.resolve(&covering(&inventory)).unwrap().nodes[0].ssh.user.clone()
    };
    assert_eq!((asked("[ssh]\nssh-config = true\n").as_str(), asked("[ssh]\nssh-config = true\nuser = \"pi\"\n").as_str()), ("", "pi"));
    assert_eq!((attic.role, cabin.role), (Role::ControlPlane, Role::Worker));
    assert_eq!(attic.endpoint.as_deref(), Some("[2001:db8::1]:7000"));
    assert_eq!(cabin.endpoint, None);
    assert_eq!(cellar.endpoint.as_deref(), Some("home.example.net:1"));
    // Within a site the machine's own address, whatever its router says.
    assert_eq!(cellar.endpoint_from(attic).as_deref(), Some("192.168.1.9:51820"));
    assert_eq!(cellar.endpoint_from(cabin).as_deref(), Some("home.example.net:1"));
    assert_eq!(cabin.endpoint_from(attic), None);
    assert_eq!(attic.taints.iter().map(|t| t.key.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn add_ons_come_in_the_order_of_needs_with_dns_first() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = full(dir.path());
    assert_eq!(cluster.addons.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["coredns", "local-storage", "media"]);
    assert!(matches!(cluster.addons[1].source, AddonSource::Catalogue));
    let AddonSource::Manifests(files) = &cluster.addons[2].source else { panic!("{:?}", cluster.addons[2]) };
    let told: Vec<_> = files.iter().map(|(p, t)| (p.display().to_string(), t.as_str())).collect();
    assert_eq!(told, [("media/a.yaml".to_owned(), "a: 1\n"), ("media/b.yaml".to_owned(), "b: 1\n")]);
}

#[test]
fn the_order_of_the_inventory_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let one = inventory(dir.path(), "", &["a", "b", "c"]);
    let lock = covering(&one);
    let names = |i: &Inventory| i.resolve(&lock).unwrap().nodes.iter().map(|n| format!("{}{}", n.name, n.overlay)).collect::<Vec<_>>();
    assert_eq!(names(&one), names(&inventory(dir.path(), "", &["c", "b", "a"])));
}

/// An inventory of this Kubernetes version.
fn asking(folder: &Path, kubernetes: &str) -> Inventory {
    let mut inventory = inventory(folder, "", &["attic"]);
    // Versions to come are tested by nobody yet.
    inventory.kubernetes = kubernetes.parse().unwrap();
    inventory
}

/// A lock of a cluster that lives, at this version.
fn living(folder: &Path, kubernetes: &str) -> Lock {
    let mut lock = covering(&asking(folder, kubernetes));
    lock.etcd_cluster_id = Some("0123456789abcdef".to_owned());
    lock
}

/// The version in the inventory moves, and the lock with it.
fn moves(lock: &mut Lock, folder: &Path, kubernetes: &str) -> crate::error::Result<()> {
    let inventory = asking(folder, kubernetes);
    lock.depart(&inventory)?;
    let resolved = covering(&inventory);
    (lock.kubernetes, lock.programs) = (resolved.kubernetes, resolved.programs);
    Ok(())
}

/// This version, the one before, older ones.
fn told(lock: &Lock) -> String {
    let of = |r: &super::Release| r.kubernetes.to_string();
    let (before, older) = (lock.previous.as_ref().map_or("-".to_owned(), of), lock.older.iter().map(of).collect::<Vec<_>>());
    format!("{} {before} {}", lock.kubernetes, older.join(","))
}

#[test]
fn what_is_gone_back_to_is_what_was_replaced_last() {
    let dir = tempfile::tempdir().unwrap();
    let mut lock = living(dir.path(), "1.35.4");
    moves(&mut lock, dir.path(), "1.36.3").unwrap();
    assert_eq!(told(&lock), "1.36.3 1.35.4 ");
    // One machine is off, and stays so; the others have arrived.
    assert!(lock.arrive(false) && !lock.arrive(false));
    assert_eq!(told(&lock), "1.36.3 - 1.35.4");
    assert!(lock.last().is_none(), "no version is on its way");
    moves(&mut lock, dir.path(), "1.36.4").unwrap();
    assert_eq!(told(&lock), "1.36.4 1.36.3 1.35.4");
    assert_eq!(lock.last().unwrap().kubernetes.to_string(), "1.36.3");
    assert_eq!(lock.releases().iter().map(|r| r.kubernetes.to_string()).collect::<Vec<_>>(), ["1.36.4", "1.36.3", "1.35.4"]);
    let path = dir.path().join("home.lock");
    lock.save(&path).unwrap();
    assert_eq!(Lock::load(&path).unwrap().unwrap(), lock);
    assert!(lock.arrive(true));
    assert_eq!(told(&lock), "1.36.4 - ");
}

#[test]
fn a_machine_that_is_off_keeps_nobody_from_the_next_minor() {
    let dir = tempfile::tempdir().unwrap();
    let mut lock = living(dir.path(), "1.35.4");
    moves(&mut lock, dir.path(), "1.36.3").unwrap();
    lock.arrive(false);
    for (version, known) in [("1.37.0", "1.36.3,1.35.4"), ("1.38.0", "1.37.0,1.36.3,1.35.4"), ("1.39.0", "1.38.0,1.37.0,1.36.3")] {
        moves(&mut lock, dir.path(), version).unwrap();
        lock.arrive(false);
        assert_eq!(told(&lock), format!("{version} - {known}"), "a kubelet of 1.35 may not come back behind a 1.39");
    }
    let refused = moves(&mut lock, dir.path(), "1.41.0").unwrap_err();
    assert!(refused.exit_code() == 4 && refused.what().contains("1.39.0 may not become 1.41.0: it would skip 1.40"), "{refused}");
}

#[test]
fn versions_that_are_on_their_way_move_on_or_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut lock = living(dir.path(), "1.35.4");
    moves(&mut lock, dir.path(), "1.36.3").unwrap();
    let mut on = lock.clone();
    moves(&mut on, dir.path(), "1.36.4").unwrap();
    assert_eq!(told(&on), "1.36.4 1.35.4 1.36.3");
    assert_eq!(on.last().unwrap().kubernetes.to_string(), "1.36.3", "some may have been that");
    // All API servers may have arrived while one worker never does.
    let mut next = lock.clone();
    moves(&mut next, dir.path(), "1.37.0").unwrap();
    assert_eq!(told(&next), "1.37.0 1.36.3 1.35.4");
    // Back before anybody moved; who did is known still.
    moves(&mut lock, dir.path(), "1.35.4").unwrap();
    assert_eq!(told(&lock), "1.35.4 - 1.36.3");
    let mut fresh = living(dir.path(), "1.36.3");
    assert!(moves(&mut fresh, dir.path(), "1.35.4").unwrap_err().what().contains("it would go back"));
    fresh.etcd_cluster_id = None;
    moves(&mut fresh, dir.path(), "1.35.4").unwrap();
    assert_eq!(told(&fresh), "1.35.4 - ", "before there is a cluster any version will do");
}
