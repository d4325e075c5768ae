//! Backups whose parts are of one cluster, and those whose parts are not.

use super::*;
use crate::backup::{INVENTORY, LOCK, Manifest, Part, Seal, Snapshot};
use crate::pki::fixture::{NOW, cluster};
use std::fs;

const TEXT: &str = "[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n\n[[node]]\nname = \"attic\"\naddress = \"192.168.1.20\"\nrole = \"control-plane\"\n";
const ID: &str = "0123456789abcdef";

/// What a backup is made of.
struct Made {
    text: String,
    manifest_cluster: &'static str,
    lock_id: Option<&'static str>,
    secrets_id: Option<&'static str>,
}

impl Made {
    fn good() -> Self {
        Self { text: TEXT.into(), manifest_cluster: "home", lock_id: Some(ID), secrets_id: Some(ID) }
    }

    /// Written, and read back by whoever made it.
    fn read(&self) -> Result<Opened> {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::generate();
        let path = dir.path().join(INVENTORY);
        fs::write(&path, &self.text).unwrap();
        let mut lock = Lock::empty(&inventory::read(&path).unwrap());
        lock.etcd_cluster_id = self.lock_id.map(str::to_owned);
        lock.save(&Lock::path(&path)).unwrap();
        let secrets = Secrets { etcd_cluster_id: self.secrets_id.map(str::to_owned), ..Secrets::make(&cluster(), NOW).unwrap() };
        let sealed = dir.path().join(SECRETS);
        secrets::save(&sealed, &secrets, &identity, &[]).unwrap();
        let parts: Vec<(&str, Vec<u8>)> = vec![
            (INVENTORY, fs::read(&path).unwrap()),
            (LOCK, fs::read(Lock::path(&path)).unwrap()),
            (SECRETS, fs::read(&sealed).unwrap()),
            (SNAPSHOT, b"a snapshot".to_vec()),
        ];
        let manifest = Manifest {
            format: 1,
            homectl: "0.1.0".into(),
            cluster: self.manifest_cluster.into(),
            time: "2026-11-22T06:00:00Z".into(),
            node: "attic".into(),
            kubernetes: "1.36.3".into(),
            etcd: "v3.6.16".into(),
            etcd_cluster_id: ID.into(),
            snapshot: Snapshot { revision: 7, keys: 5, hash: 1, hash_kv: 2, compacted: -1 },
            parts: parts.iter().map(|(name, bytes)| Part::of(*name, bytes)).collect(),
        };
        let file = dir.path().join("home.backup.age");
        let mut seal = Seal::begin(fs::File::create(&file).unwrap(), &[identity.recipient()], &manifest).unwrap();
        for (name, bytes) in &parts {
            seal.part(name, bytes).unwrap();
        }
        seal.finish().unwrap();
        Opened::read(&file, &identity)
    }

    fn refusal(&self) -> String {
        match self.read() {
            Ok(_) => "believed".into(),
            Err(failure) => {
                assert!(failure.remedy().is_some(), "{failure}");
                failure.what().to_owned()
            }
        }
    }
}

#[test]
fn one_clusters_parts_are_opened_and_gone_afterwards() {
    let opened = Made::good().read().unwrap();
    assert_eq!((opened.inventory.name.as_str(), opened.lock.etcd_cluster_id.as_deref()), ("home", Some(ID)));
    assert_eq!(fs::read(&opened.snapshot).unwrap(), b"a snapshot");
    let place = opened.snapshot.clone();
    drop(opened);
    assert!(!place.exists() && !place.parent().unwrap().exists());
    // Before the first apply ended nothing was recorded.
    assert_eq!(Made { lock_id: None, secrets_id: None, ..Made::good() }.refusal(), "believed");
}

#[test]
fn parts_of_different_clusters_are_refused() {
    let table = [
        (Made { manifest_cluster: "cabin", ..Made::good() }, "the backup is mixed: its inventory says home, its manifest cabin"),
        (
            Made { lock_id: Some("ffffffffffffffff"), ..Made::good() },
            "the backup is mixed: its lock says ffffffffffffffff, its manifest 0123456789abcdef",
        ),
        (
            Made { secrets_id: Some("ffffffffffffffff"), ..Made::good() },
            "the backup is mixed: its secrets file says ffffffffffffffff, its manifest 0123456789abcdef",
        ),
        (
            Made { text: TEXT.replace("\"home\"", "\"cabin\""), manifest_cluster: "cabin", ..Made::good() },
            "the secrets are of the cluster `home`, the inventory is of `cabin`",
        ),
    ];
    for (made, expected) in table {
        assert_eq!(made.refusal(), expected);
    }
}

/// Whoever made a backup chose its names, and the inventory in it.
#[test]
fn a_forged_backup_writes_no_file_but_manifests() {
    let mut opened = Made::good().read().unwrap();
    let addon = "[[addon]]\nname = \"mine\"\nmanifests = [\"media/*.yaml\", \".bash_profile\", \"**/*.conf\"]\n";
    let parts = &mut opened.content.parts;
    parts.insert(backup::INVENTORY.into(), format!("{TEXT}{addon}").into_bytes().into());
    for name in ["media/a.yaml", "media/deep/b.yaml", "x.conf", ".bash_profile", ".ssh/x.conf", "media/.c.yaml", "bin/tool"] {
        parts.insert(format!("{}{name}", backup::MANIFESTS), b"x".to_vec().into());
    }
    let dir = tempfile::tempdir().unwrap();
    let laid = crate::verbs::backup::lay_out(&opened.content, &dir.path().join("house.toml")).unwrap();
    let mut names: Vec<_> = laid.written.iter().map(|p| p.strip_prefix(dir.path()).unwrap().to_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["house.lock", "house.secrets.age", "house.toml", "media/a.yaml", "x.conf"]);
    let strange = [".bash_profile", ".ssh/x.conf", "bin/tool", "media/.c.yaml", "media/deep/b.yaml"];
    let told: Vec<String> = strange
        .iter()
        .map(|name| format!("Not written: manifests/{name} (it is hidden, or the backup's inventory does not name it)"))
        .collect();
    assert_eq!(laid.left_out().collect::<Vec<_>>(), told);
    assert!(!dir.path().join(".ssh").exists() && !dir.path().join("bin").exists());
}

#[test]
fn what_is_missing_is_written_and_what_is_there_stays() {
    let opened = Made::good().read().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("house.toml");
    let laid = crate::verbs::backup::lay_out(&opened.content, &path).unwrap();
    let mut names: Vec<_> = laid.written.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["house.lock", "house.secrets.age", "house.toml"]);
    fs::write(&path, "mine").unwrap();
    let again = crate::verbs::backup::lay_out(&opened.content, &path).unwrap();
    assert_eq!((again.written.len(), again.other), (0, vec![path.clone()]));
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
}
