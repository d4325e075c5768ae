//! Inventories that must be refused (or warned about), each with what is said; and those that must be taken.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use homectl::inventory::{self, Inventory, Problems};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn render(diagnostic: &dyn Diagnostic) -> String {
    let mut text = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100).render_report(&mut text, diagnostic).unwrap();
    text
}

fn said(outcome: &Result<Inventory, Problems>) -> String {
    match outcome {
        Err(problems) => render(problems),
        Ok(inventory) => inventory.warnings().iter().fold(String::new(), |mut all, w| {
            write!(all, "{}", render(w)).unwrap();
            all
        }),
    }
}

fn toml_files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{folder}: {e}"))
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} has no inventories");
    files
}

/// Paths are relative, so that messages do not depend on where the project lies; tests run in its folder.
#[test]
fn what_is_refused_is_told_with_its_line() {
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let mut off = Vec::new();
    for file in toml_files("tests/goldens/inventory") {
        let text = said(&inventory::inspect(&file).unwrap());
        let golden = file.with_extension("stderr");
        if update {
            std::fs::write(&golden, &text).unwrap();
        }
        let wanted = std::fs::read_to_string(&golden).unwrap_or_default();
        if text.is_empty() || text != wanted {
            off.push(format!("{}\n--- wanted\n{wanted}\n--- got\n{text}", file.display()));
        }
    }
    assert!(off.is_empty(), "UPDATE_GOLDENS=1 rewrites what is meant:\n{}", off.join("\n"));
}

/// A golden whose inventory is gone would never be looked at again.
#[test]
fn no_golden_is_left_over() {
    for entry in std::fs::read_dir("tests/goldens/inventory").unwrap() {
        let path = entry.unwrap().path();
        assert!(path.with_extension("toml").exists(), "{} has no inventory", path.display());
    }
}

#[test]
fn examples_and_lab_inventories_are_taken_without_a_word() {
    for file in toml_files("examples").into_iter().chain(toml_files("inventories")) {
        let outcome = inventory::inspect(&file).unwrap();
        assert!(outcome.is_ok(), "{}", said(&outcome));
        assert!(said(&outcome).is_empty(), "{}", said(&outcome));
    }
}

#[test]
fn what_init_writes_is_an_inventory() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("inventory.toml");
    std::fs::write(&file, inventory::init_template()).unwrap();
    let outcome = inventory::inspect(&file).unwrap();
    assert_eq!(said(&outcome), "");
    let inventory = outcome.unwrap();
    assert_eq!((inventory.name.as_str(), inventory.nodes.len()), ("home", 1));
}

/// The blocks that are commented out must be right as well.
#[test]
fn what_init_comments_out_is_valid_too() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("inventory.toml");
    std::fs::create_dir(home.path().join("media")).unwrap();
    std::fs::write(home.path().join("media/a.yaml"), "").unwrap();
    let uncommented: String = inventory::init_template()
        .lines()
        .map(|l| {
            l.strip_prefix("# ").filter(|r| r.starts_with('[') || r.split_once(" = ").is_some_and(|(k, _)| !k.contains(' '))).unwrap_or(l)
        })
        .filter(|l| !l.starts_with("host-key"))
        .fold(String::new(), |all, l| all + l + "\n");
    std::fs::write(&file, uncommented).unwrap();
    let outcome = inventory::inspect(&file).unwrap();
    let inventory = outcome.unwrap_or_else(|p| panic!("{}", render(&p)));
    assert_eq!((inventory.nodes.len(), inventory.addons.len()), (3, 3));
}

#[test]
fn a_mistake_fails_with_65_and_the_whole_report() {
    let failure = inventory::read(Path::new("tests/goldens/inventory/everything-at-once.toml")).unwrap_err();
    assert_eq!(failure.exit_code(), 65);
    assert!(failure.what().contains("mistakes"), "{}", failure.what());
    let failure = inventory::read(Path::new("tests/goldens/inventory/not-there.toml")).unwrap_err();
    assert_eq!(failure.exit_code(), 65);
    assert!(failure.what().contains("not-there.toml"));
}

