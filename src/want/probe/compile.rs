//! Wants → one read-only script.

use super::super::{Leaf, LeafForm, Unit, Want, quote};
use super::pack::packed;
use super::{expect, hashed, inode_path, present, read};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The functions that every look uses.
const PRELUDE: &str = include_str!("probe.sh");
/// Those of the second one.
const OPEN: &str = include_str!("open.sh");

/// One read-only script that looks at all `wants` of a host; its reply is for [`super::parse()`].
#[must_use]
pub fn compile(wants: &[Want]) -> String {
    let mut s = String::from(PRELUDE);
    inodes(&mut s, wants);
    texts(&mut s, wants);
    section(&mut s, "leaves", wants, |i, w| {
        let Want::Leaf(l) = w else { return None };
        Some(leaf_line(i, l))
    });
    section(&mut s, "programs", wants, |i, w| {
        let Want::Program(p) = w else { return None };
        let names: Vec<String> = p.names().map(quote).collect();
        Some(format!("program {i} {} {}", quote(&p.folder()), names.join(" ")))
    });
    packages(&mut s, wants);
    section(&mut s, "accounts", wants, |i, w| {
        let Want::Account(a) = w else { return None };
        Some(format!("account {i} {}", quote(&a.name)))
    });
    units(&mut s, wants);
    section(&mut s, "reads", wants, |i, w| {
        let Want::Unit(u) = w else { return None };
        Some([(false, "start"), (true, "reload")].map(|(reload, when)| newest(i, u, reload, when)).concat()).filter(|l| !l.is_empty())
    });
    section(&mut s, "sysctls", wants, |i, w| {
        let Want::Sysctl(k) = w else { return None };
        Some(format!("setting {i} {}", quote(&k.path())))
    });
    section(&mut s, "modules", wants, |i, w| {
        let Want::Module(m) = w else { return None };
        Some(format!("module {i} {}", quote(&m.name)))
    });
    section(&mut s, "guards", wants, |i, w| {
        let Want::Guard(g) = w else { return None };
        Some(format!("out=$( (set -u\n{}\n) 2>&1 </dev/null); told {i} $? \"$out\"", g.ok.as_str()))
    });
    s.push_str("echo @end\n");
    packed(&s)
}

/// A second look, where something is to change: it opens up the text files at `paths`, for diffs, and asks whether the `places`
/// that would be written to allow that. Its reply is for [`super::opened`] and [`super::obstacles`].
#[must_use]
pub fn open(paths: &[&str], places: &BTreeSet<String>) -> String {
    let mut s = String::from(OPEN);
    for path in paths {
        let _ = writeln!(s, "content {}", quote(path));
    }
    if !places.is_empty() {
        let places: Vec<String> = places.iter().map(|place| quote(place)).collect();
        let _ = writeln!(s, "held {}", places.join(" "));
    }
    s.push_str("echo @end\n");
    s
}

fn section(s: &mut String, name: &str, wants: &[Want], line: impl Fn(usize, &Want) -> Option<String>) {
    let lines: Vec<String> = wants.iter().enumerate().filter_map(|(i, w)| line(i, w)).collect();
    if !lines.is_empty() {
        let _ = writeln!(s, "echo @{name}\n{}", lines.join("\n"));
    }
}

/// What should be there has a section that one digest can stand for; what should be gone has one of its own, since its
/// answer is short where all is well.
fn inodes(s: &mut String, wants: &[Want]) {
    let (here, gone): (Vec<&Want>, Vec<&Want>) = wants.iter().filter(|w| inode_path(w).is_some()).partition(|w| present(w));
    inode_section(s, "inodes", &here, &expect::digest(&here));
    inode_section(s, "gone", &gone, "none");
}

fn inode_section(s: &mut String, name: &str, wants: &[&Want], digest: &str) {
    let paths: Vec<String> = wants.iter().filter_map(|w| inode_path(w)).map(quote).collect();
    if paths.is_empty() {
        return;
    }
    let sums: Vec<String> = wants.iter().filter_map(|w| hashed(w)).map(|f| quote(&f.path)).collect();
    let _ = writeln!(s, "echo @{name}\nset -- {}\nhash='{}'\ninodes {digest} \"$@\"", paths.join(" "), sums.join(" "));
}

/// What has to be read where the secrets are not at hand.
fn texts(s: &mut String, wants: &[Want]) {
    let paths: BTreeSet<&str> = wants.iter().filter_map(|w| read(w)).collect();
    if !paths.is_empty() {
        let paths: Vec<String> = paths.into_iter().map(quote).collect();
        let _ = writeln!(s, "echo @texts\nfor p in {}; do text \"$p\"; done", paths.join(" "));
    }
}

/// One line of the script for what a unit reads when it starts (or reloads); nothing where it reads nothing.
fn newest(i: usize, unit: &Unit, reload: bool, when: &str) -> String {
    let paths: Vec<String> = unit.reads.iter().filter(|(_, r)| *r == reload).map(|(p, _)| quote(p)).collect();
    if paths.is_empty() { String::new() } else { format!("newest {i} {when} {}\n", paths.join(" ")) }
}

fn leaf_line(i: usize, l: &Leaf) -> String {
    let whole = l.file().map_or_else(|| "none".into(), crate::secrets::SecretText::sha256);
    let form = match l.form {
        LeafForm::Pem => "pem",
        LeafForm::Kubeconfig => "kubeconfig",
    };
    format!("leaf {i} {form} {whole} {}", quote(&l.path))
}

fn packages(s: &mut String, wants: &[Want]) {
    section(s, "packages", wants, |_, w| {
        let Want::Packages(p) = w else { return None };
        Some(format!("set -- {}\n{}", p.names.join(" "), p.query))
    });
}

fn units(s: &mut String, wants: &[Want]) {
    let names: Vec<String> = wants
        .iter()
        .filter_map(|w| match w {
            Want::Unit(u) => Some(quote(&u.name)),
            _ => None,
        })
        .collect();
    if !names.is_empty() {
        let _ = writeln!(
            s,
            "echo @units\nset -- {}\nsystemctl show --timestamp=unix -p Id,LoadState,ActiveState,SubState,UnitFileState,FragmentPath,DropInPaths,InactiveExitTimestamp,StateChangeTimestamp -- \"$@\" 2>&1\necho @dropins\ndropins \"$@\"",
            names.join(" ")
        );
    }
}
