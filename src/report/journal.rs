//! The operator's journal: what each run did, as JSON lines in the state directory, the last runs of each cluster. A run
//! that cannot keep one goes on without. On the machines, `journalctl -t homectl` has their side.

use super::json::{self, FORMAT};
use super::style::clean;
use crate::error::{Failure, Result};
use crate::exec::EventKind;
use crate::plan::Plan;
use etcetera::BaseStrategy as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

/// Runs kept for each cluster.
const KEPT: usize = 20;

/// The journal of one run.
pub struct Journal {
    file: Mutex<File>,
    began: Instant,
}

impl Journal {
    /// Begins the journal of the run `id` (`verb` on the inventory `inventory`) of `plan`. Nothing where there is no place for it.
    #[must_use]
    pub fn begin(id: &str, verb: &str, inventory: &Path, plan: &Plan) -> Option<Self> {
        Self::begin_in(&folder()?.join(&plan.cluster), id, verb, inventory, plan).ok()
    }

    fn begin_in(folder: &Path, id: &str, verb: &str, inventory: &Path, plan: &Plan) -> std::io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let now = jiff::Timestamp::now();
        let name = format!("{}-{id}.jsonl", now.strftime("%Y%m%dT%H%M%S"));
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(name))?;
        for old in runs(folder).into_iter().rev().skip(KEPT) {
            let _ = fs::remove_file(old);
        }
        let journal = Self { file: Mutex::new(file), began: Instant::now() };
        let inventory = fs::canonicalize(inventory).unwrap_or_else(|_| inventory.to_path_buf());
        let titles: BTreeMap<String, &str> = plan.steps.iter().map(|s| (s.id.to_string(), s.title.as_str())).collect();
        journal.line(&json!({
            "type": "run", "format": FORMAT, "run": id, "homectl": env!("CARGO_PKG_VERSION"), "verb": verb, "cluster": plan.cluster,
            "inventory": inventory, "began": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "counts": json::counts(&plan.counts()), "steps": titles,
            "offline": plan.offline.iter().map(|(node, seen)| json!({"node": node, "seen": seen})).collect::<Vec<_>>(),
        }));
        Ok(journal)
    }

    /// Notes what a later reader wants: steps, what went wrong, the end.
    pub fn tell(&self, kind: &EventKind) {
        use EventKind::{Finished, StepBegan, StepEnded, Unreachable, Warning};
        if let StepBegan { .. } | StepEnded { .. } | Warning { .. } | Unreachable { .. } | Finished { .. } = kind
            && let Ok(mut value) = serde_json::to_value(kind)
        {
            value["at"] = json!((self.began.elapsed().as_secs_f64() * 10.0).round() / 10.0);
            self.line(&value);
        }
    }

    fn line(&self, value: &Value) {
        if let Ok(mut file) = self.file.lock() {
            let _ = writeln!(file, "{value}");
        }
    }
}

/// Where journals lie; nothing without a home.
fn folder() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.state_dir().unwrap_or_else(|| base.home_dir().join(".local/state")).join("homectl/runs"))
}

/// Journals of one cluster, oldest first: names begin with the time.
fn runs(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let mut all: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == "jsonl")).collect();
    all.sort();
    all
}

/// The lines of the last run of any cluster.
///
/// # Errors
/// There was none, or its journal cannot be read.
pub(super) fn last() -> Result<Vec<Value>> {
    let none =
        || Failure::failed("no run is remembered on this computer").help("runs that change something are: homectl apply, homectl reset");
    let folder = folder().ok_or_else(none)?;
    let clusters = fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path());
    let newest = clusters.flat_map(|c| runs(&c)).max_by_key(|p| p.file_name().map(ToOwned::to_owned)).ok_or_else(none)?;
    let text =
        fs::read_to_string(&newest).map_err(|e| Failure::failed(format!("{} cannot be read", newest.display())).seen(e.to_string()))?;
    // A run that was killed leaves half a line.
    Ok(text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect())
}

