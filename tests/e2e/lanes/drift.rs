//! Machines and API changed by hand, kind by kind: the plan shows exactly that and nothing else, apply mends exactly that, the next
//! plan is empty; or the plan says what stands in the way, and nothing on that machine is touched.
//!
//! Rows of one cycle are drifted, planned and mended together; what each of them is due for adds up.

mod api;
mod blocked;
mod certificates;
mod files;
mod services;

use crate::Result;
use crate::checks::{Cluster, machines};
use crate::homectl::Homectl;
use crate::lab::write;
use crate::lanes::lane;
use crate::scene::{Scene, at_once, ensure, eventually};
use crate::tree::Trees;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const NODES: [&str; 3] = ["attic", "cellar", "garage"];

/// What scripts on the control plane may use: upstream's kubectl as administrator.
const TOOLS: &str = "set -eu\nexport KUBECONFIG=/etc/kubernetes/admin.conf\nk() { /opt/homectl/bin/kubectl \"$@\"; }\n";

/// A machine, and sh that runs there as root.
type By = (&'static str, &'static str);

/// One drift.
pub(crate) struct Row {
    what: &'static str,
    by_hand: &'static [By],
    /// What the plan must show: `LANE ACT ADDRESS`, where ACT is `deferred` or `blocked` for what is neither due nor settled.
    due: &'static [&'static str],
    /// Of those, what holds again by the time its turn comes.
    held: &'static [&'static str],
    /// Besides that the machine is as it was.
    proof: &'static [By],
}

const fn row(what: &'static str, by_hand: &'static [By], due: &'static [&'static str], proof: &'static [By]) -> Row {
    Row { what, by_hand, due, held: &[], proof }
}

pub(crate) fn run(scene: &Scene) -> Result {
    super::in_lab(scene, &super::THREE, "trixie", |homectl, cluster| Desk { scene, homectl, cluster }.tell())
}

pub(crate) struct Desk<'a> {
    scene: &'a Scene,
    homectl: &'a Homectl,
    cluster: &'a Cluster<'a>,
}

