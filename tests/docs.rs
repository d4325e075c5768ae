//! What the documents say is so: examples parse, tables agree with the program, links lead somewhere.

use homectl::exec::{Event, EventKind, Outcome};
use homectl::inventory;
use homectl::report::{Check, Finding, Link, LinkState, MachineCheck};
use homectl::steps::{Lane, StepId};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The fenced blocks of one language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let open = format!("```{language}\n");
    text.split(&open).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_inventory_in_the_readme_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    let found = blocks(&read("README.md"), "toml");
    assert!(found.len() > 1 && found[0].starts_with("[cluster]"), "README shows an inventory, and what may be added to it");
    for text in &found {
        let path = dir.path().join("inventory.toml");
        let whole = if text.starts_with("[cluster]") { text.clone() } else { format!("{}\n{text}", found[0]) };
        fs::write(&path, whole).unwrap();
        inventory::read(&path).unwrap();
    }
}

#[test]
fn the_readme_lists_the_exit_codes_as_the_program_does() {
    let told = Command::new(env!("CARGO_BIN_EXE_homectl")).arg("explain").output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let codes: Vec<(&str, &str)> = told.lines().take_while(|l| !l.is_empty()).filter_map(|l| l.trim_start().split_once("  ")).collect();
    assert!(codes.len() > 8, "{told}");
    let readme = read("README.md");
    for (code, means) in codes {
        assert!(readme.contains(&format!("\n| {code} | {means} |\n")), "README lacks: {code} {means}");
    }
}

#[test]
fn the_readme_lists_every_command() {
    let help = Command::new(env!("CARGO_BIN_EXE_homectl")).arg("-h").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap().to_owned();
    let readme = read("README.md");
    // Deeper in, an explanation goes on.
    let begins = |line: &'_ str| line.strip_prefix("  ").is_some_and(|rest| !rest.starts_with(' '));
    for name in commands.lines().filter(|l| begins(l)).filter_map(|l| l.split_whitespace().next()) {
        assert!(readme.contains(&format!("`{name}`")), "README lacks {name}");
    }
}

#[test]
fn links_lead_somewhere() {
    for name in ["README.md", "docs/architecture.md", "docs/faults.md", "docs/plan-json.md"] {
        let text = read(name);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") {
                continue;
            }
            let path = root().join(name).parent().unwrap().join(target);
            assert!(Path::new(&path).exists(), "{name} links to {target}");
        }
    }
}

#[test]
fn the_architecture_names_the_modules_in_their_order() {
    let lib = read("src/lib.rs");
    let line = lib.lines().find_map(|l| l.strip_prefix("//! `error, ")).unwrap();
    let page = read("docs/architecture.md");
    assert!(page.contains(&format!("`error, {line}")), "the order in docs/architecture.md is not that of src/lib.rs");
    for module in line.trim_end_matches('`').split(", ") {
        assert!(page.contains(&format!("\n| `{module}` | ")), "docs/architecture.md does not say what {module} owns");
    }
}

/// One of every kind. A kind that is added does not compile here until it is in the list, and so in the document.
fn every_kind() -> Vec<EventKind> {
    let step = || StepId::node("attic", "etcd");
    let s = String::new;
    let all = vec![
        EventKind::Connecting { node: s(), target: s() },
        EventKind::Connected { node: s() },
        EventKind::Unreachable { node: s(), seen: s() },
        EventKind::Probing { node: s() },
        EventKind::HostKeyRecorded { node: s(), fingerprint: s() },
        EventKind::Fetching { what: s(), bytes: 0, total: None },
        EventKind::Uploading { node: s(), what: s(), bytes: 0, total: 0 },
        EventKind::StepBegan { step: step(), title: s() },
        EventKind::ItemDone { step: step(), addr: s(), changed: true },
        EventKind::Waiting { step: step(), what: s(), seen: s(), seconds: 0 },
        EventKind::StepEnded { step: step(), outcome: Outcome::Done },
        EventKind::Warning { lane: Some(Lane::Cluster), text: s() },
        EventKind::Finished { changed: 0, failed: 0, skipped: 0, seconds: 0.0 },
    ];
    for kind in &all {
        match kind {
            EventKind::Connecting { .. }
            | EventKind::Connected { .. }
            | EventKind::Unreachable { .. }
            | EventKind::Probing { .. }
            | EventKind::HostKeyRecorded { .. }
            | EventKind::Fetching { .. }
            | EventKind::Uploading { .. }
            | EventKind::StepBegan { .. }
            | EventKind::ItemDone { .. }
            | EventKind::Waiting { .. }
            | EventKind::StepEnded { .. }
            | EventKind::Warning { .. }
            | EventKind::Finished { .. } => {}
        }
    }
    all
}

