//! The command line as people and scripts meet it: exact screens and exit codes, no network.

#[expect(clippy::expect_used, reason = "a test ends at the first surprise")]
mod test;

use std::io::Write;
use std::process::{Command, Stdio};
use test::Test;

/// Every verb, for what must hold for all of them.
const VERBS: &[&str] = &[
    "init",
    "validate",
    "lock",
    "plan",
    "apply",
    "status",
    "certs",
    "kubeconfig",
    "backup",
    "restore",
    "recover",
    "drill",
    "reset",
    "explain",
    "check",
    "add-node",
    "remove-node",
    "replace-node",
    "completions",
    "man",
];

#[test]
fn help_in_short_and_in_long() {
    Test::new(&["-h"]).stdout_golden("help-short.txt").run();
    Test::new(&["--help"]).stdout_golden("help.txt").run();
    Test::new(&["plan", "--help"]).stdout_golden("help-plan.txt").run();
}

#[test]
fn every_verb_explains_itself() {
    for verb in VERBS {
        let (help, _) = Test::new(&[verb, "--help"]).any_stdout().run();
        assert!(help.contains(&format!("Usage: homectl {verb}")), "{help}");
        let (page, _) = Test::new(&["man", verb]).any_stdout().run();
        assert!(page.contains(&format!(".TH homectl-{verb} 1")), "{page}");
    }
}

#[test]
fn version() {
    Test::new(&["--version"]).stdout("homectl [VERSION]\n").run();
}

#[test]
fn nothing_typed_is_wrong_usage() {
    let (_, stderr) = Test::new(&[]).any_stderr().status(64).run();
    assert!(stderr.contains("Usage: homectl [OPTIONS] <COMMAND>"), "{stderr}");
}

#[test]
fn unknown_words_are_named_with_the_nearest_known() {
    Test::new(&["aply"])
        .stderr(
            "error: unrecognized subcommand 'aply'\n\n  tip: a similar subcommand exists: 'apply'\n\n\
             Usage: homectl [OPTIONS] <COMMAND>\n\nFor more information, try '--help'.\n",
        )
        .status(64)
        .run();
    let (_, stderr) = Test::new(&["plan", "--exit-cod"]).any_stderr().status(64).run();
    assert!(stderr.contains("tip: a similar argument exists: '--exit-code'"), "{stderr}");
}

#[test]
fn two_forms_at_once_are_refused() {
    let (_, stderr) = Test::new(&["plan", "--json", "--events"]).any_stderr().status(64).run();
    assert!(stderr.contains("the argument '--json' cannot be used with '--events'"), "{stderr}");
}

#[test]
fn exit_codes_are_explained() {
    Test::new(&["explain"]).stdout_golden("explain.txt").run();
    Test::new(&["explain", "3"])
        .stdout(
            "exit code 3: everything that answered is as the inventory says, but some machines were offline\n\n\
             Switch them on and run the same command again, or leave them out with --limit.\n",
        )
        .run();
    Test::new(&["explain", "77"]).stderr("error: homectl has no exit code 77\n  help: `homectl explain` lists them\n").status(64).run();
    let (json, _) = Test::new(&["explain", "--json", "5"]).any_stdout().run();
    let doc: serde_json::Value = serde_json::from_str(&json).expect("one document");
    assert_eq!(doc["codes"][0]["code"], 5);
}

#[test]
fn a_failure_is_a_document_under_json() {
    let (json, stderr) = Test::new(&["explain", "77", "--json"]).any_stdout().any_stderr().status(64).run();
    let doc: serde_json::Value = serde_json::from_str(&json).expect("one document");
    assert_eq!((&doc["error"]["exit"], &doc["error"]["what"]), (&64.into(), &"homectl has no exit code 77".into()));
    assert!(stderr.starts_with("error: homectl has no exit code 77\n"), "{stderr}");
}

#[test]
fn completion_scripts_name_every_verb_and_are_valid_bash() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (script, _) = Test::new(&["completions", shell]).any_stdout().run();
        for verb in VERBS {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
    }
    let (script, _) = Test::new(&["completions", "bash"]).any_stdout().run();
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("bash");
    bash.stdin.take().expect("stdin").write_all(script.as_bytes()).expect("bash reads");
    let done = bash.wait_with_output().expect("bash ends");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn an_unknown_page_is_wrong_usage() {
    Test::new(&["man", "frobnicate"])
        .stderr("error: homectl has no command `frobnicate`\n  help: `homectl --help` lists them\n")
        .status(64)
        .run();
}

#[test]
fn a_reader_who_went_away_is_no_error() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_homectl"));
    let done = command.args(["completions", "bash"]).stdout(writer).output().expect("the program runs");
    assert!(done.status.success());
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
}

#[test]
fn text_has_no_colours_where_nobody_looks() {
    for env in [("CLICOLOR_FORCE", "0"), ("NO_COLOR", "1"), ("TERM", "dumb")] {
        let (_, stderr) = Test::new(&["explain", "77"]).env(env.0, env.1).file("x", "").any_stderr().status(64).run();
        assert!(!stderr.contains('\x1b'), "{stderr:?}");
    }
}

#[test]
fn what_is_no_backup_is_told() {
    let (_, stderr) = Test::new(&["backup", "verify", "x.age"]).any_stderr().status(64).run();
    assert!(stderr.contains("there is no age identity"), "{stderr}");
    let test = || Test::new(&["backup", "list", "x.age", "--identity", "id.txt"]).file("x.age", "no backup");
    let (_, stderr) = test().any_stderr().status(64).run();
    assert!(stderr.contains("cannot read the identity"), "{stderr}");
    let (_, stderr) = Test::new(&["backup", "--to", "s3://bucket", "--out", "x"]).any_stderr().status(64).run();
    assert!(stderr.contains("cannot be used with"), "{stderr}");
    Test::new(&["backup", "list"]).run();
}

#[test]
fn drills_are_listed_and_refuse_what_they_cannot_do() {
    Test::new(&["drill"]).stdout_golden("drills.txt").run();
    let (json, _) = Test::new(&["drill", "--json"]).any_stdout().run();
    let doc: serde_json::Value = serde_json::from_str(&json).expect("one document");
    let names: Vec<&str> = doc["drills"].as_array().expect("a list").iter().filter_map(|d| d["drill"].as_str()).collect();
    assert_eq!(names, ["api", "drain", "restore"]);
    for name in names {
        let (help, _) = Test::new(&["drill", name, "--help"]).any_stdout().run();
        assert!(help.contains(&format!("Usage: homectl drill {name}")), "{help}");
    }
    let (_, stderr) = Test::new(&["drill", "api", "--seconds", "1"]).any_stderr().status(64).run();
    assert!(stderr.contains("1 is not in 5..=600"), "{stderr}");
    let (_, stderr) = Test::new(&["drill", "restore", "--from", "."]).any_stderr().status(64).run();
    assert!(stderr.contains("there is no age identity"), "{stderr}");
}
