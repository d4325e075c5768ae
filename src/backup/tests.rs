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

/// A tar by hand; each header as `forge` leaves it.
fn tar_of(manifest: &Manifest, parts: &[(String, Vec<u8>)], forge: impl Fn(&str, &mut tar::Header)) -> Vec<u8> {
    let mut all = vec![(MANIFEST.to_owned(), serde_json::to_vec(manifest).unwrap())];
    all.extend(parts.iter().cloned());
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in &all {
        let mut header = tar::Header::new_gnu();
        // Past the library's own care for names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        forge(name, &mut header);
        header.set_cksum();
        builder.append(&header, bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// What is said of a tar, and how many bytes of a snapshot were written meanwhile.
fn verdict_of(clear: &[u8]) -> (String, u64, u64) {
    struct Count(u64);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let written = Written { dir: tempfile::tempdir().unwrap(), identity: Identity::generate() };
    let mut sealed = Vec::new();
    let mut seal = crate::secrets::seal(&mut sealed, &[written.identity.recipient()]).unwrap();
    std::io::Write::write_all(&mut seal, clear).unwrap();
    seal.finish().unwrap();
    fs::write(written.path(), &sealed).unwrap();
    let mut count = Count(0);
    let said = match read(&written.path(), &written.identity, Some(&mut count)) {
        Ok(_) => "believed".to_owned(),
        Err(failure) => failure.evidence().join("; "),
    };
    (said, count.0, sealed.len() as u64)
}

/// Files with holes, links, and sizes that are only said: nothing takes more room than the file has.
#[test]
fn a_forged_backup_takes_no_more_room_than_it_has() {
    let mut parts = parts();
    for (_, bytes) in &mut parts {
        bytes.truncate(2048);
    }
    let honest = manifest(&parts);
    assert_eq!(verdict_of(&tar_of(&honest, &parts, |_, _| ())).0, "believed");
    // Zeros for as long as somebody reads, then what there is.
    let holes = |which: &'static str| {
        move |name: &str, header: &mut tar::Header| {
            if name == which {
                header.set_entry_type(tar::EntryType::GNUSparse);
                let (all, own) = (1_u64 << 26, header.entry_size().unwrap());
                let gnu = header.as_gnu_mut().unwrap();
                let octal = |to: &mut [u8], n: u64| to.copy_from_slice(format!("{n:011o}\0").as_bytes());
                octal(&mut gnu.sparse[0].offset, all - own);
                octal(&mut gnu.sparse[0].numbytes, own);
                octal(&mut gnu.realsize, all);
            }
        }
    };
    for which in [MANIFEST, LOCK, SNAPSHOT] {
        let (said, written, size) = verdict_of(&tar_of(&honest, &parts, holes(which)));
        assert_eq!(said, format!("{which} is no plain file there"));
        assert!(written <= size, "{which}: {written} of {size}");
    }
    let link = |name: &str, header: &mut tar::Header| {
        if name == LOCK {
            header.set_entry_type(tar::EntryType::Symlink);
        }
    };
    assert_eq!(verdict_of(&tar_of(&honest, &parts, link)).0, "inventory.lock is no plain file there");
    // More than was said, and more said than there is.
    let mut longer = parts.clone();
    longer.last_mut().unwrap().1.resize(1 << 20, 0);
    let (said, written, _) = verdict_of(&tar_of(&honest, &longer, |_, _| ()));
    assert!(said.starts_with("snapshot.db has 2049 bytes") && written == 2049, "{said} {written}");
    let mut vast = honest.clone();
    vast.parts.iter_mut().for_each(|part| part.bytes = u64::MAX / 2);
    let (said, written, size) = verdict_of(&tar_of(&vast, &parts, |_, _| ()));
    assert_eq!((said, written), (format!("its manifest promises {} bytes, in a file of {size}", u64::MAX), 0));
}

/// The same, by hand: what our own writer refuses to make.
#[test]
fn a_forged_tar_is_refused() {
    let parts = parts();
    let good = manifest(&parts);
    let tar = |manifest: &Manifest, parts: &[(String, Vec<u8>)]| tar_of(manifest, parts, |_, _| ());
    let verdict = |clear: Vec<u8>| verdict_of(&clear).0;
    assert_eq!(verdict(tar(&good, &parts)), "believed");
    let mut flipped = parts.clone();
    flipped[1].1[0] ^= 1;
    assert!(verdict(tar(&good, &flipped)).starts_with("inventory.lock has"), "{}", verdict(tar(&good, &flipped)));
    let mut turned = parts.clone();
    turned.swap(4, 5);
    assert_eq!(verdict(tar(&manifest(&turned), &turned[..5])), "manifests/media/jelly.yaml is missing");
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
    let all = place.list("home").await.unwrap();
    assert_eq!(place.rotate(&all, 2, &file_name("home", at(3))).await.unwrap(), ["home-20261101T060000Z.backup.age"]);
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

/// A clock that is behind by less than the nights that are kept, and one that was ahead: what was kept just now stays, and nobody's word is
/// taken for which of the others are old.
#[tokio::test]
async fn what_was_just_kept_stays_whatever_the_clock_says() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::Folder(dir.path().to_path_buf());
    let name = |time: &str| format!("home-{time}Z.backup.age");
    let put = |time: &str| fs::write(dir.path().join(name(time)), "x").unwrap();
    let rotate = async |keep: usize, time: &str| place.rotate(&place.list("home").await.unwrap(), keep, &name(time)).await;
    let nights = ["20261101T060000", "20261102T060000", "20261103T060000"];
    for night in nights {
        put(night);
    }
    // Somebody else's, of half an hour later: of two computers.
    put("20261103T053000");
    assert_eq!(rotate(3, "20261103T053000").await.unwrap(), [name(nights[0])]);
    assert_eq!(rotate(1, "20261103T053000").await.unwrap(), [name(nights[2]), name(nights[1])]);
    put("20271101T060000");
    put("20260101T060000");
    put("20261104T060000");
    for (time, ahead) in [("20260101T060000", 3), ("20261104T060000", 1)] {
        let refused = rotate(1, time).await.unwrap_err();
        assert!(refused.what().ends_with(&format!("{ahead} there tell a later time")) && refused.remedy().is_some(), "{refused}");
        assert!(refused.evidence()[0].starts_with(&name("20271101T060000")), "{refused}");
    }
    assert_eq!(place.list("home").await.unwrap().len(), 4);
}

/// Power went while a backup was written, or read: what is ours, old, and nobody's any more goes at the next run in that place.
#[test]
fn what_a_run_that_was_cut_left_behind_goes() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::Folder(dir.path().to_path_buf());
    let hours = |n: u64| std::time::SystemTime::now() - std::time::Duration::from_secs(n * 3600);
    let aged = |path: &Path, n: u64| fs::File::options().append(true).open(path).unwrap().set_modified(hours(n)).unwrap();
    let all = [
        (".homectl-backup-aZ09bc", 2),
        (".homectl-backup-young1", 0),
        (".homectl-backup-", 2),
        (".homectl-backup-notes.txt", 2),
        ("notes", 2),
    ];
    for (name, age) in all {
        fs::write(dir.path().join(name), "x").unwrap();
        aged(&dir.path().join(name), age);
    }
    // One that is sent over a slow line since hours, and what is no file at all.
    let held = place.staging().unwrap();
    aged(held.path(), 2);
    fs::create_dir(dir.path().join(".homectl-backup-folder")).unwrap();
    let next = place.staging().unwrap();
    for (name, _) in all {
        assert_eq!(dir.path().join(name).exists(), name != all[0].0, "{name}");
    }
    assert!(held.path().exists() && next.path().exists() && dir.path().join(".homectl-backup-folder").exists());
    assert_eq!(mode(next.path()), 0o600);
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
