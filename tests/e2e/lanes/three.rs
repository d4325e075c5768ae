//! A cluster of three machines: used, left alone, cut off from power, changed, reset, made again.

use crate::Result;
use crate::checks::{Cluster, budget, machines, network, security, state, workloads};
use crate::homectl::Homectl;
use crate::lab::{self, write};
use crate::scene::{Scene, ensure, eventually};
use crate::tree::Trees;
use serde_json::Value;
use std::time::{Instant, SystemTime};

const NODES: [&str; 3] = ["attic", "cellar", "garage"];
const SPARE: &str = "spare";

pub(crate) fn run(scene: &Scene) -> Result {
    super::in_lab(scene, &super::THREE, "trixie", |homectl, cluster| Story { scene, homectl, cluster }.tell())
}

struct Story<'a> {
    scene: &'a Scene,
    homectl: &'a Homectl,
    cluster: &'a Cluster<'a>,
}

impl Story<'_> {
    /// `check`, which ends with `code` and finds attic and cellar as told, all other pairs well; its findings.
    fn links(&self, state: &str, code: i32) -> Result<String> {
        let ran = self.homectl.run("check", &["--json"])?.with(code)?;
        let told: Value = serde_json::from_str(&ran.out).map_err(|error| format!("{error}: {}", ran.seen()))?;
        let links = told["links"].as_array().cloned().unwrap_or_default();
        ensure(links.len() == 3, || format!("not three pairs: {}", ran.seen()))?;
        for link in &links {
            let due = if link["a"] == "attic" && link["b"] == "cellar" { state } else { "works" };
            ensure(link["state"] == due, || format!("{link} is not {due}"))?;
        }
        Ok(told["findings"].to_string())
    }

    /// Nothing from cellar gets to attic. Both `check` and `apply` say so, and `apply` does not begin.
    fn unreached(&self) -> Result {
        let attic = self.cluster.lab.address(11);
        self.links("works", 0)?;
        self.cluster.lab.sh("cellar", &format!("ip route add blackhole {attic}/32"))?;
        let findings = self.links("broken", 1);
        let ran = self.homectl.run("apply", &["--yes"]).and_then(|ran| ran.with(1));
        self.cluster.lab.sh("cellar", &format!("ip route del blackhole {attic}/32"))?;
        let (findings, ran) = (findings?, ran?);
        for text in [&findings, &ran.err] {
            ensure(text.contains("the overlay does not get through between it and") && text.contains("UDP port 51820"), || text.clone())?;
        }
        self.links("works", 0).map(drop)
    }

    fn tell(&self) -> Result {
        let mut all = NODES.to_vec();
        all.push(SPARE);
        if !self.homectl.inventory().exists() {
            self.homectl.write_inventory(&self.cluster.lab.inventory()?)?;
        }
        let pristine = Trees::of_machines(self.cluster.lab, &all)?;
        self.scene.check("check: a pair that UDP does not reach is named before anything begins", || self.unreached());
        self.scene.step("fresh: apply", || self.apply("fresh apply of three machines, seconds"))?;
        self.scene.step("fresh: kubeconfig", || self.kubeconfig())?;
        self.scene.step("fresh: all is well as soon as apply has ended", || self.well())?;
        self.scene.check("status: says what is", || state::told(self.cluster, self.homectl.run("status", &["--json"])?));
        self.scene.check("check: nothing in the way of a cluster that runs", || self.links("works", 0).map(drop));
        self.used();
        self.scene.step("again: No changes, and nothing is written", || self.again())?;
        self.scene.step("again: plan says so too, byte for byte", || self.plan_is_stable())?;
        self.scene.step("power: all machines die and come back in another order", || self.power_cut())?;
        self.scene.check("hangs: a machine that does not answer is given up, the others go on", || self.hangs());
        self.scene.check("add-on: manifests of one's own, applied, pruned", || self.own_manifests());
        self.scene.step("reset: nothing is left", || self.reset(&pristine, &all))?;
        self.scene.step("reset: apply makes a cluster again", || {
            self.apply("apply after reset, seconds")?;
            self.kubeconfig()?;
            self.well()?;
            self.cluster.kubectl.apply(network::WEB)?;
            let pods = network::web(self.cluster, 120)?;
            network::service(self.cluster, &pods)
        })
    }

    fn apply(&self, figure: &str) -> Result {
        let ran = self.homectl.run("apply", &["--yes"])?.with(0)?;
        self.scene.figure(figure, ran.took);
        Ok(())
    }

    fn kubeconfig(&self) -> Result {
        let text = self.homectl.run("kubeconfig", &[])?.ok()?;
        write(&self.homectl.dir.join("kubeconfig"), &text)
    }

    /// No waiting: `apply` has waited.
    fn well(&self) -> Result {
        machines::ready(self.cluster)?;
        machines::system_pods(self.cluster)
    }

    /// What pods and their users do, and what must be closed to whom.
    fn used(&self) {
        let (scene, cluster) = (self.scene, self.cluster);
        let mut pods = Vec::new();
        scene.check("pods: a pod on every node (each further pods: phase needs them)", || {
            cluster.kubectl.apply(network::WEB)?;
            pods = network::web(cluster, 120)?;
            Ok(())
        });
        scene.check("pods: reach each other across nodes", || network::direct(cluster, &pods));
        scene.check("pods: went over the overlay", || machines::overlay(cluster));
        scene.check("pods: reach each other through a service, by address and by name", || network::service(cluster, &pods));
        scene.check("pods: reach the LAN, which sees their node", || network::way_out(cluster, &pods));
        scene.check("pods: exec and logs", || workloads::look_inside(cluster, &pods));
        scene.check("use: top nodes", || workloads::top(cluster));
        scene.check("use: a volume outlives its pod", || workloads::volume(cluster));
        scene.check("use: limits are enforced", || workloads::limits(cluster));
        scene.check("policy: allows and denies, across machines and on one", || network::policy(cluster));
        scene.check("closed: serving certificates are verified", || security::serving_certificates(cluster));
        scene.check("closed: the baseline refuses a privileged pod", || security::baseline(cluster));
        scene.check("closed: anonymous callers", || security::anonymous(cluster));
        scene.check("closed: secrets are encrypted at rest", || security::at_rest(cluster));
        scene.check("closed: modes and owners of files", || security::modes(cluster));
        scene.check("closed: flags of running processes", || security::flags(cluster));
        scene.check("closed: ports on the LAN", || security::ports(cluster));
    }

    /// A second apply changes nothing.
    fn again(&self) -> Result {
        let before = Trees::of(self.cluster.lab, &NODES)?;
        let ran = self.homectl.run("apply", &["--yes", "--traffic"])?.with(0)?;
        let after = Trees::of(self.cluster.lab, &NODES)?;
        self.scene.figure("no-op apply of three machines, seconds", ran.took);
        ensure(ran.out.contains("No changes."), || ran.seen())?;
        budget::kept(self.scene, &ran)?;
        after.same_as(&before)
    }

    /// One machine hangs (it takes connections and never answers): told in time; with leave, the others are mended, and it is
    /// caught up with by the next run.
    fn hangs(&self) -> Result {
        let lab = self.cluster.lab;
        let file = "/etc/modules-load.d/homectl.conf";
        for node in ["cellar", "garage"] {
            lab.sh(node, &format!("rm {file}"))?;
        }
        lab.each("pause", &["garage"])?;
        let told = self.while_garage_hangs(file);
        lab.each("unpause", &["garage"])?;
        told?;
        self.homectl.run("apply", &["--yes"])?.with(0)?;
        lab.sh("garage", &format!("test -e {file}")).map(drop)
    }

    fn while_garage_hangs(&self, file: &str) -> Result {
        let ran = self.homectl.run("plan", &[])?.with(3)?;
        self.scene.figure("a hanging machine is given up after, seconds", ran.took);
        ensure(ran.took.as_secs() < 30 && ran.out.contains("garage") && ran.out.contains(file), || ran.seen())?;
        let ran = self.homectl.run("apply", &["--yes"])?.with(1)?;
        ensure(ran.err.contains("garage") && ran.err.contains("--allow-offline"), || ran.seen())?;
        self.homectl.run("apply", &["--yes", "--allow-offline"])?.with(3)?;
        self.cluster.lab.sh("cellar", &format!("test -e {file}")).map(drop)
    }

    fn plan_is_stable(&self) -> Result {
        self.homectl.run("plan", &["--exit-code"])?.with(0)?;
        let (one, two) = (self.homectl.run("plan", &["--json"])?.ok()?, self.homectl.run("plan", &["--json"])?.ok()?);
        let _: Value = serde_json::from_str(&one).map_err(|error| format!("plan --json: {error}"))?;
        ensure(one == two, || "two plans in a row differ".into())
    }

    /// Whole again without homectl.
    fn power_cut(&self) -> Result {
        let cluster = self.cluster;
        let then = SystemTime::now();
        cluster.lab.each("kill", &NODES)?;
        let from = Instant::now();
        for node in ["garage", "attic", "cellar"] {
            cluster.lab.each("start", &[node])?;
        }
        eventually(300, "whole again", || {
            machines::ready(cluster)?;
            machines::leases_since(cluster, then)?;
            let pods = cluster.kubectl.pods("e2e", "app=web")?;
            for pod in &pods {
                ensure(machines::moment(&pod.started)? > then, || {
                    format!("{} runs since {}, before the power went", pod.name, pod.started)
                })?;
            }
            network::by_name(cluster, &pods)
        })?;
        self.scene.figure("whole again after SIGKILL of all machines, seconds", from.elapsed());
        eventually(60, "the system's pods", || machines::system_pods(cluster))?;
        let pods = network::web(cluster, 60)?;
        network::service(cluster, &pods)?;
        let ran = self.homectl.run("apply", &["--yes"])?.with(0)?;
        ensure(ran.out.contains("No changes."), || format!("a restart is drift? {}", ran.seen()))
    }

    fn own_manifests(&self) -> Result {
        let (kubectl, homectl) = (&self.cluster.kubectl, self.homectl);
        let plain = lab::read(&homectl.inventory())?;
        let config = |word: &str| {
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: hello, namespace: hello}}\ndata: {{word: '{word}'}}\n")
        };
        write(&homectl.dir.join("hello/a.yaml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: hello}\n")?;
        write(&homectl.dir.join("hello/b.yaml"), &config("first"))?;
        write(&homectl.dir.join("hello/c.yaml"), include_str!("../manifests/hello.yaml"))?;
        homectl.write_inventory(&format!("{plain}\n[[addon]]\nname = \"hello\"\nmanifests = [\"hello/*.yaml\"]\n"))?;
        homectl.run("plan", &["--exit-code"])?.with(2)?;
        homectl.run("apply", &["--yes"])?.with(0)?;
        kubectl.pods("hello", "app=hello")?;
        let word = || kubectl.ok(&["get", "configmap", "hello", "-n", "hello", "-o", "jsonpath={.data.word}"]);
        ensure(word()? == "first", || "the config map is not ours".into())?;
        // Changed and dropped in one go.
        write(&homectl.dir.join("hello/b.yaml"), &config("second"))?;
        std::fs::remove_file(homectl.dir.join("hello/c.yaml")).map_err(|error| error.to_string())?;
        homectl.run("apply", &["--yes"])?.with(0)?;
        ensure(word()? == "second", || "the config map did not change".into())?;
        let gone = |what: &[&str]| {
            eventually(60, "pruned", || {
                let left = kubectl.ok(&[what, &["--ignore-not-found", "-o", "name"]].concat())?;
                ensure(left.is_empty(), || left)
            })
        };
        gone(&["get", "deployment,service", "-n", "hello"])?;
        homectl.write_inventory(&plain)?;
        homectl.run("apply", &["--yes"])?.with(0)?;
        gone(&["get", "namespace", "hello"])?;
        let ran = homectl.run("apply", &["--yes"])?.with(0)?;
        ensure(ran.out.contains("No changes."), || ran.seen())
    }

    /// As before homectl came, but for packages.
    fn reset(&self, pristine: &Trees, all: &[&str]) -> Result {
        let lab = self.cluster.lab;
        // What is the user's stays: a volume's file, and a snapshot.
        let theirs = "/var/lib/homectl/local-storage/theirs/file /var/lib/homectl/snapshots/etcd-20260101T000000Z.db";
        lab.sh("attic", &format!("for f in {theirs}; do mkdir -p ${{f%/*}} && echo theirs >$f; done"))?;
        let ran = self.homectl.run("reset", &["--yes"])?.with(0)?;
        self.scene.figure("reset of three machines, seconds", ran.took);
        let kept = lab.sh("attic", &format!("cat {theirs}; rm -r /var/lib/homectl"))?;
        ensure(kept == "theirs\ntheirs\n", || format!("reset took what is the user's: {kept:?}"))?;
        // The neighbour gets the same packages by hand, so that what they bring is known.
        let packages = lab.sh("attic", "dpkg-query -W -f '${Package}\\n'")?;
        let install = "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends";
        lab.sh(
            SPARE,
            &format!("apt-get -qq update && {install} {} >/dev/null 2>&1", packages.split_whitespace().collect::<Vec<_>>().join(" ")),
        )?;
        let after = Trees::of_machines(lab, all)?;
        let mut left = Vec::new();
        for node in NODES {
            left.extend(after.left(node, pristine, SPARE).into_iter().map(|line| format!("{node}: {line}")));
        }
        ensure(left.is_empty(), || format!("left, or not put back:\n      {}", left.join("\n      ")))?;
        let again = self.homectl.run("reset", &["--yes"])?.with(0)?;
        ensure(again.out.contains("No changes."), || again.seen())
    }
}
