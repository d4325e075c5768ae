//! What is lost comes back: objects, machines, the operator's own files.

use super::Topology;
use crate::Result;
use crate::checks::{Cluster, machines};
use crate::homectl::Homectl;
use crate::lab::{read, write};
use crate::scene::{Scene, ensure, eventually};
use std::path::PathBuf;
use std::time::Duration;

const CANARIES: &str = include_str!("../manifests/canaries.yaml");

pub(crate) fn run(scene: &Scene) -> Result {
    super::in_lab(scene, &HOUSE, "trixie", |homectl, cluster| Story { scene, homectl, cluster }.tell())
}

/// Of the lab's three: `garage` is in no inventory, and takes the place of a machine that burns.
const HOUSE: Topology = Topology { name: "three", nodes: &["attic", "cellar"], planes: 1, spare: Some("garage") };
/// Where the worker keeps backups.
const SHELF: &str = "node:cellar:/srv/backups";

struct Story<'a> {
    scene: &'a Scene,
    homectl: &'a Homectl,
    cluster: &'a Cluster<'a>,
}

impl Story<'_> {
    /// The newest copy in the operator's own folder.
    fn file(&self) -> Result<PathBuf> {
        let folder = self.homectl.dir.join("backups");
        let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        entries.flatten().map(|entry| entry.path()).max().ok_or_else(|| "there is no backup".into())
    }

    /// The same, as it is called where it lies on the worker.
    fn shelved(&self) -> Result<String> {
        Ok(format!("{SHELF}/{}", self.file()?.file_name().unwrap_or_default().display()))
    }

    /// The older of the two there: nobody restores backups in the order in which they were taken.
    fn older(&self) -> Result<String> {
        let name = self.cluster.lab.sh("cellar", "ls /srv/backups | sort | head -n 1")?;
        ensure(format!("{SHELF}/{}", name.trim()) != self.shelved()?, || name.clone())?;
        Ok(format!("{SHELF}/{}", name.trim()))
    }

    /// The lab's inventory with these two alone, and where backups are to go.
    fn inventory(&self) -> Result<String> {
        let text = self.cluster.lab.inventory()?;
        let mut parts = text.split("\n[[");
        let head = parts.next().unwrap_or_default();
        let ours = parts.filter(|part| ["\"attic\"", "\"cellar\"", "\"local-storage\""].iter().any(|name| part.contains(name)));
        let places = format!("\n[backup]\nto = [\"backups\", \"{SHELF}\"]\nkeep = 2\n");
        let head = format!("{head}{places}");
        Ok(std::iter::once(&*head).chain(ours).collect::<Vec<_>>().join("\n[["))
    }

    fn tell(&self) -> Result {
        let (scene, cluster) = (self.scene, self.cluster);
        scene.step("fresh: apply, and what must survive", || {
            self.homectl.write_inventory(&self.inventory()?)?;
            self.homectl.run("apply", &["--yes"])?.with(0)?;
            self.kubeconfig()?;
            cluster.kubectl.apply(CANARIES)?;
            eventually(120, "the canary sings", || cluster.kubectl.pods("canary", "app=canary"))?;
            cluster.kubectl.exec("canary", "canary", &["sh", "-c", "echo sunflower >/seeds/kind && sync"]).map(drop)
        })?;
        scene.step("backup: taken and proven at once, kept here and on the worker", || self.back_up())?;
        scene.check("backup: verified by itself, and damage is seen", || self.verify());
        scene.check("backup: listed and verified where it lies on the worker", || self.shelf());
        scene.check("backup: the worker is off, and that is said of both ways", || self.off());
        scene.step("restore: in place, from the worker's copy, what was deleted is back", || self.in_place())?;
        scene.check("restore: nothing is to be changed after it", || self.no_changes());
        scene.step("recover: the secrets file is lost, and made anew from the machine", || self.recover())?;
        scene.check("recover: nothing is to be changed after it", || self.no_changes());
        scene.step("restore: onto a new machine, from the worker's older copy; the laptop is new, too", || self.elsewhere())?;
        scene.check("restore: nothing is to be changed there, too", || self.no_changes());
        Ok(())
    }

    fn kubeconfig(&self) -> Result {
        write(&self.homectl.dir.join("kubeconfig"), &self.homectl.run("kubeconfig", &[])?.ok()?)
    }

    /// By the inventory alone; the third takes the place of the first, in both places.
    fn back_up(&self) -> Result {
        let ran = self.homectl.run("backup", &["--verify"])?.with(0)?;
        self.scene.figure("a backup of two machines, proven, kept twice, seconds", ran.took);
        ensure(ran.out.contains("the encryption key opens its Secrets") && ran.out.contains("the same hash over all of them"), || {
            ran.seen()
        })?;
        let first = self.file()?;
        // Their names tell seconds.
        let another = || {
            std::thread::sleep(Duration::from_secs(1));
            self.homectl.run("backup", &[])?.with(0)
        };
        another()?;
        let ran = another()?;
        let gone = format!("removed: {}", first.file_name().unwrap_or_default().display());
        ensure(ran.out.matches(&gone).count() == 2 && ran.out.contains(&self.shelved()?), || ran.seen())?;
        let lab = self.cluster.lab;
        let kept = lab.sh("cellar", "cd /srv/backups && stat -c '%U %a' . * | sort | uniq -c")?;
        ensure(kept.split_whitespace().eq(["2", "root", "600", "1", "root", "700"]), || kept)?;
        let left = lab.sh("attic", "find /var/lib/homectl/snapshots -name '.backup*'; ls /run/homectl-backup* 2>/dev/null || :")?;
        ensure(left.is_empty(), || format!("left on the machine: {left}"))
    }

    /// Both places by the inventory, the newest of one, and which one is asked for where it matters.
    fn shelf(&self) -> Result {
        let ran = self.homectl.words("backup", &["list"])?.with(0)?;
        let newest = self.file()?;
        let name = newest.file_name().unwrap_or_default().display().to_string();
        ensure(ran.out.matches(&name).count() == 2 && ran.out.contains(&format!("{SHELF}\n")), || ran.seen())?;
        let ran = self.homectl.words("backup", &["verify", SHELF])?.with(0)?;
        self.scene.figure("a backup on a worker brought and proven, seconds", ran.took);
        ensure(ran.out.starts_with(&self.shelved()?) && ran.out.contains("Restored into a throw-away etcd"), || ran.seen())?;
        let ran = self.homectl.run("restore", &["--yes", "--from", SHELF])?.with(64)?;
        ensure(ran.err.contains(&name) && ran.err.contains("name one of them"), || ran.seen())
    }

    /// A copy that cannot be had is no reason to touch anything, and a place that cannot be reached none to make no backup.
    fn off(&self) -> Result {
        let lab = self.cluster.lab;
        lab.each("pause", &["cellar"])?;
        let tried = self.unanswered();
        lab.each("unpause", &["cellar"])?;
        tried?;
        eventually(60, "all nodes Ready", || machines::ready(self.cluster)).map(drop)
    }

    fn unanswered(&self) -> Result {
        let ran = self.homectl.run("restore", &["--yes", "--from", &self.shelved()?])?.with(1)?;
        let told = ["cellar: cannot reach", "lies on it", "is cellar switched on", "a copy that is kept somewhere else: "];
        ensure(told.iter().all(|part| ran.err.contains(part)) && ran.err.contains("/backups"), || ran.seen())?;
        let ran = self.homectl.run("backup", &[])?.with(1)?;
        ensure(ran.err.contains("no backup can be kept in /srv/backups: the machine is not there"), || ran.seen())?;
        let file = self.file()?.display().to_string();
        ensure(ran.out.contains(&file), || ran.seen())?;
        // It lies here alone: what follows is about one that lies there, too.
        std::fs::remove_file(&file).map_err(|error| error.to_string())
    }

    /// Counted by homectl, no word of it in clear, and one bit more or less is told.
    fn verify(&self) -> Result {
        let file = self.file()?.display().to_string();
        let ran = self.homectl.bare("backup", &["verify", &file])?.with(0)?;
        self.scene.figure("a backup proven, seconds", ran.took);
        ensure(ran.out.contains("Restored into a throw-away etcd"), || ran.seen())?;
        let mut bytes = std::fs::read(self.file()?).map_err(|error| error.to_string())?;
        ensure(!bytes.windows(10).any(|w| w == b"/registry/"), || "keys of etcd are in clear in the backup".into())?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let broken = self.homectl.dir.join("broken.backup.age");
        std::fs::write(&broken, bytes).map_err(|error| error.to_string())?;
        let ran = self.homectl.bare("backup", &["verify", &broken.display().to_string()])?.with(1)?;
        ensure(ran.err.contains("is damaged"), || ran.seen())
    }

    /// The revision that the API tells now.
    fn revision(&self) -> Result<u64> {
        let list = self.cluster.kubectl.ok(&["get", "--raw", "/api/v1/namespaces"])?;
        let list: serde_json::Value = serde_json::from_str(&list).map_err(|error| format!("{error}: {list}"))?;
        let revision = list["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse().ok());
        revision.ok_or_else(|| format!("no revision in {}", list["metadata"]))
    }

    fn etcd_id(&self) -> Result<String> {
        let lock = read(&self.homectl.dir.join("inventory.lock"))?;
        let line = lock.lines().find(|l| l.starts_with("etcd-cluster-id")).unwrap_or_default().to_owned();
        ensure(!line.is_empty(), || lock).map(|()| line)
    }

    /// The canaries as they were, and nothing of what came later.
    fn sings(&self) -> Result {
        let kubectl = &self.cluster.kubectl;
        let song = kubectl.ok(&["get", "configmap", "song", "-n", "canary", "-o", "jsonpath={.data.song}"])?;
        let nest = kubectl.ok(&["get", "secret", "nest", "-n", "canary", "-o", "jsonpath={.data.where}"])?;
        ensure(song == "tweet" && nest == "dGhlLW9sZC1vYWs=", || format!("{song} {nest}"))?;
        let later = kubectl.ok(&["get", "configmaps", "-n", "canary", "-o", "name"])?;
        ensure(!later.contains("cuckoo"), || later)
    }

    fn in_place(&self) -> Result {
        let (kubectl, lab) = (&self.cluster.kubectl, self.cluster.lab);
        let before = kubectl.pods("canary", "app=canary")?;
        kubectl.ok(&["delete", "configmap", "song", "-n", "canary"])?;
        kubectl.ok(&["delete", "secret", "nest", "-n", "canary"])?;
        kubectl.ok(&["create", "configmap", "cuckoo", "-n", "canary"])?;
        let (revision, id) = (self.revision()?, self.etcd_id()?);
        let ran = self.homectl.run("restore", &["--yes", "--from", &self.shelved()?])?.with(0)?;
        self.scene.figure("a restore in place, seconds", ran.took);
        self.sings()?;
        self.no_time_machine(revision)?;
        ensure(self.etcd_id()? != id, || format!("still {id}"))?;
        eventually(60, "all nodes Ready", || machines::ready(self.cluster))?;
        eventually(60, "the system's pods", || machines::system_pods(self.cluster))?;
        let pods = kubectl.pods("canary", "app=canary")?;
        ensure(pods[0].started == before[0].started, || "the pod was started anew".into())?;
        let kind = kubectl.exec("canary", "canary", &["cat", "/seeds/kind"])?;
        ensure(kind == "sunflower\n", || kind)?;
        // The controllers write again, and what they write is seen.
        kubectl.ok(&[
            "create",
            "deployment",
            "perch",
            "-n",
            "canary",
            "--image=docker.io/library/busybox:1.36",
            "--",
            "sleep",
            "1000000",
        ])?;
        eventually(90, "a new deployment", || kubectl.pods("canary", "app=perch"))?;
        let aside = lab.sh("attic", "ls -d /var/lib/etcd/before-*/snap; ls /var/lib/homectl/snapshots/restore-* 2>/dev/null || :")?;
        ensure(aside.lines().count() == 1, || aside)
    }

    fn recover(&self) -> Result {
        let homectl = self.homectl;
        let path = homectl.dir.join("inventory.secrets.age");
        let ran = homectl.run("recover", &[])?.with(4)?;
        ensure(ran.err.contains("nothing is lost"), || ran.seen())?;
        std::fs::rename(&path, homectl.dir.join("lost.age")).map_err(|error| error.to_string())?;
        let ran = homectl.run("plan", &[])?.with(4)?;
        ensure(ran.err.contains("homectl recover"), || ran.seen())?;
        let ran = homectl.run("recover", &[])?.with(0)?;
        self.scene.figure("secrets recovered from one machine, seconds", ran.took);
        ensure(ran.err.contains("three authorities"), || ran.seen())
    }

    /// Revisions go on above what was `seen`, and stay exact in everybody's numbers.
    fn no_time_machine(&self, seen: u64) -> Result {
        let now = self.revision()?;
        ensure(now > seen && now < 1 << 53, || format!("revision {now} after the restore, {seen} before"))
    }

    /// The control plane and the laptop burnt; there is a worker that keeps a copy, another copy elsewhere, a bare machine, and the age identity.
    fn elsewhere(&self) -> Result {
        let (homectl, lab) = (self.homectl, self.cluster.lab);
        let (seen, shelved) = (self.revision()?, self.older()?);
        lab.each("kill", &["attic"])?;
        for end in ["toml", "lock", "secrets.age", "known_hosts"] {
            let path = homectl.dir.join("inventory").with_extension(end);
            if path.exists() {
                std::fs::remove_file(&path).map_err(|error| error.to_string())?;
            }
        }
        let ran = homectl.words("restore", &["--yes", "--from", &shelved])?.with(64)?;
        ensure(ran.err.contains("no inventory that says how to reach it"), || ran.seen())?;
        homectl.bare("backup", &["unpack", &self.file()?.display().to_string()])?.with(0)?;
        // The new machine has another address and another key.
        let (text, old) = (read(&homectl.inventory())?, lab.pin("attic")?);
        let moved =
            text.replace(&old, &lab.pin("garage")?).replace(&format!("\"{}\"", lab.address(11)), &format!("\"{}\"", lab.address(13)));
        ensure(moved != text && !moved.contains(&old), || text.clone())?;
        homectl.write_inventory(&moved)?;
        let ran = homectl.run("restore", &["--yes", "--from", &shelved])?.with(0)?;
        self.scene.figure("a restore onto a bare machine, seconds", ran.took);
        self.kubeconfig()?;
        self.no_time_machine(seen)?;
        self.sings()?;
        eventually(60, "all nodes Ready", || machines::ready(self.cluster))?;
        let kept = lab.sh("cellar", "ls /srv/backups | wc -l")?;
        ensure(kept.trim() == "2", || format!("{kept} backups on the worker"))
    }

    fn no_changes(&self) -> Result {
        let ran = self.homectl.run("plan", &["--exit-code"])?.with(0)?;
        ensure(ran.out.contains("No changes."), || ran.seen())
    }
}
