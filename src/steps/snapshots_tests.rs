//! The script that takes snapshots, with an etcd that is played: what stays, what goes, and what a disk without room makes of it.

use crate::steps::approver_tests::executable;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

const SCRIPT: &str = include_str!("../../templates/snapshots/etcd-snapshot");
/// Bytes of each.
const BYTES: usize = 40_000;

/// A control plane's folder of snapshots.
struct Plane {
    dir: tempfile::TempDir,
}

impl Plane {
    fn new() -> Self {
        let plane = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(plane.at("snapshots")).unwrap();
        std::fs::write(plane.at("content"), vec![b'x'; BYTES]).unwrap();
        // Like the real one it writes beside the file, and renames.
        let ctl = format!(
            "#!/bin/sh\ncase $* in\n*'endpoint status'*) printf '[{{\"Status\":{{\"dbSize\":{BYTES},\"leader\":1}}}}]\\n' ;;\n\
             *'snapshot save'*) for to; do :; done; cat {} >\"$to.part\" && mv \"$to.part\" \"$to\" ;;\nesac\n",
            plane.at("content").display()
        );
        let utl = format!(
            "#!/bin/sh\n[ \"$(stat -c %s \"$3\")\" = {BYTES} ] || {{ echo 'Error: snapshot file integrity check failed' >&2; exit 1; }}\n\
             echo '{{\"revision\":7}}'\n"
        );
        std::fs::create_dir(plane.at("bin")).unwrap();
        executable(&plane.at("bin").join("etcdctl"), &ctl);
        executable(&plane.at("bin").join("etcdutl"), &utl);
        plane
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A snapshot at `hour` of a day; `free` KiB, and as many more as snapshots have gone. No file can have more than `most` bytes.
    fn take(&self, hour: usize, free: usize, most: usize) -> Output {
        let played = format!(
            "date() {{ printf '20261122T%02d0000Z\\n' {hour}; }}\n\
             df() {{ gone=$(({there} - $(find \"$DIR\" -name 'etcd-2*' | wc -l))); printf 'a\\nb 0 0 %s\\n' $(({free} + gone * 40)); }}\n",
            there = self.names().len()
        );
        let limited = "trap '' XFSZ; limit=$1; shift; exec prlimit --fsize=\"$limit\" sh -c \"$@\"";
        let mut sh = Command::new("sh");
        sh.args(["-c", limited, "-", &most.to_string(), &(played + SCRIPT), "etcd-snapshot", "https://10.77.0.1:2379"]);
        sh.env("HOMECTL_SNAPSHOTS", self.at("snapshots")).env("HOMECTL_BIN", self.at("bin")).output().unwrap()
    }

    /// What lies there, hidden or not.
    fn all(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.at("snapshots")).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The snapshots of the timer.
    fn names(&self) -> Vec<String> {
        self.all().into_iter().filter(|name| name.starts_with("etcd-2")).collect()
    }
}

fn name(hour: usize) -> String {
    format!("etcd-20261122T{hour:02}0000Z.db")
}

fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

const PLENTY: usize = 1 << 20;

#[test]
fn the_newest_twelve_stay_and_nothing_else_is_touched() {
    let plane = Plane::new();
    let others = ["etcd-before-the-move.db", "notes"];
    for other in others {
        std::fs::write(plane.at("snapshots").join(other), "mine").unwrap();
    }
    for hour in 0..14 {
        let out = plane.take(hour, PLENTY, PLENTY);
        assert!(out.status.success(), "{}", said(&out));
        assert_eq!(said(&out), format!("{}: {{\"revision\":7}}\n", name(hour)));
        let file = plane.at("snapshots").join(name(hour));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(&file).unwrap().len(), BYTES);
    }
    let wanted: Vec<String> = (2..14).map(name).chain(others.map(str::to_owned)).collect();
    assert_eq!(plane.all(), wanted);
}

/// A machine without a clock of its own that was just switched on.
#[test]
fn the_one_just_taken_stays_whatever_its_clock_says() {
    let plane = Plane::new();
    (1..13).for_each(|hour| assert!(plane.take(hour, PLENTY, PLENTY).status.success()));
    assert!(plane.take(0, PLENTY, PLENTY).status.success());
    let wanted: Vec<String> = [0].into_iter().chain(2..13).map(name).collect();
    assert_eq!(plane.all(), wanted);
}

/// 512 MiB stay free whatever happens, and room for what is to come.
#[test]
fn where_there_is_little_room_the_oldest_go_first_and_two_stay() {
    let spare = 512 * 1024 + BYTES / 1024 * 11 / 10;
    let plane = Plane::new();
    (0..6).for_each(|hour| assert!(plane.take(hour, PLENTY, PLENTY).status.success()));
    let out = plane.take(6, spare - 60, PLENTY);
    assert!(out.status.success(), "{}", said(&out));
    assert!(said(&out).contains(&format!("not enough room: drops {}\n", name(0))), "{}", said(&out));
    assert_eq!(plane.all(), (2..7).map(name).collect::<Vec<_>>());
    // Where all that may go would not be enough, nothing goes.
    let out = plane.take(7, spare - 1000, PLENTY);
    assert_eq!(out.status.code(), Some(1));
    assert!(said(&out).starts_with("no snapshot: ") && said(&out).contains("KiB free"), "{}", said(&out));
    assert_eq!(plane.all(), (2..7).map(name).collect::<Vec<_>>());
}

/// The disk is full in the middle, whatever was said of it before.
#[test]
fn half_a_snapshot_is_none_and_no_other_goes_for_it() {
    let plane = Plane::new();
    (0..12).for_each(|hour| assert!(plane.take(hour, PLENTY, PLENTY).status.success()));
    for most in [0, 1, 20_000, BYTES - 1] {
        let out = plane.take(12, PLENTY, most);
        assert_eq!(out.status.code(), Some(1), "{most}");
        assert!(said(&out).contains("File too large"), "{most}: {}", said(&out));
        assert_eq!(plane.all(), (0..12).map(name).collect::<Vec<_>>(), "{most}");
    }
    // One that is not what etcd says it is.
    std::fs::write(plane.at("content"), "cut").unwrap();
    let out = plane.take(12, PLENTY, PLENTY);
    assert!(!out.status.success() && said(&out).contains("integrity"), "{}", said(&out));
    assert_eq!(plane.all(), (0..12).map(name).collect::<Vec<_>>());
}

/// In clear, and of a restore that was not gone on with.
#[test]
fn a_snapshot_that_was_sent_for_a_restore_does_not_stay() {
    let plane = Plane::new();
    let day = std::time::Duration::from_hours(24);
    for (name, age) in [("restore-0123456789ab.db", 2 * day), ("restore-ba9876543210.db", day / 24), ("restore-notes.db", 2 * day)] {
        std::fs::write(plane.at("snapshots").join(name), "x").unwrap();
        let file = std::fs::File::options().append(true).open(plane.at("snapshots").join(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - age).unwrap();
    }
    assert!(plane.take(0, PLENTY, PLENTY).status.success());
    assert_eq!(plane.all(), [name(0).as_str(), "restore-ba9876543210.db", "restore-notes.db"]);
}