#[test]
fn problems_have_positions_for_machines() {
    let problems = inventory::inspect(Path::new("tests/goldens/inventory/node-role.toml")).unwrap().unwrap_err();
    let first = &problems.all()[0];
    assert_eq!((first.file(), first.position()), ("tests/goldens/inventory/node-role.toml", (8, 8)));
    assert_eq!(first.message(), "`role` cannot be `controlplane`");
    assert_eq!(first.remedy(), Some("did you mean `control-plane`?"));
}

#[test]
fn a_byte_order_mark_moves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("bom.toml");
    let text = std::fs::read("tests/goldens/inventory/node-role.toml").unwrap();
    std::fs::write(&file, [b"\xef\xbb\xbf".as_slice(), &text].concat()).unwrap();
    let problems = inventory::inspect(&file).unwrap().unwrap_err();
    assert_eq!(problems.all()[0].position(), (8, 8));
}

#[test]
fn what_is_far_too_long_or_deep_is_refused_at_once() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("long.toml");
    std::fs::write(&file, "a = 1\n".repeat(1 << 20)).unwrap();
    let began = std::time::Instant::now();
    let told = said(&inventory::inspect(&file).unwrap());
    assert!(told.contains("longer than 1 MiB"), "{told}");
    std::fs::write(&file, format!("a = {}1{}", "[".repeat(10_000), "]".repeat(10_000))).unwrap();
    assert!(inventory::inspect(&file).unwrap().is_err());
    std::fs::write(&file, "[[node]]\nx = 1\n".repeat(40_000)).unwrap();
    let told = said(&inventory::inspect(&file).unwrap());
    assert!(told.contains("these are the first 50"), "{}", &told[..200]);
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

fn many(nodes: usize) -> String {
    let mut text =
        "[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n[network]\noverlay = \"10.64.0.0/16\"\npods = \"10.128.0.0/12\"\n".to_owned();
    for i in 0..nodes {
        let role = if i < 3 { "control-plane" } else { "worker" };
        writeln!(
            text,
            "[[node]]\nname = \"node-{i}\"\naddress = \"192.168.{}.{}\"\nrole = \"{role}\"\nlabels = {{ \"example.net/rack\" = \"r{}\" }}",
            i / 250,
            i % 250 + 1,
            i / 20
        )
        .unwrap();
    }
    text
}

#[test]
fn a_thousand_nodes_take_less_than_a_second() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("many.toml");
    std::fs::write(&file, many(1000)).unwrap();
    let began = std::time::Instant::now();
    let inventory = inventory::read(&file).unwrap();
    let took = began.elapsed();
    assert_eq!(inventory.nodes.len(), 1000);
    // The promise is for release; a debug build on a busy machine gets five.
    assert!(took < std::time::Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 }), "{took:?}");
}

/// What is done to a good inventory: at a place, some bytes go and others come.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "\"",
        "'",
        "[",
        "]",
        "[[",
        "{",
        "}",
        "=",
        ".",
        "#",
        "\n",
        "\\u0000",
        "\\",
        "é",
        "\u{feff}",
        "\u{0}",
        "-1",
        "1e999",
        "true",
        "/33",
        "::",
        "999999999999999999999",
    ];
    let piece = prop_oneof![
        proptest::sample::select(pieces.to_vec()).prop_map(|p| p.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..8)
    ];
    proptest::collection::vec((any::<prop::sample::Index>(), 0..40_usize, piece), 1..6).prop_map(|changes| {
        let mut bytes = std::fs::read("examples/two-homes.toml").unwrap();
        for (at, less, more) in changes {
            let at = at.index(bytes.len() + 1);
            let end = (at + less).min(bytes.len());
            bytes.splice(at..end, more);
        }
        bytes
    })
}

