//! Backups that are whole, and every way in which they are not; folders of them.

use super::*;
use crate::error::{Failure, exit};
use crate::secrets::Identity;
use std::fs;
use std::path::{Path, PathBuf};

/// Parts as a backup of the cluster `home` has them.
fn parts() -> Vec<(String, Vec<u8>)> {
    let text = |name: &str| format!("{name} of home\n").repeat(40).into_bytes();
    let names = [INVENTORY, LOCK, SECRETS, KNOWN_HOSTS, "manifests/media/jelly.yaml"];
    let mut all: Vec<_> = names.iter().map(|name| ((*name).to_owned(), text(name))).collect();
    all.push((SNAPSHOT.to_owned(), (0..200_000u32).flat_map(u32::to_le_bytes).collect()));
    all
}

fn manifest(parts: &[(String, Vec<u8>)]) -> Manifest {
    Manifest {
        format: 1,
        homectl: "0.1.0".into(),
        cluster: "home".into(),
        time: "2026-11-22T06:00:00Z".into(),
        node: "attic".into(),
        kubernetes: "1.36.3".into(),
        etcd: "v3.6.16".into(),
        etcd_cluster_id: "0123456789abcdef".into(),
        snapshot: Snapshot { revision: 7, keys: 5, hash: 1, hash_kv: 2, compacted: -1 },
        parts: parts.iter().map(|(name, bytes)| Part::of(name.clone(), bytes)).collect(),
    }
}

struct Written {
    dir: tempfile::TempDir,
    identity: Identity,
}

impl Written {
    fn path(&self) -> PathBuf {
        self.dir.path().join("home.backup.age")
    }

    /// Writes what `manifest` says with what `parts` are, whether they agree or not.
    fn new(manifest: &Manifest, parts: &[(String, Vec<u8>)]) -> Result<Self, Failure> {
        let written = Self { dir: tempfile::tempdir().unwrap(), identity: Identity::generate() };
        let file = fs::File::create(written.path()).unwrap();
        let mut seal = Seal::begin(file, &[written.identity.recipient()], manifest)?;
        for (name, bytes) in parts {
            seal.open(name)?;
            for piece in bytes.chunks(70_001) {
                seal.write(piece).unwrap();
            }
            seal.close()?;
        }
        seal.finish()?;
        Ok(written)
    }

    fn read(&self) -> Result<(Content, Vec<u8>), Failure> {
        let mut snapshot = Vec::new();
        let content = read(&self.path(), &self.identity, Some(&mut snapshot))?;
        Ok((content, snapshot))
    }
}

#[test]
fn what_is_written_is_what_is_read() {
    let parts = parts();
    let written = Written::new(&manifest(&parts), &parts).unwrap();
    let (content, snapshot) = written.read().unwrap();
    assert_eq!(content.manifest, manifest(&parts));
    for (name, bytes) in &parts {
        if name == SNAPSHOT {
            assert!(snapshot == *bytes);
        } else {
            assert_eq!(content.part(name).unwrap(), bytes);
        }
    }
    let sealed = fs::read(written.path()).unwrap();
    assert!(!sealed.windows(7).any(|w| w == b"of home"), "nothing is in clear");
}

/// What age and tar say of it, without homectl.
#[test]
fn the_age_program_opens_it() {
    let parts = parts();
    let written = Written::new(&manifest(&parts), &parts).unwrap();
    let choice = crate::secrets::create_identity(&written.dir.path().join("id.txt")).unwrap();
    let file = fs::File::create(written.path()).unwrap();
    let mut seal = Seal::begin(file, &[choice.identity.recipient()], &manifest(&parts)).unwrap();
    for (name, bytes) in &parts {
        seal.part(name, bytes).unwrap();
    }
    seal.finish().unwrap();
    let script = format!("age -d -i {} {} | tar -xO {INVENTORY}", choice.path.display(), written.path().display());
    if std::process::Command::new("age").arg("--version").output().is_err() {
        return;
    }
    let ran = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(ran.stdout, parts[0].1, "{}", String::from_utf8_lossy(&ran.stderr));
}

fn refused(written: &Written) -> Failure {
    match written.read() {
        Ok(_) => panic!("it was believed"),
        Err(failure) => {
            assert!(failure.remedy().is_some(), "{failure}");
            failure
        }
    }
}

#[test]
fn a_file_that_was_cut_or_changed_anywhere_is_refused() {
    let parts = parts();
    let written = Written::new(&manifest(&parts), &parts).unwrap();
    let whole = fs::read(written.path()).unwrap();
    let mut cases: Vec<Vec<u8>> = [0, 10, 300, 70_000, whole.len() - 1].iter().map(|n| whole[..*n].to_vec()).collect();
    for at in (40..whole.len()).step_by(whole.len() / 60) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        cases.push(flipped);
    }
    cases.push([whole.as_slice(), b"more"].concat());
    cases.push(b"hello".to_vec());
    for bytes in cases {
        fs::write(written.path(), &bytes).unwrap();
        let failure = refused(&written);
        assert!([exit::FAILED, exit::INVENTORY].contains(&failure.exit_code()), "{failure}");
    }
}

#[test]
fn a_wrong_identity_is_told_the_right_one() {
    let parts = parts();
    let written = Written::new(&manifest(&parts), &parts).unwrap();
    let failure = read(&written.path(), &Identity::generate(), None).unwrap_err();
    assert_eq!(failure.exit_code(), exit::INVENTORY);
    assert_eq!(failure.evidence()[0], format!("encrypted to {}", written.identity.recipient()));
}

