//! Backups that lie on a machine: listed, read and taken home by the program itself, over a real connection.

use crate::server::{Sshd, keygen};
use homectl::backup::{INVENTORY, LOCK, Manifest, Part, SECRETS, SNAPSHOT, Seal, Snapshot};
use homectl::secrets::create_identity;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Sorted by name is sorted by time.
const NAMES: [&str; 2] = ["home-20261121T060000Z.backup.age", "home-20261122T060000Z.backup.age"];

/// A machine that keeps two backups, and an operator's folder with an inventory that knows the machine and nothing else.
struct House {
    server: Sshd,
    desk: tempfile::TempDir,
}

impl House {
    fn new(more: &str) -> Self {
        let house = Self { server: Sshd::start(""), desk: tempfile::tempdir().unwrap() };
        let server = &house.server;
        let text = format!(
            "[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n{more}\n[ssh]\nidentity = \"{}\"\n\n[[node]]\nname = \"attic\"\naddress = \"127.0.0.1\"\n\
             port = {}\nhost-key = \"{}\"\nrole = \"control-plane\"\n",
            server.path("key").display(),
            server.port,
            server.host_key("ed25519")
        );
        std::fs::write(house.at("inventory.toml"), text).unwrap();
        let identity = create_identity(&house.at("id.txt")).unwrap().identity;
        std::fs::create_dir(server.path("kept")).unwrap();
        for (name, day) in NAMES.into_iter().zip(21..) {
            let parts: Vec<(&str, Vec<u8>)> =
                [INVENTORY, LOCK, SECRETS].map(|part| (part, format!("{part} of day {day}\n").into_bytes())).into();
            let parts = [parts, vec![(SNAPSHOT, vec![7; 300_000])]].concat();
            let manifest = Manifest {
                format: 1,
                homectl: "0.1.0".into(),
                cluster: "home".into(),
                time: format!("2026-11-{day}T06:00:00Z"),
                node: "attic".into(),
                kubernetes: "1.36.3".into(),
                etcd: "v3.6.16".into(),
                etcd_cluster_id: "0123456789abcdef".into(),
                snapshot: Snapshot { revision: 7, keys: 5, hash: 1, hash_kv: 2, compacted: -1 },
                parts: parts.iter().map(|(name, bytes)| Part::of(*name, bytes)).collect(),
            };
            let to = std::fs::File::create(house.kept(name)).unwrap();
            let mut seal = Seal::begin(to, &[identity.recipient()], &manifest).unwrap();
            for (name, bytes) in &parts {
                seal.part(name, bytes).unwrap();
            }
            seal.finish().unwrap();
            std::fs::set_permissions(house.kept(name), PermissionsExt::from_mode(0o600)).unwrap();
        }
        house
    }

    fn at(&self, name: &str) -> PathBuf {
        self.desk.path().join(name)
    }

    fn kept(&self, name: &str) -> PathBuf {
        self.server.path("kept").join(name)
    }

    /// The place as it is typed.
    fn place(&self) -> String {
        format!("node:attic:{}", self.server.path("kept").display())
    }

    /// stdout and stderr of a run in the operator's folder, which has to end with `code`.
    fn run(&self, args: &[&str], code: i32) -> (String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_homectl"));
        command.args(args).current_dir(self.desk.path()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.desk.path()).env("PATH", "/usr/bin:/bin").env("HOMECTL_IDENTITY", self.at("id.txt"));
        let ran = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&ran.stdout), text(&ran.stderr));
        assert_eq!(ran.status.code(), Some(code), "{args:?}\n{out}{err}");
        (out, err)
    }

    /// What lies in the operator's folder.
    fn files(&self) -> Vec<String> {
        let mut all: Vec<String> = self.desk.path().read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        all.retain(|name| !name.starts_with('.'));
        all.sort();
        all
    }
}

/// Neither a lock nor secrets are asked for, nor made.
#[test]
fn a_place_on_a_machine_is_listed() {
    let house = House::new("");
    let (out, _) = house.run(&["backup", "list", &house.place()], 0);
    let names: Vec<&str> = out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, [NAMES[1], NAMES[0]], "newest first");
    let (out, _) = house.run(&["backup", "list", "--json", &house.place()], 0);
    let doc: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (doc["places"][0]["place"].as_str(), doc["places"][0]["backups"].as_array().map(Vec::len)),
        (Some(&*house.place()), Some(2))
    );
    let one = format!("{}/{}", house.place(), NAMES[0]);
    let (out, _) = house.run(&["backup", "list", &one], 0);
    assert!(out.starts_with(&format!("{one}\n  cluster home (Kubernetes 1.36.3, etcd v3.6.16), 2026-11-21T06:00:00Z")), "{out}");
    assert_eq!(house.files(), ["id.txt", "inventory.toml"]);
}

