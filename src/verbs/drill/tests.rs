//! Who may be stopped, what is said of it, what counts as too long, and that nothing stops before somebody is sure to start it again.

use super::*;
use crate::cli::Target as Inventory;
use crate::cluster::Cluster;
use crate::scenes::Scene;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn args(without_api: bool) -> DrillApi {
    DrillApi { target: Inventory { inventory: "inventory.toml".into() }, seconds: 30, sudden: false, without_api }
}

fn planes(cluster: &Cluster) -> Vec<&Node> {
    cluster.control_planes().collect()
}

#[test]
fn one_of_several_control_planes_and_never_the_only_one_unasked() {
    let four = Scene::four().cluster;
    let told = |named: Option<&str>, without| {
        let node = named.and_then(|name| four.node(name));
        victim(&planes(&four), node, &args(without)).map(|n| n.name.clone()).map_err(|f| (f.exit_code(), f.what().to_owned()))
    };
    assert_eq!(told(None, false).unwrap(), "garage");
    assert_eq!(told(Some("attic"), false).unwrap(), "attic");
    assert_eq!(told(Some("shed"), false).unwrap_err(), (exit::USAGE, "shed has no API server".into()));
    let one = Scene::one().cluster;
    let refused = victim(&planes(&one), None, &args(false)).unwrap_err();
    assert_eq!(refused.exit_code(), exit::REFUSED);
    assert!(refused.what().contains("the only control plane") && refused.remedy().unwrap().contains("--without-api"), "{refused}");
    assert!(victim(&planes(&one), None, &args(true)).is_ok());
}

#[test]
fn the_question_says_who_goes_on() {
    let (four, one) = (Scene::four().cluster, Scene::one().cluster);
    let said = question(four.node("garage").unwrap(), &planes(&four), &args(false));
    assert!(said.contains("The API server of garage is stopped for 30 s; attic and cellar go on answering."), "{said}");
    let said = question(planes(&one)[0], &planes(&one), &DrillApi { sudden: true, ..args(true) });
    assert!(said.contains("is killed, and stays away for 30 s; nobody else answers meanwhile."), "{said}");
}

#[test]
fn only_the_one_that_was_stopped_may_be_away() {
    let way = |way: &str, seconds| Answers { way: way.into(), asked: 9, failed: 3, longest: Duration::from_secs(seconds), failure: None };
    let ways = [way("API server on attic", 1), way("API server on garage", 33), way("proxy on shed", 6), way("proxy on attic", 5)];
    assert_eq!(judge(&ways, "API server on garage", false), ["proxy on shed was without an answer for 6.0 s; 5 s are allowed"]);
    assert!(judge(&ways, "API server on garage", true).is_empty());
}

/// Runs a script among programs that only write down how they were called; those named in `failing` end with 1.
fn among_stubs(dir: &Path, script: &str, failing: &str) -> (Output, Vec<String>) {
    let log = dir.join("log");
    fs::write(&log, "").unwrap();
    for name in ["systemctl", "systemd-run"] {
        let stub = dir.join(name);
        let text = format!("#!/bin/sh\necho \"{name} $*\" >>{}\ncase \"{name} $*\" in {failing}) exit 1 ;; esac\n", log.display());
        fs::write(&stub, text).unwrap();
        fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let ran = Command::new("sh").args(["-c", script]).env("PATH", format!("{}:/usr/bin:/bin", dir.display())).output().unwrap();
    let calls = fs::read_to_string(&log).unwrap();
    (ran, calls.lines().map(str::to_owned).collect())
}

#[test]
fn a_timer_is_set_before_anything_stops() {
    let dir = tempfile::tempdir().unwrap();
    let script = |sudden: &str| format!("seconds=45 sudden={sudden}\n{}", include_str!("stop.sh"));
    let (ran, calls) = among_stubs(dir.path(), &script("yes"), "nothing");
    assert!(ran.status.success());
    let at = |what: &str| calls.iter().position(|c| c.starts_with(what)).unwrap_or_else(|| panic!("{what}: {calls:#?}"));
    let (timer, proof) = (at("systemd-run --quiet --unit=homectl-drill --on-active=45"), at("systemctl is-active -q homectl-drill.timer"));
    assert!(timer < proof && proof < at("systemctl kill") && at("systemctl kill") < at("systemctl stop kube-apiserver"), "{calls:#?}");
    assert!(calls[timer].ends_with("systemctl start kube-apiserver.service"), "{calls:#?}");
    let (_, calls) = among_stubs(dir.path(), &script("no"), "nothing");
    assert!(!calls.iter().any(|c| c.contains("kill")), "{calls:#?}");

    for failing in ["systemd-run*", "'systemctl is-active -q homectl-drill.timer'", "'systemctl is-active -q kube-apiserver.service'"] {
        let (ran, calls) = among_stubs(dir.path(), &script("yes"), failing);
        assert!(!ran.status.success(), "{failing}");
        assert!(!calls.iter().any(|c| c.contains("kill") || c.contains("stop kube-apiserver")), "{failing}: {calls:#?}");
    }
}

#[test]
fn it_is_started_before_the_timer_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (ran, calls) = among_stubs(dir.path(), include_str!("start.sh"), "'systemctl stop homectl-drill.timer'");
    assert!(ran.status.success(), "a timer that has gone by itself is no failure");
    assert_eq!(calls, ["systemctl start --no-block kube-apiserver.service", "systemctl stop homectl-drill.timer"]);
    let (ran, calls) = among_stubs(dir.path(), include_str!("start.sh"), "'systemctl start --no-block kube-apiserver.service'");
    assert!(!ran.status.success() && calls.len() == 1, "the timer stays where the start failed: {calls:#?}");
}
