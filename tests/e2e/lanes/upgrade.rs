//! From one minor version of Kubernetes to the next: three control planes and a worker, asked all the time.

use crate::Result;
use crate::checks::{Cluster, machines};
use crate::homectl::Homectl;
use crate::lab::{self, Lab, read, write};
use crate::scene::{Scene, ensure, eventually};
use serde_json::Value;
use std::time::Duration;

const NODES: [&str; 4] = ["attic", "cellar", "garage", "shed"];
const OLD: &str = "1.35.4";
const NEW: &str = "1.36.3";
/// The machine that asks.
const ASKER: &str = "shed";

pub(crate) fn run(scene: &Scene) -> Result {
    Lab::artifacts(&["v1.35.4"])?;
    super::in_lab(scene, &super::FOUR, "trixie", |homectl, cluster| Story { scene, homectl, cluster }.tell())
}

struct Story<'a> {
    scene: &'a Scene,
    homectl: &'a Homectl,
    cluster: &'a Cluster<'a>,
}

impl Story<'_> {
    fn tell(&self) -> Result {
        let scene = self.scene;
        scene.step("fresh: a cluster of the version before", || {
            let inventory = self.cluster.lab.inventory()?;
            ensure(inventory.contains(NEW), || inventory.clone())?;
            self.homectl.write_inventory(&inventory.replace(&format!("\"{NEW}\""), &format!("\"{OLD}\"   # keep an eye on it")))?;
            self.homectl.run("apply", &["--yes"])?.with(0)?;
            write(&self.homectl.dir.join("kubeconfig"), &self.homectl.run("kubeconfig", &[])?.ok()?)?;
            self.versions(&[OLD; 4])
        })?;
        scene.check("refused: what may not follow, before anything is written", || self.refused());
        let guests = include_str!("../manifests/twice.yaml");
        scene.step("guests: a page that is served twice", || {
            self.cluster.kubectl.apply(guests)?;
            eventually(120, "both replicas", || self.served(2)).map(drop)
        })?;
        ask(self)?;
        let rolled = scene.step("broken: a node that does not come up is put back, and the upgrade ends there", || self.broken());
        let told = answers(self, "while a broken version was tried and put back");
        rolled.and(told)?;
        ask(self)?;
        let rolled = scene.step("upgrade: every node, one after the other", || self.upgrade());
        let told = answers(self, "during the whole upgrade");
        rolled.and(told)?;
        scene.check("upgrade: nothing is left to do", || {
            let ran = self.homectl.run("plan", &["--exit-code"])?.with(0)?;
            ensure(ran.out.contains("No changes."), || ran.seen())
        });
        scene.check("upgrade: it cannot be taken back", || {
            let ran = self.homectl.run("rollback", &["--node", "shed", "--yes"])?.with(4)?;
            ensure(ran.err.contains("nothing to go back to"), || ran.seen())
        });
        Ok(())
    }

    fn refused(&self) -> Result {
        let before = read(&self.homectl.inventory())?;
        let ran = self.homectl.run("upgrade", &["--to", "1.34.1", "--yes"])?;
        ensure(ran.code == Some(65) || ran.code == Some(4), || ran.seen())?;
        let ran = self.homectl.run("upgrade", &["--to", NEW, "--limit", "shed", "--yes"])?.with(64)?;
        ensure(ran.err.contains("the whole cluster's"), || ran.seen())?;
        // Not agreed to.
        self.homectl.run("upgrade", &["--to", NEW])?.with(64)?;
        ensure(read(&self.homectl.inventory())? == before, || "the inventory was changed".into())?;
        self.homectl.run("plan", &["--exit-code"])?.with(0).map(drop)
    }

    /// A kubelet that ends at once. All API servers are new by then; the first node that gets it goes back.
    fn broken(&self) -> Result {
        let spoilt = self.homectl.dir.join("spoilt");
        let copy = format!("rm -rf '{0}' && cp -al '{1}' '{0}'", spoilt.display(), lab::mirror().display());
        crate::shell::run(std::process::Command::new("sh").args(["-c", &copy]), &[], Duration::from_mins(1))?.ok()?;
        let kubelet = spoilt.join(format!("dl.k8s.io/release/v{NEW}/bin/linux/amd64/kubelet"));
        let bytes = b"#!/bin/sh\necho 'this kubelet is broken' >&2\nexit 1\n";
        for (path, bytes) in [(kubelet.clone(), &bytes[..]), (kubelet.with_extension("sha256"), sum(bytes)?.as_bytes())] {
            std::fs::remove_file(&path).map_err(|e| e.to_string())?;
            std::fs::write(&path, bytes).map_err(|e| e.to_string())?;
        }
        let good = read(&self.homectl.inventory())?;
        let mirror = |text: &str, to: &str| text.replace(&mirror_of(&good), &format!("mirror = \"file://{to}\""));
        self.homectl.write_inventory(&mirror(&good, &spoilt.display().to_string()))?;
        let ran = self.homectl.run("upgrade", &["--to", NEW, "--yes"])?.with(1)?;
        ensure(ran.err.contains("is put back") && ran.err.contains("this kubelet is broken"), || ran.seen())?;
        // Where a node goes first, the others wait: one kubelet was tried, on a control plane.
        eventually(60, "the node that went back is as before", || self.versions(&[OLD; 4]))?;
        ensure(self.cordoned()?.is_empty(), || format!("still kept away from: {:?}", self.cordoned()))?;
        for context in self.cluster.kubectl.contexts()? {
            let version = context.json(&["version"])?;
            ensure(version["serverVersion"]["gitVersion"] == *format!("v{NEW}"), || format!("an API server went back: {version}"))?;
        }
        // The mirror is mended; what the lock knows of the broken program is taken out of it, as its message says.
        let inventory = read(&self.homectl.inventory())?.replace(&format!("file://{}", spoilt.display()), &path_of(&good));
        self.homectl.write_inventory(&inventory)?;
        let ran = self.homectl.run("lock", &[])?.with(4)?;
        ensure(ran.err.contains("the published sum of"), || ran.seen())?;
        let lock = self.homectl.inventory().with_extension("lock");
        let text = read(&lock)?;
        let (head, rest) = text.split_once("[programs.kubelet.amd64]\n").ok_or("no kubelet in the lock")?;
        let rest = rest.find("\n[").and_then(|end| rest.get(end..)).unwrap_or_default();
        write(&lock, &format!("{head}{rest}"))?;
        self.homectl.run("lock", &[])?.with(0).map(drop)
    }

    fn upgrade(&self) -> Result {
        let ran = self.homectl.run("upgrade", &["--to", NEW, "--yes"])?.with(0)?;
        self.scene.figure("an upgrade of three control planes and a worker, seconds", ran.took);
        let inventory = read(&self.homectl.inventory())?;
        ensure(inventory.contains(&format!("\"{NEW}\"   # keep an eye on it")), || inventory.clone())?;
        self.versions(&[NEW; 4])?;
        machines::ready(self.cluster)?;
        ensure(self.cordoned()?.is_empty(), || "somebody is still cordoned".into())?;
        eventually(60, "both replicas", || self.served(2))?;
        let lock = read(&self.homectl.inventory().with_extension("lock"))?;
        ensure(!lock.contains("[previous") && !lock.contains("[[older"), || "the lock still knows the version before".into())
    }

    /// The kubelets, by name.
    fn versions(&self, expected: &[&str]) -> Result {
        let nodes = self.cluster.kubectl.items(&["get", "nodes"])?;
        let mut seen: Vec<(String, String)> =
            nodes.iter().map(|n| (text(&n["metadata"]["name"]), text(&n["status"]["nodeInfo"]["kubeletVersion"]))).collect();
        seen.sort();
        let wanted: Vec<(String, String)> = NODES.iter().zip(expected).map(|(n, v)| ((*n).to_owned(), format!("v{v}"))).collect();
        ensure(seen == wanted, || format!("kubelets are {seen:?}"))
    }

    fn cordoned(&self) -> Result<Vec<String>> {
        let nodes = self.cluster.kubectl.items(&["get", "nodes"])?;
        Ok(nodes.iter().filter(|n| n["spec"]["unschedulable"] == true).map(|n| text(&n["metadata"]["name"])).collect())
    }

    fn served(&self, replicas: u64) -> Result {
        let live = self.cluster.kubectl.json(&["-n", "twice", "get", "deployment", "twice"])?;
        ensure(live["status"]["readyReplicas"].as_u64() == Some(replicas), || live["status"].to_string())
    }
}