/// The inventory's own places, a machine's and a folder that is not there: what can be read is listed, the other named.
#[test]
fn the_inventorys_places_are_listed_together() {
    let mut house = House::new("");
    let text = std::fs::read_to_string(house.at("inventory.toml")).unwrap();
    let table = format!("[backup]\nto = [\"near\", \"{}\", \"gone\"]\nkeep = 2\n\n[ssh]", house.place());
    std::fs::write(house.at("inventory.toml"), text.replace("[ssh]", &table)).unwrap();
    std::fs::create_dir(house.at("near")).unwrap();
    let (out, err) = house.run(&["backup", "list"], 1);
    assert!(out.contains(&format!("./near: none\n{}\n  {}  ", house.place(), NAMES[1])), "{out}");
    assert!(err.contains("gone cannot be read"), "{err}");
    // Its machine is off: the others are named to whoever wants what lies on it.
    house.server.child.kill().unwrap();
    house.server.child.wait().unwrap();
    let (_, err) = house.run(&["restore", "--from", &format!("{}/{}", house.place(), NAMES[1])], 1);
    for part in ["attic: cannot reach 127.0.0.1", "lies on it", "is attic switched on", "a copy that is kept somewhere else: ", "/near, "] {
        assert!(err.contains(part), "{part}: {err}");
    }
    assert_eq!(house.files(), ["id.txt", "inventory.toml", "near"]);
}

#[test]
fn files_of_a_backup_on_a_machine_come_home() {
    let house = House::new("");
    let newest = format!("{}/{}", house.place(), NAMES[1]);
    let (_, err) = house.run(&["backup", "unpack", &newest], 4);
    assert!(err.contains("some files are there already with another content"), "{err}");
    assert_eq!(std::fs::read_to_string(house.at("inventory.lock")).unwrap(), "inventory.lock of day 22\n");
    assert_eq!(std::fs::read_to_string(house.at("inventory.secrets.age")).unwrap(), "inventory.secrets.age of day 22\n");
}

/// The newest is what a place stands for; only a restore wants it said which.
#[test]
fn which_one_is_meant() {
    let house = House::new("");
    // What it holds was made up, and that is seen as soon as it was read.
    for verb in [&["backup", "verify"][..], &["drill", "restore", "--from"]] {
        let (_, err) = house.run(&[verb, &[&*house.place()]].concat(), 65);
        assert!(err.contains("inventory.toml of day 22"), "{err}");
    }
    let (_, err) = house.run(&["restore", "--from", &house.place()], 64);
    for part in ["is no backup but a place of them", NAMES[0], NAMES[1], "name one of them"] {
        assert!(err.contains(part), "{part}: {err}");
    }
}

#[test]
fn what_cannot_be_read_there_is_told() {
    let house = House::new("");
    let (_, err) = house.run(&["backup", "list", "node:shed:/srv/backups"], 64);
    assert!(err.contains("there is no node `shed`") && err.contains("the nodes are attic"), "{err}");
    let (_, err) = house.run(&["backup", "list", "node:attic:/srv/nowhere"], 1);
    assert!(err.contains("attic: /srv/nowhere cannot be read") && err.contains("there is no such folder"), "{err}");
    let gone = format!("{}/home-20261101T060000Z.backup.age", house.place());
    let (_, err) = house.run(&["backup", "verify", &gone], 1);
    assert!(err.contains("is not there") && err.contains(NAMES[1]), "{err}");
    // Damage on its disk is seen here.
    let mut bytes = std::fs::read(house.kept(NAMES[1])).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(house.kept(NAMES[1]), bytes).unwrap();
    let (_, err) = house.run(&["backup", "verify", &house.place()], 1);
    assert!(err.contains("is damaged"), "{err}");
    std::fs::rename(house.at("inventory.toml"), house.at("other.toml")).unwrap();
    let (_, err) = house.run(&["backup", "list", &house.place()], 64);
    assert!(err.contains("no inventory that says how to reach it") && err.contains("scp"), "{err}");
    house.run(&["backup", "list", "--inventory", "other.toml", &house.place()], 0);
}

/// A machine that was installed anew has another key, and is not believed to be the same.
#[test]
fn a_machine_with_another_key_is_not_asked() {
    let house = House::new("");
    keygen(&house.at("another"), "ed25519", "");
    let text = std::fs::read_to_string(house.at("inventory.toml")).unwrap();
    let other = crate::server::fingerprint(&house.at("another.pub"));
    std::fs::write(house.at("inventory.toml"), text.replace(&house.server.host_key("ed25519"), &other)).unwrap();
    let (_, err) = house.run(&["backup", "list", &house.place()], 1);
    assert!(err.contains("the host key of") && err.contains("name a copy that is kept somewhere else"), "{err}");
    let unpinned: Vec<&str> = text.lines().filter(|l| !l.starts_with("host-key")).collect();
    std::fs::write(house.at("inventory.toml"), unpinned.join("\n")).unwrap();
    let (_, err) = house.run(&["backup", "list", &house.place()], 1);
    assert!(err.contains("is not known"), "{err}");
    let (out, _) = house.run(&["backup", "list", "--accept-new", &house.place()], 0);
    assert!(out.contains(NAMES[0]), "{out}");
    house.run(&["backup", "list", &house.place()], 0);
}