#[test]
fn every_event_is_documented_with_its_fields() {
    let page = read("docs/plan-json.md");
    for kind in every_kind() {
        let value = serde_json::to_value(Event { at: 0.0, kind }).unwrap();
        let name = value["type"].as_str().unwrap();
        let row = page.lines().find(|l| l.starts_with('|') && l.split('|').nth(1).is_some_and(|c| c.contains(&format!("`{name}`"))));
        let row = row.unwrap_or_else(|| panic!("docs/plan-json.md lacks the event {name}"));
        for field in value.as_object().unwrap().keys().filter(|k| !matches!(k.as_str(), "at" | "type")) {
            assert!(row.contains(&format!("`{field}`")), "docs/plan-json.md: {name} lacks {field}");
        }
    }
}

#[test]
fn a_check_is_documented_with_its_fields() {
    let s = String::new;
    let (memory_mib, free_mib, skew, fsync_ms) = (None, None, None, None);
    let machine =
        MachineCheck { name: s(), role: s(), reachable: true, system: s(), kernel: s(), arch: s(), memory_mib, free_mib, skew, fsync_ms };
    let check = Check {
        cluster: s(),
        machines: vec![machine],
        links: vec![Link { a: s(), b: s(), state: LinkState::Works, seen: s() }],
        findings: vec![Finding { node: s(), topic: s(), warning: true, what: s(), evidence: Vec::new(), help: s() }],
    };
    let page = read("docs/plan-json.md");
    let section = page.split("## What is in the way").nth(1).unwrap().split("\n## ").next().unwrap();
    for (field, value) in check.json().as_object().unwrap().iter().filter(|(field, _)| *field != "format") {
        let row = section.lines().find(|l| l.starts_with(&format!("| `{field}` |"))).unwrap_or_else(|| panic!("no row for {field}"));
        for inner in value.get(0).and_then(serde_json::Value::as_object).into_iter().flat_map(serde_json::Map::keys) {
            assert!(row.contains(&format!("`{inner}`")), "{field} lacks {inner}");
        }
    }
    for state in [LinkState::Works, LinkState::Broken, LinkState::Untested] {
        let name = serde_json::to_value(state).unwrap();
        assert!(section.contains(&format!("`{}`", name.as_str().unwrap())), "{name}");
    }
}

/// Every `homectl …` that a shell would be given, in the README's and the examples' words.
fn commands(text: &str) -> Vec<Vec<String>> {
    let begins = |line: &str| {
        let line = line
            .trim()
            .trim_start_matches("$ ")
            .trim_start_matches("run: ")
            .trim_start_matches("#   ")
            .trim_start_matches("ExecStart=%h/.cargo/bin/");
        // cron's five fields; a variable before the command.
        let line = line.trim_start_matches("17 3 * * * ").trim_start_matches("HOMECTL_IDENTITY=age.key ");
        let line =
            line.split(" #").next().unwrap_or_default().split(" && ").next().unwrap_or_default().split(" >").next().unwrap_or_default();
        let words: Vec<String> = line.split_whitespace().map(|word| word.replace('…', "x")).collect();
        (words.first().map(String::as_str) == Some("homectl") && words.len() > 1).then_some(words)
    };
    text.lines().filter_map(begins).collect()
}