impl Desk<'_> {
    fn tell(&self) -> Result {
        self.scene.step("fresh: apply", || self.fresh())?;
        self.mended("files, settings, links, tables", files::ROWS);
        // Before anything restarts the controllers: what they say of deployments is old until they lead again.
        self.mended("objects in the API", api::ROWS);
        match self.cluster.lab.sh("cellar", "grep -q '^br_netfilter ' /proc/modules && modprobe -n -r br_netfilter") {
            Ok(_) => self.mended("a module", files::MODULE),
            Err(_) => {
                self.scene
                    .say("NOT TRIED: a module unloaded (the kernel here has br_netfilter built in; src/want/module.rs has its table)");
            }
        }
        self.mended("certificates and keys", certificates::ROWS);
        self.mended("units and programs", services::ROWS);
        self.mended("the API server", services::API_SERVER);
        self.blocked("blocked", blocked::ROWS);
        self.scene.step("at the end: all is well", || {
            machines::ready(self.cluster)?;
            // Pods of deployments that were deleted may still be ending.
            eventually(60, "the system's pods", || machines::system_pods(self.cluster)).map(drop)
        })
    }

    /// A cluster whose second machine has a label and a taint of its own.
    fn fresh(&self) -> Result {
        let text = self.cluster.lab.inventory()?;
        let own =
            "name = \"cellar\"\nlabels = { \"example.net/room\" = \"below\" }\ntaints = [\"example.net/damp=yes:PreferNoSchedule\"]\n";
        self.homectl.write_inventory(&text.replace("name = \"cellar\"\n", own))?;
        self.homectl.run("apply", &["--yes"])?.with(0)?;
        write(&self.homectl.dir.join("kubeconfig"), &self.homectl.run("kubeconfig", &[])?.ok()?)?;
        self.settled()
    }

    /// What is changed by hand is shown, mended, and then nothing is left to do.
    fn mended(&self, cycle: &str, rows: &[Row]) {
        self.scene.check(&format!("{cycle}: {} drifts shown and mended", rows.len()), || {
            let before = Trees::of_states(self.cluster.lab, &NODES)?;
            self.by_hand(rows.iter().flat_map(|row| row.by_hand))?;
            let result = self.mend(rows).and_then(|()| Trees::of_states(self.cluster.lab, &NODES)?.same_as(&before));
            if result.is_err() {
                // For the cycles that follow.
                self.homectl.run("apply", &["--yes"])?;
            }
            result
        });
    }

    fn mend(&self, rows: &[Row]) -> Result {
        let due: BTreeSet<&str> = rows.iter().flat_map(|row| row.due).copied().collect();
        let held: BTreeSet<&str> = rows.iter().flat_map(|row| row.held).copied().collect();
        same("the plan is not what was done by hand", &due, &self.plan(0)?)?;
        let ran = self.homectl.run("apply", &["--yes", "--events"])?.with(0)?;
        let done: BTreeSet<&str> = due.difference(&held).copied().collect();
        same("apply did not do what was planned", &places(&done), &changed(&ran.out)?)?;
        self.settled()?;
        self.proven(rows)
    }

    /// `what` is shown with its reason; apply ends with 1 and leaves the machines as they are. Taken back by hand, the rest is mended.
    fn blocked(&self, cycle: &str, rows: &[blocked::Row]) {
        self.scene.check(&format!("{cycle}: {} told, nothing forced", rows.len()), || {
            let before = Trees::of_states(self.cluster.lab, &NODES)?;
            self.by_hand(rows.iter().flat_map(|row| row.by_hand))?;
            for row in rows {
                self.scene.say(row.what);
            }
            let left = self.left_alone(rows);
            self.by_hand(rows.iter().flat_map(|row| row.undo))?;
            let then: BTreeSet<&str> = rows.iter().flat_map(|row| row.then).copied().collect();
            let free = left.and_then(|()| same("once the way is free", &then, &self.plan(0)?));
            let mended = self.homectl.run("apply", &["--yes"])?;
            free?;
            mended.with(0)?;
            self.settled()?;
            Trees::of_states(self.cluster.lab, &NODES)?.same_as(&before)
        });
    }

    fn left_alone(&self, rows: &[blocked::Row]) -> Result {
        let due: BTreeSet<&str> = rows.iter().flat_map(|row| row.due).copied().collect();
        same("the plan is not what was done by hand", &due, &self.plan(1)?)?;
        let before = Trees::of(self.cluster.lab, &NODES)?;
        let planned = self.homectl.run("plan", &[])?.with(1)?;
        let applied = self.homectl.run("apply", &["--yes"])?.with(1)?;
        for word in rows.iter().flat_map(|row| row.says) {
            ensure(planned.out.contains(word), || format!("plan does not say '{word}': {}", planned.seen()))?;
            ensure(applied.err.contains(word), || format!("apply does not say '{word}': {}", applied.seen()))?;
        }
        Trees::of(self.cluster.lab, &NODES)?.same_as(&before)
    }

    /// Everything that is done on one machine, in one go; all machines at once.
    fn by_hand<'b>(&self, all: impl Iterator<Item = &'b By>) -> Result {
        let mut scripts: BTreeMap<&str, String> = BTreeMap::new();
        for (node, script) in all {
            let all = scripts.entry(node).or_insert_with(|| TOOLS.to_owned());
            *all += script;
            all.push('\n');
        }
        let scripts: Vec<(&str, String)> = scripts.into_iter().collect();
        at_once(&scripts, |(node, script)| self.cluster.lab.sh(node, script).map(drop))
    }

    /// What `plan --json` shows, settled items left out: `LANE ACT ADDRESS`.
    fn plan(&self, code: i32) -> Result<BTreeSet<String>> {
        let ran = self.homectl.run("plan", &["--json"])?.with(code)?;
        let plan: Value = serde_json::from_str(&ran.out).map_err(|error| format!("plan --json: {error}"))?;
        let mut shown = BTreeSet::new();
        for step in plan["steps"].as_array().into_iter().flatten() {
            for item in step["items"].as_array().into_iter().flatten() {
                let act = match item["verdict"].as_str() {
                    Some("settled") => continue,
                    Some("change") => item["act"].as_str().unwrap_or_default(),
                    other => other.unwrap_or_default(),
                };
                let place = lane(&step["id"]);
                // While there is no API, nothing can be said of any object.
                let addr = if (place, act) == ("cluster", "deferred") { "*" } else { item["addr"].as_str().unwrap_or_default() };
                shown.insert(format!("{place} {act} {addr}"));
            }
        }
        Ok(shown)
    }

    fn settled(&self) -> Result {
        let ran = self.homectl.run("plan", &["--exit-code"])?.with(0)?;
        ensure(ran.out.contains("No changes."), || ran.seen())
    }

    fn proven(&self, rows: &[Row]) -> Result {
        let proofs: Vec<(&str, &By)> = rows.iter().flat_map(|row| row.proof.iter().map(|proof| (row.what, proof))).collect();
        at_once(&proofs, |(what, (node, script))| {
            let ran = self.cluster.lab.sh_ran(node, &format!("{TOOLS}{script}"))?;
            ensure(ran.code == Some(0), || format!("{what}: not mended: {}", ran.seen()))
        })
    }
}

/// `LANE ADDRESS` of what a run did, from its events.
fn changed(events: &str) -> Result<BTreeSet<String>> {
    let mut done = BTreeSet::new();
    for line in events.lines() {
        let event: Value = serde_json::from_str(line).map_err(|error| format!("--events: {error}: {line}"))?;
        if event["type"] == "item-done" && event["changed"] == true {
            done.insert(format!("{} {}", lane(&event["step"]), event["addr"].as_str().unwrap_or_default()));
        }
    }
    Ok(done)
}

/// `LANE ADDRESS` of `LANE ACT ADDRESS`.
fn places<'a>(due: &BTreeSet<&'a str>) -> BTreeSet<String> {
    let place = |due: &&'a str| {
        let words: Vec<&str> = due.splitn(3, ' ').collect();
        format!("{} {}", words[0], words[2])
    };
    due.iter().map(place).collect()
}

/// Whether both sets are one; else what is missing and what is too much.
fn same<T: AsRef<str> + Ord>(what: &str, due: &BTreeSet<T>, seen: &BTreeSet<String>) -> Result {
    let due: BTreeSet<&str> = due.iter().map(AsRef::as_ref).collect();
    let seen: BTreeSet<&str> = seen.iter().map(String::as_str).collect();
    let lines = |sign: &str, these: &BTreeSet<&str>, those: &BTreeSet<&str>| -> Vec<String> {
        these.difference(those).map(|line| format!("{sign} {line}")).collect()
    };
    let wrong = [lines("missing:", &due, &seen), lines("too much:", &seen, &due)].concat();
    ensure(wrong.is_empty(), || format!("{what}:\n      {}", wrong.join("\n      ")))
}
