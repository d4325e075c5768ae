//! What the steps write, as goldens: one tree of files per scenario and node under `tests/goldens/render/`, with
//! `WANTS` as the table of contents. `stock/attic` is whole, the others hold what is different from it.
//! `UPDATE_GOLDENS=1` writes them anew.

use super::fixture::Fixture;
use super::node;
use crate::want::{Body, Want};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[test]
fn stock_machines() {
    let fixture = Fixture::three();
    compare("stock", &fixture, &["attic", "cellar"]);
}

#[test]
fn several_control_planes_and_a_container() {
    compare("four", &Fixture::contained(), &["garage", "shed"]);
}

#[test]
fn sites() {
    compare("sites", &Fixture::sites(), &["cellar", "garage"]);
}

#[test]
fn bring_your_own_network() {
    compare("own-network", &Fixture::own_network(), &["cellar"]);
}

/// attic has founded a cluster; cellar is added already, garage comes after it.
#[test]
fn control_planes_that_join() {
    compare("joining", &Fixture::joining(), &["cellar", "garage"]);
}

fn compare(scenario: &str, fixture: &Fixture, nodes: &[&str]) {
    let root = checkout().join("tests/goldens/render").join(scenario);
    let mut now = BTreeMap::new();
    let stock = files(&Fixture::three(), "attic");
    for name in nodes {
        for (path, text) in files(fixture, name) {
            if (scenario, *name) != ("stock", "attic") && stock.get(&path) == Some(&text) {
                continue;
            }
            now.insert(root.join(name).join(path.trim_start_matches('/')), text);
        }
    }
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        let _ = std::fs::remove_dir_all(&root);
        for (path, text) in &now {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }
    let mut then = BTreeMap::new();
    read(&root, &mut then);
    let names = |tree: &BTreeMap<PathBuf, String>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&now), names(&then), "other files than the goldens; UPDATE_GOLDENS=1 if that is meant");
    for (path, text) in &now {
        let diff = similar::TextDiff::from_lines(&then[path], text).unified_diff().to_string();
        assert!(diff.is_empty(), "{} differs; UPDATE_GOLDENS=1 if that is meant\n{diff}", path.display());
    }
}

fn read(dir: &Path, tree: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
        if entry.path().is_dir() {
            read(&entry.path(), tree);
        } else {
            tree.insert(entry.path(), std::fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// Every script is sh. (That no secret is in it, and that addresses are unique, is a law: tests/sim.)
#[test]
fn scripts_are_sh() {
    for (fixture, name) in [(Fixture::four(), "attic"), (Fixture::contained(), "shed")] {
        for (path, text) in files(&fixture, name) {
            if text.starts_with("#!/bin/sh") || path.starts_with("guards/") {
                let said = std::process::Command::new("sh").args(["-n", "-c", &text]).output().unwrap();
                assert!(said.status.success(), "{path}: {}", String::from_utf8_lossy(&said.stderr));
            }
        }
    }
}

/// Text files by path, guards' tests and undoings as scripts, and the table of contents.
fn files(fixture: &Fixture, name: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut contents = String::new();
    let ctx = fixture.ctx(name);
    for step in &node(&ctx).unwrap() {
        let _ = writeln!(contents, "{}: {}", step.id.name, step.title);
        for want in &step.wants {
            let _ = writeln!(contents, "    {}", line(want));
            match want {
                Want::File(f) => {
                    if let Some(Body::Text(text)) = &f.body {
                        assert!(files.insert(f.path.clone(), text.clone()).is_none(), "{} twice", f.path);
                    }
                }
                Want::Guard(g) => {
                    let file = g.addr.replace(['/', ':'], "_");
                    files.insert(format!("guards/{file}.ok.sh"), g.ok.as_str().to_owned());
                    if let Some(undo) = &g.undo {
                        files.insert(format!("guards/{file}.undo.sh"), undo.as_str().to_owned());
                    }
                }
                _ => {}
            }
        }
    }
    files.insert("WANTS".into(), contents);
    files
}

fn line(want: &Want) -> String {
    let mut line = want.addr();
    match want {
        Want::File(f) if f.body.is_none() => line.push_str(" gone"),
        Want::File(f) => {
            let secret = if matches!(f.body, Some(Body::Secret(_))) { " secret" } else { "" };
            let _ = write!(line, " {:04o} {}{secret}", f.mode, f.owner);
        }
        Want::Dir(d) => {
            let _ = write!(line, " {:04o} {}{}", d.mode, d.owner, if d.tree { " tree" } else { "" });
        }
        Want::Link(l) => {
            let _ = write!(line, " → {}", l.target.as_deref().unwrap_or("gone"));
        }
        Want::Sysctl(s) => {
            let _ = write!(line, " = {}", s.value);
        }
        Want::Packages(p) => {
            let _ = write!(line, " {}", p.names.join(" "));
        }
        Want::Unit(u) => {
            let _ = write!(line, " {:?}", u.state);
        }
        Want::Guard(g) => {
            let _ = write!(line, " ({})", g.title);
        }
        _ => {}
    }
    for heard in want.notifies() {
        let _ = write!(line, "; {} {}", if heard.reload { "reloads" } else { "restarts" }, heard.unit);
    }
    line
}

/// Asked at run time: a build may be shared by several checkouts.
fn checkout() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from)
}
