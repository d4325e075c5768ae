//! The look is run for real by the local `sh` over a temporary tree, and its reply parsed.

use super::super::pack::unpacked;
use super::super::{obstacles, open, opened, parse};
use crate::want::{Dir, File, Guard, InodeKind, Link, Module, Obstacle, Seen, Sysctl, Unit, Verdict, Want};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn sh(script: &str) -> String {
    let out = Command::new("sh").arg("-c").arg(script).env("LC_ALL", "C").output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// The look at `wants`, run here, as it was before it was packed.
fn look(wants: &[Want]) -> String {
    unpacked(&sh(&super::super::compile(wants))).unwrap().into_owned()
}

/// The user and group that owns what the test makes.
fn me() -> String {
    sh("printf '%s:%s' \"$(id -un)\" \"$(id -gn)\"")
}

fn tree() -> (tempfile::TempDir, Vec<Want>) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap().to_owned();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(dir.path().join("a"), "hello\n").unwrap();
    std::fs::set_permissions(dir.path().join("a"), std::fs::Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::symlink("a", dir.path().join("l")).unwrap();
    let wants = vec![
        Want::Dir(Dir::new(&root).owner(me())),
        Want::File(File::text(format!("{root}/a"), "hello\n").owner(me())),
        Want::Link(Link::new(format!("{root}/l"), "a")),
    ];
    (dir, wants)
}

fn settled(wants: &[Want], seen: &[Seen]) -> Vec<bool> {
    wants.iter().zip(seen).map(|(w, s)| matches!(w.diff(s), Verdict::Settled(_))).collect()
}

#[test]
fn a_settled_tree_answers_with_one_sign() {
    let (_dir, wants) = tree();
    let reply = look(&wants);
    assert!(me() != "root:root" || reply.contains("@inodes\n=\n"), "{reply}");
    assert_eq!(settled(&wants, &parse(&wants, &reply)), [true; 3], "{reply}");
}

#[test]
fn drift_is_seen_where_it_is() {
    let (dir, wants) = tree();
    std::fs::write(dir.path().join("a"), "other\n").unwrap();
    let seen = parse(&wants, &look(&wants));
    assert_eq!(settled(&wants, &seen), [true, false, true]);
    let path = format!("{}/a", dir.path().display());
    assert_eq!(opened(&sh(&open(&[&path], &BTreeSet::new())))[&path], "other\n");
}

/// `lsattr` and `findmnt` as they would answer on a machine whose operator used `chattr`.
fn stubs(dir: &std::path::Path) -> String {
    let stub = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    stub(
        "lsattr",
        "shift 2; for e; do case $e in */still) f=----i---------e-------;; */grows) f=-----a--------e-------;; *) f=--------------e-------;; esac; echo \"$f $e\"; done",
    );
    stub("findmnt", "case $4 in /proc/sys/*) echo ro,relatime;; *) echo rw;; esac");
    format!("PATH={}:$PATH\n", dir.display())
}

#[test]
fn what_cannot_be_written_is_told_with_what_stands_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    for folder in ["grows", "free"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::write(root.join("free/still"), "").unwrap();
    std::fs::write(root.join("free/x"), "").unwrap();
    std::os::unix::fs::symlink("/proc/version", root.join("free/link")).unwrap();
    let path = |name: &str| format!("{}/{name}", root.display());
    let ask: BTreeSet<String> = ["free/still", "free/x", "free/link", "free/none/at/all", "grows/new", "grows"]
        .map(path)
        .into_iter()
        .chain(["/proc/sys/kernel/none".to_owned()])
        .collect();
    let seen = obstacles(&sh(&format!("{}{}", stubs(dir.path()), open(&[], &ask))));
    let expected = [
        ("/proc/sys/kernel/none".to_owned(), Obstacle::ReadOnly("/proc/sys/kernel".into())),
        (path("free/still"), Obstacle::Immutable(path("free/still"))),
        (path("grows"), Obstacle::AppendOnly(path("grows"))),
        (path("grows/new"), Obstacle::AppendOnly(path("grows"))),
    ];
    assert_eq!(seen, expected.into());
}

#[test]
fn a_drop_in_counts_before_systemd_has_read_it() {
    let wants = [Want::Unit(Unit::running("a.service")), Want::Unit(Unit::running("b.service"))];
    let drop_in = |name: &str| format!("/etc/systemd/system/{name}.service.d/own.conf");
    let unit = |name: &str, paths: &str| format!("Id={name}.service\nLoadState=loaded\nActiveState=active\nDropInPaths={paths}\n\n");
    let units = format!("@units\n{}{}", unit("a", &drop_in("a")), unit("b", ""));
    let seen = parse(&wants, &format!("{units}@dropins\n{}\n{}\n.\n@end\n", drop_in("a"), drop_in("b")));
    for (seen, name) in seen.iter().zip(["a", "b"]) {
        assert!(matches!(seen, Seen::Unit(unit) if unit.drop_ins == [drop_in(name)]), "{seen:?}");
    }
    for cut in [units.clone(), format!("{units}@dropins\n{}\n", drop_in("a"))] {
        assert!(parse(&wants, &format!("{cut}@end\n")).iter().all(|s| matches!(s, Seen::Unknown(_))), "{cut}");
    }
}

#[test]
fn absent_and_replaced_are_told_apart() {
    let (dir, wants) = tree();
    std::fs::remove_file(dir.path().join("l")).unwrap();
    std::fs::remove_file(dir.path().join("a")).unwrap();
    std::fs::create_dir(dir.path().join("a")).unwrap();
    let seen = parse(&wants, &look(&wants));
    assert!(matches!(&seen[1], Seen::Inode(i) if i.kind == InodeKind::Dir));
    assert!(matches!(wants[1].diff(&seen[1]), Verdict::Blocked { .. }));
    assert_eq!(seen[2], Seen::Absent);
}

#[test]
fn guards_keep_status_and_evidence() {
    let wants = vec![
        Want::Guard(Guard::new("g:a", "a", "exit 0", "true")),
        Want::Guard(Guard::new("g:b", "b", "echo '@end of it'; echo two; exit 1", "true")),
        Want::Guard(Guard::new("g:c", "c", "echo 'no wg'; exit 75", "true")),
        Want::Guard(Guard::new("g:d", "d", "nonsense-command", "true")),
    ];
    let seen = parse(&wants, &look(&wants));
    let verdicts: Vec<_> = wants.iter().zip(&seen).map(|(w, s)| w.diff(s)).collect();
    assert!(matches!(verdicts[0], Verdict::Settled(_)));
    assert!(matches!(&verdicts[1], Verdict::Change(c) if c.lines.join("|") == "@end of it|two"));
    assert!(matches!(&verdicts[2], Verdict::Deferred { why, .. } if why == "no wg"));
    assert!(matches!(&verdicts[3], Verdict::Blocked { .. }));
}

#[test]
fn settings_and_modules() {
    let wants = vec![
        Want::Sysctl(Sysctl::new("kernel.ostype", "Linux")),
        Want::Sysctl(Sysctl::new("net.no.such.key", "1")),
        Want::Module(Module::new("surely_no_such_module")),
    ];
    let seen = parse(&wants, &look(&wants));
    assert_eq!(seen[0], Seen::Sysctl("Linux".into()));
    assert_eq!(seen[1], Seen::Absent);
}

#[test]
fn a_cut_reply_is_unknown_for_all() {
    let (_dir, wants) = tree();
    let reply = look(&wants);
    let cut = &reply[..reply.len() - 6];
    assert!(parse(&wants, cut).iter().all(|s| matches!(s, Seen::Unknown(_))));
}

#[test]
fn what_should_be_gone_does_not_cost_the_digest_of_what_should_be_there() {
    let (dir, mut wants) = tree();
    let stale = Want::File(File::text(format!("{}/stale", dir.path().display()), "x"));
    wants.push(stale.absent().unwrap());
    let reply = look(&wants);
    assert!(me() != "root:root" || reply.contains("@inodes\n=\n"), "{reply}");
    assert_eq!(settled(&wants, &parse(&wants, &reply)), [true; 4], "{reply}");
    std::fs::write(dir.path().join("stale"), "x").unwrap();
    assert_eq!(settled(&wants, &parse(&wants, &look(&wants))), [true, true, true, false]);
}

#[test]
fn what_should_have_been_read_and_was_not_is_unknown() {
    let file = |text: &str| Want::File(File::text("/etc/wg0.conf", format!("[Peer]\nPublicKey = {text}\n")));
    let wants = [file("a").sealed(&file("b"), 0).unwrap()];
    let stat = "@inodes\n/etc/wg0.conf|81a4|root:root|/etc/wg0.conf\n#\n";
    for inodes in ["@inodes\n=\n", stat] {
        let told = |texts: &str| parse(&wants, &format!("{inodes}@texts\n{texts}@end\n")).remove(0);
        let whole = format!("/etc/wg0.conf {}\n", data_encoding::BASE64.encode(b"[Peer]\nPublicKey = xyz\n"));
        assert!(matches!(wants[0].diff(&told(&whole)), Verdict::Settled(_)), "{inodes}");
        for cut in ["", "/etc/wg0.conf\n", "/etc/wg0.conf ?!\n", "/etc/wg0.conf //8=\n", "/etc/other YQ==\n"] {
            assert!(matches!(told(cut), Seen::Unknown(_)), "{inodes} {cut}");
        }
    }
}
