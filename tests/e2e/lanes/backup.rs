//! What is lost comes back: objects, machines, the operator's own files.

use crate::Result;
use crate::checks::{Cluster, machines};
use crate::homectl::Homectl;
use crate::lab::{Lab, read, write};
use crate::scene::{Scene, ensure, eventually};
use std::path::PathBuf;

const CANARIES: &str = include_str!("../manifests/canaries.yaml");
/// By how much a restore makes etcd's revision leap.
const LEAP: u64 = 1_000_000_000;

pub(crate) fn run(scene: &Scene) -> Result {
    super::in_lab(scene, &super::ONE, "trixie", |homectl, cluster| Story { scene, homectl, cluster }.tell())
}

struct Story<'a> {
    scene: &'a Scene,
    homectl: &'a Homectl,
    cluster: &'a Cluster<'a>,
}

impl Story<'_> {
    fn file(&self) -> PathBuf {
        self.homectl.dir.join("home.backup.age")
    }

    fn tell(&self) -> Result {
        let (scene, cluster) = (self.scene, self.cluster);
        scene.step("fresh: apply, and what must survive", || {
            self.homectl.write_inventory(&format!("{}\n[[addon]]\nname = \"local-storage\"\n", cluster.lab.inventory()?))?;
            self.homectl.run("apply", &["--yes"])?.with(0)?;
            self.kubeconfig()?;
            cluster.kubectl.apply(CANARIES)?;
            eventually(120, "the canary sings", || cluster.kubectl.pods("canary", "app=canary"))?;
            cluster.kubectl.exec("canary", "canary", &["sh", "-c", "echo sunflower >/seeds/kind && sync"]).map(drop)
        })?;
        scene.step("backup: taken, and proven at once", || self.back_up())?;
        scene.check("backup: verified by itself, and damage is seen", || self.verify());
        scene.step("restore: in place, what was deleted is back", || self.in_place())?;
        scene.check("restore: nothing is to be changed after it", || self.no_changes());
        scene.step("recover: the secrets file is lost, and made anew from the machine", || self.recover())?;
        scene.check("recover: nothing is to be changed after it", || self.no_changes());
        scene.step("restore: onto a new machine, with nothing but the backup and the age identity", || self.elsewhere())?;
        scene.check("restore: nothing is to be changed there, too", || self.no_changes());
        Ok(())
    }

    fn kubeconfig(&self) -> Result {
        write(&self.homectl.dir.join("kubeconfig"), &self.homectl.run("kubeconfig", &[])?.ok()?)
    }

    fn back_up(&self) -> Result {
        let ran = self.homectl.run("backup", &["--verify", "--out", &self.file().display().to_string()])?.with(0)?;
        self.scene.figure("a backup of one machine, proven, seconds", ran.took);
        ensure(ran.out.contains("the encryption key opens its Secrets") && ran.out.contains("the same hash over all of them"), || {
            ran.seen()
        })?;
        let left =
            self.cluster.lab.sh("attic", "find /var/lib/homectl/snapshots -name '.backup*'; ls /run/homectl-backup* 2>/dev/null || :")?;
        ensure(left.is_empty(), || format!("left on the machine: {left}"))
    }

    /// Counted by homectl, no word of it in clear, and one bit more or less is told.
    fn verify(&self) -> Result {
        let file = self.file().display().to_string();
        let ran = self.homectl.bare("backup", &["verify", &file])?.with(0)?;
        self.scene.figure("a backup proven, seconds", ran.took);
        ensure(ran.out.contains("Restored into a throw-away etcd"), || ran.seen())?;
        let mut bytes = std::fs::read(self.file()).map_err(|error| error.to_string())?;
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
        let file = self.file().display().to_string();
        let ran = self.homectl.run("restore", &["--yes", "--from", &file])?.with(0)?;
        self.scene.figure("a restore in place, seconds", ran.took);
        self.sings()?;
        let after = self.revision()?;
        ensure(after > revision && after > LEAP, || format!("revision {after} after the restore, {revision} before"))?;
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

    /// The house burnt down: a new machine at the old address, a new laptop with the backup and the age identity.
    fn elsewhere(&self) -> Result {
        let homectl = self.homectl;
        let lab = Lab::up("one", "trixie")?;
        let file = self.file().display().to_string();
        for end in ["toml", "lock", "secrets.age", "known_hosts"] {
            let path = homectl.dir.join("inventory").with_extension(end);
            if path.exists() {
                std::fs::remove_file(&path).map_err(|error| error.to_string())?;
            }
        }
        homectl.bare("backup", &["unpack", &file])?.with(0)?;
        // The new machine has another key.
        let text = read(&homectl.inventory())?;
        let pin = |line: &str| line.starts_with("host-key");
        let old: Vec<&str> = text.lines().filter(|l| pin(l)).collect();
        ensure(old.len() == 1, || text.clone())?;
        homectl.write_inventory(&text.replace(old[0], &format!("host-key = \"{}\"", lab.pin("attic")?)))?;
        let ran = homectl.run("restore", &["--yes", "--from", &file])?.with(0)?;
        self.scene.figure("a restore onto a bare machine, seconds", ran.took);
        std::mem::forget(lab);
        self.kubeconfig()?;
        self.sings()?;
        eventually(60, "all nodes Ready", || machines::ready(self.cluster)).map(drop)
    }

    fn no_changes(&self) -> Result {
        let ran = self.homectl.run("plan", &["--exit-code"])?.with(0)?;
        ensure(ran.out.contains("No changes."), || ran.seen())
    }
}
