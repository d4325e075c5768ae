//! The look is run for real by the local `sh` over a temporary tree, and its reply parsed.

use super::super::{compile, open, opened, parse};
use crate::want::{Dir, File, Guard, InodeKind, Link, Module, Seen, Sysctl, Verdict, Want};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn sh(script: &str) -> String {
    let out = Command::new("sh").arg("-c").arg(script).env("LC_ALL", "C").output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
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
    let reply = sh(&compile(&wants));
    assert!(me() != "root:root" || reply.contains("@inodes\n=\n"), "{reply}");
    assert_eq!(settled(&wants, &parse(&wants, &reply)), [true; 3], "{reply}");
}

#[test]
fn drift_is_seen_where_it_is() {
    let (dir, wants) = tree();
    std::fs::write(dir.path().join("a"), "other\n").unwrap();
    let seen = parse(&wants, &sh(&compile(&wants)));
    assert_eq!(settled(&wants, &seen), [true, false, true]);
    let path = format!("{}/a", dir.path().display());
    assert_eq!(opened(&sh(&open(&[&path])))[&path], "other\n");
}

#[test]
fn absent_and_replaced_are_told_apart() {
    let (dir, wants) = tree();
    std::fs::remove_file(dir.path().join("l")).unwrap();
    std::fs::remove_file(dir.path().join("a")).unwrap();
    std::fs::create_dir(dir.path().join("a")).unwrap();
    let seen = parse(&wants, &sh(&compile(&wants)));
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
    let seen = parse(&wants, &sh(&compile(&wants)));
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
    let seen = parse(&wants, &sh(&compile(&wants)));
    assert_eq!(seen[0], Seen::Sysctl("Linux".into()));
    assert_eq!(seen[1], Seen::Absent);
}

#[test]
fn a_cut_reply_is_unknown_for_all() {
    let (_dir, wants) = tree();
    let reply = sh(&compile(&wants));
    let cut = &reply[..reply.len() - 6];
    assert!(parse(&wants, cut).iter().all(|s| matches!(s, Seen::Unknown(_))));
}

#[test]
fn what_should_be_gone_does_not_cost_the_digest_of_what_should_be_there() {
    let (dir, mut wants) = tree();
    let stale = Want::File(File::text(format!("{}/stale", dir.path().display()), "x"));
    wants.push(stale.absent().unwrap());
    let reply = sh(&compile(&wants));
    assert!(me() != "root:root" || reply.contains("@inodes\n=\n"), "{reply}");
    assert_eq!(settled(&wants, &parse(&wants, &reply)), [true; 4], "{reply}");
    std::fs::write(dir.path().join("stale"), "x").unwrap();
    assert_eq!(settled(&wants, &parse(&wants, &sh(&compile(&wants)))), [true, true, true, false]);
}