proptest! {
    /// Whatever a file holds, it is read or refused, and what is said can be shown.
    #[test]
    fn damaged_inventories_are_told_and_never_crash(bytes in damaged()) {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("inventory.toml");
        std::fs::write(&file, &bytes).unwrap();
        let outcome = inventory::inspect(&file).unwrap();
        let told = said(&outcome);
        prop_assert!(outcome.is_ok() || !told.is_empty());
    }

    /// Any text in any place where a text may stand: refused, or kept as it was.
    #[test]
    fn any_text_is_refused_or_kept(text in "\\PC{0,20}", key in proptest::sample::select(vec!["name", "address", "user", "identity", "site", "endpoint", "host-key"])) {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("inventory.toml");
        let quoted = toml::Value::String(text.clone());
        let mut node: std::collections::BTreeMap<&str, String> = [("name", "\"attic\""), ("address", "\"192.168.1.2\"")].map(|(k, v)| (k, v.to_owned())).into();
        node.insert(key, quoted.to_string());
        let node = node.iter().fold(String::new(), |all, (k, v)| all + k + " = " + v + "\n");
        std::fs::write(&file, format!("[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n[[node]]\nrole = \"control-plane\"\n{node}")).unwrap();
        if let Ok(inventory) = inventory::inspect(&file).unwrap() {
            let node = &inventory.nodes[0];
            let plain = |s: &str| s.chars().all(|c| c.is_ascii_alphanumeric() || "._-:[]+/=%".contains(c)) && !s.starts_with('-');
            match key {
                "identity" => prop_assert!(node.ssh.identities[0] == home.path().join(&text) || text.starts_with("~/")),
                "name" => prop_assert!(node.name == text && plain(&text)),
                "address" => prop_assert!(node.ssh.address == text.trim_matches(['[', ']']) && plain(&text)),
                "user" => prop_assert!(node.ssh.user == text && plain(&text)),
                "site" => prop_assert!(node.site.as_ref() == Some(&text) && plain(&text)),
                "endpoint" => prop_assert!(node.endpoint.as_ref() == Some(&text) && plain(&text)),
                _ => prop_assert!(plain(&text)),
            }
        }
    }
}

/// Whoever is given an inventory gives it nothing of theirs to read: neither by a path nor by a link. Links inside of it are fine.
#[test]
fn files_of_an_inventory_stay_inside_of_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (home, secret) = (dir.path().join("house"), dir.path().join("secret.yaml"));
    std::fs::create_dir_all(home.join("media/deep")).unwrap();
    for path in [&secret, &home.join("media/real.yaml")] {
        std::fs::write(path, "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n").unwrap();
    }
    let told = |manifests: &str| {
        let text = "[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n[ssh]\nuser = \"pi\"\n[[node]]\nname = \"attic\"\naddress = \"192.168.1.2\"\nrole = \"control-plane\"\n";
        let file = home.join("inventory.toml");
        std::fs::write(&file, format!("{text}[[addon]]\nname = \"media\"\nmanifests = [\"{manifests}\"]\n")).unwrap();
        said(&inventory::inspect(&file).unwrap())
    };
    std::os::unix::fs::symlink("real.yaml", home.join("media/inside.yaml")).unwrap();
    assert_eq!(told("media/*.yaml"), "");
    for outside in ["../secret.yaml", "media/../../secret.yaml", secret.to_str().unwrap()] {
        let text = told(outside);
        assert!(text.contains("leads out of the inventory's folder"), "{text}");
    }
    std::os::unix::fs::symlink(&secret, home.join("media/deep/link.yaml")).unwrap();
    std::os::unix::fs::symlink(dir.path(), home.join("media/up")).unwrap();
    for (pattern, named) in [
        ("media/deep/*.yaml", "media/deep/link.yaml"),
        ("media/up/secret.yaml", "media/up/secret.yaml"),
        ("media/**/*.yaml", "media/deep/link.yaml"),
    ] {
        let text = told(pattern);
        assert!(text.contains(&format!("`{named}` is a link that leads out of the inventory's folder")), "{pattern}: {text}");
    }
}

/// An identity may be a link. What counts is what it leads to.
#[test]
fn a_linked_identity_is_judged_by_what_it_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real.txt"), dir.path().join("identity.txt"));
    homectl::secrets::create_identity(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let choice = homectl::secrets::find_identity(Some(&link)).unwrap().unwrap();
    assert_eq!(choice.path, link);
    std::fs::set_permissions(&real, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let failure = homectl::secrets::find_identity(Some(&link)).unwrap_err();
    assert!(failure.what().contains("is open to others (mode 0640)"), "{failure}");
    std::fs::remove_file(&real).unwrap();
    let failure = homectl::secrets::find_identity(Some(&link)).unwrap_err();
    assert!(failure.what().contains("cannot read the identity"), "{failure}");
}