#[test]
fn every_command_that_is_shown_can_be_typed() {
    let mut examples: Vec<String> = blocks(&read("README.md"), "sh");
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        examples.push(fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let readme = read("README.md");
    examples.extend(readme.split('`').skip(1).step_by(2).filter(|code| code.contains("* homectl backup /")).map(str::to_owned));
    let all: Vec<Vec<String>> = examples.iter().flat_map(|text| commands(text)).collect();
    assert!(all.len() > 30, "{all:#?}");
    assert!(all.iter().any(|c| c.contains(&"%h/house/inventory.toml".to_owned())), "the timer's is among them: {all:#?}");
    for command in all {
        if let Err(error) = <homectl::cli::Cli as clap::Parser>::try_parse_from(&command) {
            assert!(!error.use_stderr(), "{}: {error}", command.join(" "));
        }
    }
}

/// systemd reads the units as they are meant, and knows when the timer runs next.
#[test]
fn the_timer_for_backups_is_one() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["backup.service", "backup.timer"] {
        // The program is wherever its owner has it.
        let text = read(&format!("examples/{name}")).replace("%h/.cargo/bin/homectl", env!("CARGO_BIN_EXE_homectl"));
        fs::write(dir.path().join(name), text).unwrap();
    }
    let units = ["backup.service", "backup.timer"].map(|name| dir.path().join(name));
    match Command::new("systemd-analyze").arg("verify").arg("--man=no").args(&units).output() {
        Ok(told) => {
            let said = String::from_utf8_lossy(&told.stderr).into_owned();
            let ours: Vec<&str> = said.lines().filter(|l| l.contains("backup.")).collect();
            assert!(told.status.success() && ours.is_empty(), "{said}");
        }
        Err(error) => panic!("systemd-analyze cannot be run: {error}"),
    }
    let calendar = read("examples/backup.timer");
    let calendar = calendar.lines().find_map(|l| l.strip_prefix("OnCalendar=")).unwrap();
    assert!(Command::new("systemd-analyze").args(["calendar", calendar]).output().unwrap().status.success());
}

/// Every test that the page of faults names is there, every lane, and every row of it.
#[test]
fn faults_are_shown_by_tests_that_exist() {
    let page = read("docs/faults.md");
    let mut sources = String::new();
    gather(&root().join("src"), &mut sources);
    gather(&root().join("tests"), &mut sources);
    let words = page.split('`').skip(1).step_by(2);
    let tests: Vec<&str> = words.filter(|w| w.contains('_') && w.chars().all(|c| c.is_ascii_lowercase() || c == '_')).collect();
    assert!(tests.len() > 80, "{} tests are named", tests.len());
    for name in tests {
        assert!(sources.contains(&format!("fn {name}(")), "docs/faults.md names {name}, which is no test");
    }
    // However they are broken into lines.
    let sources: String = sources.split_whitespace().collect::<Vec<_>>().join(" ");
    let run = read("tests/run");
    let gate = run.lines().find_map(|line| line.strip_prefix("GATE=")).expect("tests/run says which lanes it runs").split(',');
    let one = page.split("lane `").skip(1).filter_map(|rest| rest.split('`').next());
    // `lanes `a`, `b` and `c``: as long as nothing but commas and "and" stands between.
    let several = page.split("lanes `").skip(1).flat_map(|rest| {
        let parts: Vec<&str> = rest.split('`').collect();
        let more = parts.chunks(2).take_while(|pair| pair.len() == 2).map(|pair| (pair[0], pair[1]));
        let mut listed = true;
        more.map_while(move |(name, behind)| std::mem::replace(&mut listed, [", ", " and ", ", and "].contains(&behind)).then_some(name))
            .collect::<Vec<_>>()
    });
    for lane in one.chain(several).chain(gate) {
        assert!(sources.contains(&format!("Lane {{ name: \"{lane}\"")), "the lane {lane} is named, and there is none");
    }
    let rows: Vec<usize> = page.lines().filter_map(|l| l.strip_prefix("| ")?.split(" |").next()?.parse().ok()).collect();
    assert!(rows.len() >= 79 && rows.iter().copied().eq(1..=rows.len()), "the rows of docs/faults.md: {rows:?}");
}

/// All Rust below a folder.
fn gather(folder: &Path, into: &mut String) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            gather(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            *into += &fs::read_to_string(path).unwrap_or_default();
        }
    }
}