/// Somebody with the public key can make a backup that opens: each part is what the manifest says, or the writing itself fails.
#[test]
fn parts_and_manifest_must_agree() {
    let parts = parts();
    for i in 0..parts.len() {
        let mut other = parts.clone();
        other[i].1[3] ^= 1;
        let failure = Written::new(&manifest(&parts), &other).map(drop).unwrap_err();
        assert!(failure.what().starts_with(&parts[i].0), "{failure}");
    }
    assert!(Written::new(&manifest(&parts), &parts[1..]).is_err());
    assert!(Written::new(&manifest(&parts), &parts[..2]).is_err());
}

/// The same, by hand: what our own writer refuses to make.
#[test]
fn a_forged_tar_is_refused() {
    let parts = parts();
    let good = manifest(&parts);
    let tar = |manifest: &Manifest, parts: &[(String, Vec<u8>)]| {
        let mut all = vec![(MANIFEST.to_owned(), serde_json::to_vec(manifest).unwrap())];
        all.extend(parts.iter().cloned());
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in &all {
            let mut header = tar::Header::new_ustar();
            // Past the library's own care for names.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_cksum();
            builder.append(&header, bytes.as_slice()).unwrap();
        }
        builder.into_inner().unwrap()
    };
    let verdict = |clear: Vec<u8>| {
        let written = Written { dir: tempfile::tempdir().unwrap(), identity: Identity::generate() };
        let mut sealed = Vec::new();
        let mut seal = crate::secrets::seal(&mut sealed, &[written.identity.recipient()]).unwrap();
        std::io::Write::write_all(&mut seal, &clear).unwrap();
        seal.finish().unwrap();
        fs::write(written.path(), sealed).unwrap();
        match written.read() {
            Ok(_) => "believed".to_owned(),
            Err(failure) => failure.evidence().join("; "),
        }
    };
    assert_eq!(verdict(tar(&good, &parts)), "believed");
    let mut flipped = parts.clone();
    flipped[1].1[0] ^= 1;
    assert!(verdict(tar(&good, &flipped)).starts_with("inventory.lock has"), "{}", verdict(tar(&good, &flipped)));
    assert_eq!(verdict(tar(&good, &parts[..5])), "snapshot.db is missing");
    assert!(verdict(tar(&good, &parts[1..])).starts_with("inventory.lock lies where"));
    assert_eq!(verdict(tar(&manifest(&parts[..5]), &parts[..5])), "snapshot.db is missing");
    let mut more = parts.clone();
    more.push(("extra".into(), b"x".to_vec()));
    assert_eq!(verdict(tar(&good, &more)), "its manifest does not know extra");
    let mut up = parts.clone();
    up.insert(0, ("../up".into(), b"x".to_vec()));
    assert!(verdict(tar(&manifest(&up), &up)).contains("../up"));
    let newer = Manifest { format: 2, ..good };
    assert!(verdict(tar(&newer, &parts)).starts_with("its format is 2"));
}

#[tokio::test]
async fn a_folder_keeps_the_newest_and_touches_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::Folder(dir.path().join("backups"));
    let at = |day: i8| jiff::civil::date(2026, 11, day).at(6, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    for (cluster, day) in [("home", 1), ("home", 2), ("home", 3), ("home-2", 1), ("cabin", 1)] {
        let staged = place.staging().unwrap();
        fs::write(staged.path(), format!("{cluster} {day}")).unwrap();
        place.keep(staged, &file_name(cluster, at(day))).await.unwrap();
    }
    let folder = dir.path().join("backups");
    for name in ["home-notes.backup.age", "home-20261101T060000Z.backup.age.txt", ".home-20261101T060000Z.backup.age"] {
        fs::write(folder.join(name), "mine").unwrap();
    }
    assert_eq!(place.rotate("home", 2).await.unwrap(), ["home-20261101T060000Z.backup.age"]);
    let left: Vec<_> = place.list("home").await.unwrap().into_iter().map(|k| k.name).collect();
    assert_eq!(left, ["home-20261103T060000Z.backup.age", "home-20261102T060000Z.backup.age"]);
    assert_eq!(place.list("home-2").await.unwrap().len(), 1);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 7);
    // One is never replaced by another.
    let staged = place.staging().unwrap();
    let refused = place.keep(staged, &file_name("home", at(3))).await.unwrap_err();
    assert!(refused.what().ends_with("is there already, and is not replaced") && refused.remedy().is_some(), "{refused}");
    assert_eq!(fs::read_to_string(folder.join(file_name("home", at(3)))).unwrap(), "home 3");
    assert_eq!(mode(&folder.join(file_name("home", at(3)))), 0o600);
}

fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
}

#[test]
fn a_bucket_needs_credentials() {
    let with = |text: &str, env: &'static [(&'static str, &'static str)]| {
        let env = move |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Place::bucket(text, &env).err().map(|f| (f.exit_code(), f.what().to_owned()))
    };
    assert_eq!(with("b/p", &[]).unwrap().1, "s3://b/p needs AWS_ACCESS_KEY_ID in the environment");
    let both: &[_] = &[("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")];
    rustls::crypto::ring::default_provider().install_default().ok();
    assert_eq!(with("b/p", both), None);
}