/// The same for people: when, what, how it ended; what failed, with its evidence.
pub(super) fn text(lines: &[Value]) -> String {
    let head = lines.first().cloned().unwrap_or_default();
    let word = |v: &Value| clean(v.as_str().unwrap_or("?")).into_owned();
    let mut out = format!(
        "homectl {} of the cluster {}, run {}\n  inventory  {}\n  began      {}\n",
        word(&head["verb"]),
        word(&head["cluster"]),
        word(&head["run"]),
        word(&head["inventory"]),
        word(&head["began"])
    );
    let _ = writeln!(out, "  planned    {} changes", head["counts"]["changes"]);
    for away in head["offline"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "  pending    {}, which was off: {}", word(&away["node"]), word(&away["seen"]));
    }
    let _ = writeln!(out, "  ended      {}\n", ended(lines));
    for line in lines.iter().filter(|l| l["type"] == "step-ended") {
        step(&mut out, &head, line);
    }
    for line in lines.iter().filter(|l| l["type"] == "step-began") {
        if !lines.iter().any(|l| l["type"] == "step-ended" && l["step"] == line["step"]) {
            let _ = writeln!(out, "{}  began at {} s, and no end of it is known", name(&head, &line["step"]), line["at"]);
        }
    }
    out + "\nOn the machines: journalctl -t homectl\n"
}

fn ended(lines: &[Value]) -> String {
    match lines.iter().find(|l| l["type"] == "finished") {
        Some(l) => format!("after {} s: {} items changed, {} steps failed, {} not begun", l["at"], l["changed"], l["failed"], l["skipped"]),
        None => "not: homectl was killed, or its computer went off. Run the same command again, it goes on.".into(),
    }
}

fn step(out: &mut String, head: &Value, line: &Value) {
    let name = name(head, &line["step"]);
    let outcome = &line["outcome"];
    match outcome["outcome"].as_str() {
        Some("done") => {
            let _ = writeln!(out, "{name}  done at {} s", line["at"]);
        }
        Some("skipped") => {
            let _ = writeln!(out, "{name}  not begun: {}", clean(outcome["why"].as_str().unwrap_or_default()));
        }
        _ => {
            let _ = writeln!(out, "{name}  FAILED at {} s: {}", line["at"], clean(outcome["what"].as_str().unwrap_or_default()));
            for seen in outcome["evidence"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let _ = writeln!(out, "  | {}", clean(seen));
            }
            let _ = writeln!(out, "  help: {}", clean(outcome["help"].as_str().unwrap_or_default()));
        }
    }
}

/// `attic  API server`.
fn name(head: &Value, step: &Value) -> String {
    let lane = step["lane"]["node"].as_str().unwrap_or("cluster");
    let id = step["name"].as_str().unwrap_or("?");
    format!("{lane}  {}", head["steps"][format!("{id}@{lane}")].as_str().unwrap_or(id))
}

#[cfg(test)]
mod tests {
    use super::super::tests::fixture::mixed;
    use super::*;
    use crate::exec::Outcome;
    use crate::steps::StepId;

    #[test]
    fn a_run_is_told_as_it_was_also_when_it_was_killed() {
        let home = tempfile::tempdir().unwrap();
        let journal = Journal::begin_in(home.path(), "3f2a", "apply", Path::new("/x/inventory.toml"), &mixed()).unwrap();
        let (etcd, kubelet) = (StepId::node("attic", "etcd"), StepId::node("attic", "kubelet"));
        journal.tell(&EventKind::StepBegan { step: etcd.clone(), title: "etcd member".into() });
        journal.tell(&EventKind::Probing { node: "attic".into() });
        let outcome = Outcome::Failed { what: "it broke".into(), evidence: vec!["bind: in use".into()], help: "free it".into() };
        journal.tell(&EventKind::StepEnded { step: etcd, outcome });
        journal.tell(&EventKind::StepBegan { step: kubelet, title: "kubelet".into() });
        let read = || -> Vec<Value> {
            let text = fs::read_to_string(&runs(home.path())[0]).unwrap();
            text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
        };
        let told = text(&read());
        assert!(told.contains("run 3f2a") && told.contains("not: homectl was killed"), "{told}");
        assert!(told.contains("FAILED at ") && told.contains("  | bind: in use\n  help: free it\n"), "{told}");
        assert!(told.contains("attic  kubelet  began at "), "{told}");
        journal.tell(&EventKind::Finished { changed: 3, failed: 1, skipped: 0, seconds: 1.0 });
        assert!(text(&read()).contains("3 items changed, 1 steps failed, 0 not begun"));
        assert_eq!(read().iter().filter(|l| l["type"] == "probing").count(), 0);
    }

    #[test]
    fn the_last_runs_are_kept() {
        let home = tempfile::tempdir().unwrap();
        for i in 0..KEPT + 5 {
            Journal::begin_in(home.path(), &format!("{i:04}"), "apply", Path::new("i"), &mixed()).unwrap();
        }
        assert_eq!(runs(home.path()).len(), KEPT);
    }
}