fn mirror_of(inventory: &str) -> String {
    inventory.lines().find(|l| l.starts_with("mirror = ")).unwrap_or_default().to_owned()
}

fn path_of(inventory: &str) -> String {
    mirror_of(inventory).split('"').nth(1).unwrap_or_default().to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn sum(bytes: &[u8]) -> Result<String> {
    let ran = crate::shell::run(&mut std::process::Command::new("sha256sum"), bytes, Duration::from_secs(10))?.ok()?;
    ran.split_whitespace().next().map(str::to_owned).ok_or_else(|| "no sum".into())
}

/// Has a machine ask the API and a Service ten times a second.
fn ask(story: &Story) -> Result {
    let service = story.cluster.kubectl.json(&["-n", "twice", "get", "service", "twice"])?;
    let lab = story.cluster.lab;
    lab.put(ASKER, "/var/lib/e2e-asks", include_bytes!("../scripts/asks.sh"), "700")?;
    let start =
        format!("rm -f /run/e2e-stop; setsid -f sh /var/lib/e2e-asks {} >/dev/null 2>&1 </dev/null", text(&service["spec"]["clusterIP"]));
    lab.sh(ASKER, &start)?;
    std::thread::sleep(Duration::from_secs(2));
    Ok(())
}

/// What may fail of all requests: one in so many. Measured were none.
const ONE_IN: usize = 500;
/// How long nobody may be without an answer, in seconds. Measured were 0.4 s.
const GAP: f64 = 1.5;
/// How often is asked at least, a second: less would not see a short gap.
const RATE: f64 = 6.0;

/// When it was asked, and what was said: `ok`, or something else.
fn answer(line: &str) -> Option<(f64, &str)> {
    let mut words = line.split_whitespace();
    Some((words.next()?.parse().ok()?, words.nth(1).unwrap_or_default()))
}

/// Ends that, and holds failed requests and the longest time without an answer to their bounds, from the first request to the end.
fn answers(story: &Story, when: &str) -> Result {
    let lab = story.cluster.lab;
    for (who, now) in [("api", "date +%s.%N"), ("service", "cut -d ' ' -f 1 /proc/uptime")] {
        // By the clock of who asked. The loop that asks ends after the file is there.
        let log = lab.sh(ASKER, &format!("cat /run/e2e-{who}; echo \"$({now}) end\""))?;
        let answers: Vec<(f64, &str)> = log.lines().filter_map(answer).collect();
        let (Some((first, _)), Some((end, _)), asked) = (answers.first(), answers.last(), answers.len().saturating_sub(1)) else {
            return Err(format!("{who} was not asked"));
        };
        let good: Vec<f64> = answers.iter().filter(|(_, said)| *said == "ok").map(|(at, _)| *at).collect();
        let others: Vec<String> =
            answers[..asked].iter().filter(|(_, said)| *said != "ok").map(|(at, said)| format!("{said} at {:.1} s", at - first)).collect();
        let failed = others.len();
        let points = [&[*first], good.as_slice(), &[*end]].concat();
        let gap = points.windows(2).map(|w| w[1] - w[0]).fold(0.0, f64::max);
        story
            .scene
            .say(&format!("   {who} {when}: {asked} asked in {:.1} s, {failed} failed, {gap:.1} s without an answer at most", end - first));
        if failed > 0 {
            story.scene.say(&format!("   {who} {when}: {}", others.iter().take(20).cloned().collect::<Vec<_>>().join(", ")));
        }
        story.scene.figure(&format!("{who} {when}, longest without an answer, seconds"), Duration::from_secs_f64(gap));
        ensure(failed * ONE_IN <= asked, || format!("{who}: {failed} of {asked} failed"))?;
        ensure(gap <= GAP, || format!("{who}: {gap:.1} s without an answer"))?;
        let asked = u32::try_from(asked).map_err(|e| e.to_string())?;
        ensure(f64::from(asked) >= RATE * (end - first), || format!("{who}: only {asked} asked in {:.1} s", end - first))?;
    }
    lab.sh(ASKER, "touch /run/e2e-stop; sleep 4").map(drop)
}
