//! `homectl drill`, as its users have it; and what becomes of it when the operator is lost in the middle.

use super::{Ground, PLANES};
use crate::Result;
use crate::scene::{ensure, eventually};
use serde_json::Value;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

const AWAY: &str = "systemctl is-active kube-apiserver";

/// What the gate has time for.
pub(super) fn some(ground: &Ground) -> Result {
    api(ground, &["--sudden", "--seconds", "5"])?;
    restore(ground)
}

pub(super) fn all(ground: &Ground) -> Result {
    api(ground, &["--seconds", "15"])?;
    api(ground, &["--sudden", "--seconds", "15"])?;
    drain(ground)?;
    restore(ground)?;
    kept(ground)?;
    cut(ground, "INT", Some(130), 20)?;
    cut(ground, "KILL", None, 60)
}

fn told(ground: &Ground, words: &[&str]) -> Result<Value> {
    let words: Vec<&str> = words.iter().copied().chain(["--yes", "--json"]).collect();
    let ran = ground.homectl.words("drill", &words)?;
    let doc: Value = serde_json::from_str(&ran.out).map_err(|error| format!("{error}: {}", ran.seen()))?;
    ensure(ran.code == Some(0) && doc["verdict"] == "held", || ran.seen())?;
    Ok(doc)
}

fn api(ground: &Ground, words: &[&str]) -> Result {
    let node = ground.plane();
    let doc = told(ground, &[&["api", "--node", node], words].concat())?;
    let ways = doc["observed"]["ways"].as_array().cloned().unwrap_or_default();
    ensure(ways.len() == PLANES.len() + ground.cluster.nodes.len(), || format!("ways: {ways:?}"))?;
    let gap = |way: &Value| way["longest_gap"].as_f64().unwrap_or(f64::MAX);
    let victim = ways.iter().find(|w| w["way"] == doc["observed"]["stopped"]).ok_or("the one that was stopped is not told")?;
    let others = ways.iter().filter(|w| w["way"] != victim["way"]);
    let (worst, failed) = (others.clone().map(gap).fold(0.0, f64::max), others.filter_map(|w| w["failed"].as_u64()).sum::<u64>());
    let how = if words.contains(&"--sudden") { "killed" } else { "stopped" };
    ground.scene.figure(
        &format!("an API server {how}: longest without an answer elsewhere ({failed} failed), seconds"),
        Duration::from_secs_f64(worst),
    );
    // It was really away.
    ensure(gap(victim) > 4.0 && victim["failed"].as_u64() > Some(0), || format!("the one that was stopped: {victim}"))
}

fn drain(ground: &Ground) -> Result {
    let doc = told(ground, &["drain", "--node", ground.worker()])?;
    let canary = doc["observed"]["short"].as_array().into_iter().flatten().find(|s| s["workload"] == "Deployment canary/canary");
    let short = canary.and_then(|s| s["seconds"].as_u64()).ok_or_else(|| format!("nobody missed the canary: {doc}"))?;
    ground.scene.figure("the canary was short of its pod while its node was empty, seconds", Duration::from_secs(short));
    let moved = doc["observed"]["moved"].as_array().into_iter().flatten();
    let back = moved.filter(|m| m["pod"].as_str().is_some_and(|p| p.starts_with("canary/"))).any(|m| m["node"] == ground.worker());
    ensure(back, || format!("it is not told where the canary went: {doc}"))
}

fn restore(ground: &Ground) -> Result {
    let doc = told(ground, &["restore"])?;
    let proof = &doc["observed"]["backup"]["proof"];
    ground.scene.figure("a fresh backup restored aside, seconds", Duration::from_secs_f64(doc["seconds"].as_f64().unwrap_or_default()));
    ensure(proof["keys"].as_u64() > Some(100) && proof["hash-compared"] == true, || doc.to_string())
}

/// Backups on another machine: root's alone, the newest stays, and can be restored.
fn kept(ground: &Ground) -> Result {
    let (node, folder) = (ground.worker(), "/srv/backups");
    let place = format!("node:{node}:{folder}");
    let back_up = || ground.homectl.run("backup", &["--to", &place, "--keep", "1"])?.with(0);
    back_up()?;
    let before = ground.cluster.lab.sh(node, &format!("ls -A {folder}"))?;
    std::thread::sleep(Duration::from_secs(1));
    let ran = back_up()?;
    ensure(ran.out.contains(&format!("removed: {}", before.trim())), || ran.seen())?;
    let there = ground.cluster.lab.sh(node, &format!("find {folder} -printf '%y %m %u\\n'"))?;
    ensure(there == "d 700 root\nf 600 root\n", || there)?;
    let doc = told(ground, &["restore", "--from", &place])?;
    ensure(doc["observed"]["age"].as_u64().is_some_and(|age| age < 600), || doc.to_string())
}

/// The operator goes while the API server is away: it comes back all the same, within so many seconds.
fn cut(ground: &Ground, signal: &'static str, code: Option<i32>, seconds: u64) -> Result {
    let (node, lab) = (ground.plane(), ground.cluster.lab);
    let (tell, hear) = mpsc::channel();
    let away = || lab.sh_ran(node, AWAY).and_then(|ran| ensure(ran.out.trim() != "active", || ran.seen()));
    let ran = std::thread::scope(|scope| {
        let knife = scope.spawn(move || -> Result {
            let id: u32 = hear.recv_timeout(Duration::from_mins(1)).map_err(|error| error.to_string())?;
            eventually(60, "its API server is away", away)?;
            Command::new("kill").args(["-s", signal, &id.to_string()]).status().map(drop).map_err(|error| error.to_string())
        });
        let ran = ground.homectl.words_and("drill", &["api", "--node", node, "--seconds", "20", "--yes"], move |id| {
            tell.send(id).ok();
        });
        knife.join().map_err(|_| "the knife broke")??;
        ran
    })?;
    ensure(ran.code == code, || format!("{signal}: {}", ran.seen()))?;
    let active = || lab.sh_ran(node, AWAY).and_then(|ran| ensure(ran.out.trim() == "active", || ran.seen()));
    let ((), took) = eventually(seconds, "its API server runs again", active)?;
    ground.scene.figure(&format!("an API server runs again after SIG{signal} of homectl, seconds"), took);
    let left = lab.sh(node, "systemctl list-units --all --plain --no-legend 'homectl-drill*'")?;
    ensure(left.is_empty() || signal == "INT" && !left.contains(" active "), || format!("left: {left}"))
}
