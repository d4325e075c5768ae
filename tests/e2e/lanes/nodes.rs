//! Machines come, go and are replaced, while what the cluster holds stays what it is.

use crate::Result;
use crate::checks::{Cluster, Node, machines, network, security};
use crate::homectl::Homectl;
use crate::kubectl::Kubectl;
use crate::lab::{self, Lab, write};
use crate::scene::{Scene, ensure, eventually};

/// Every machine there is, with the last number of its address.
const MACHINES: [(&str, u8); 4] = [("attic", 11), ("cellar", 12), ("garage", 13), ("shed", 14)];
const CANARY: [&str; 5] = ["create", "configmap", "canary", "--from-literal=song=tweet", "--namespace=default"];

pub(crate) fn run(scene: &Scene) -> Result {
    let lab = Lab::up("four", "trixie")?;
    let homectl = Homectl::new("nodes")?;
    let story = Story { scene, homectl: &homectl, lab: &lab, kubectl: Kubectl::new(lab::kubectl()?, &homectl.dir.join("kubeconfig")) };
    let told = story.tell();
    if told.is_err() {
        super::post_mortem(&story.cluster(&["attic", "cellar", "garage"], &["shed"]));
    }
    told
}

struct Story<'a> {
    scene: &'a Scene,
    homectl: &'a Homectl,
    lab: &'a Lab,
    kubectl: Kubectl,
}

impl Story<'_> {
    /// The cluster as it should be, for the checks.
    fn cluster(&self, planes: &[&'static str], workers: &[&'static str]) -> Cluster<'_> {
        let host = |name: &str| MACHINES.iter().find(|(n, _)| *n == name).map_or(0, |(_, host)| *host);
        let node = |name: &'static str, control_plane| Node { name, host: host(name), control_plane };
        let nodes = planes.iter().map(|n| node(n, true)).chain(workers.iter().map(|n| node(n, false))).collect();
        Cluster { lab: self.lab, kubectl: self.kubectl.clone(), nodes, spare: None }
    }

    /// The lab's inventory with these machines only, and no add-on that takes its time.
    fn inventory(&self, planes: &[&str], workers: &[&str]) -> Result<String> {
        let text = self.lab.inventory()?;
        let mut parts = text.split("\n[[");
        let mut kept = parts.next().unwrap_or_default().to_owned();
        for part in parts.filter(|p| p.starts_with("node]]")) {
            let is = |name: &&&str| part.contains(&format!("name = \"{name}\""));
            let role = if planes.iter().find(is).is_some() { "control-plane" } else { "worker" };
            if planes.iter().chain(workers).find(is).is_some() {
                let part: Vec<&str> = part.lines().filter(|l| !l.starts_with("role")).collect();
                kept += &["\n[[", part.join("\n").trim_end(), "\nrole = \"", role, "\"\n"].concat();
            }
        }
        Ok(kept)
    }

    fn tell(&self) -> Result {
        self.scene.step("one: apply", || {
            self.homectl.write_inventory(&self.inventory(&["attic"], &[])?)?;
            self.homectl.run("apply", &["--yes"])?.with(0)?;
            self.kubeconfig()?;
            self.kubectl.apply(network::WEB)?;
            self.kubectl.ok(&CANARY).map(drop)
        })?;
        self.scene.step("grow: two control planes join by apply", || {
            self.homectl.write_inventory(&self.inventory(&["attic", "cellar", "garage"], &[])?)?;
            let ran = self.homectl.run("apply", &["--yes"])?.with(0)?;
            self.scene.figure("two control planes joined, seconds", ran.took);
            self.kubeconfig()
        })?;
        self.scene.step("grow: three members, the canary is there, nothing is left to do", || {
            self.well(&self.cluster(&["attic", "cellar", "garage"], &[]))
        })
    }

    fn kubeconfig(&self) -> Result {
        write(&self.homectl.dir.join("kubeconfig"), &self.homectl.run("kubeconfig", &[])?.ok()?)
    }

    /// Exactly these nodes and members, pods on all of them that reach each other, the data kept, and an empty plan.
    fn well(&self, cluster: &Cluster) -> Result {
        machines::ready(cluster)?;
        let pods = network::web(cluster, 120)?;
        network::direct(cluster, &pods)?;
        network::service(cluster, &pods)?;
        machines::overlay(cluster)?;
        let planes = cluster.nodes.iter().filter(|n| n.control_plane).count();
        let etcdctl = security::etcdctl(cluster, cluster.control_plane())?;
        let said = self.lab.sh(cluster.control_plane(), &format!("{etcdctl} member list; {etcdctl} endpoint health --cluster 2>&1"))?;
        let voters = said.lines().filter(|l| l.contains(", started, ") && l.ends_with(", false")).count();
        let healthy = said.lines().filter(|l| l.contains(" is healthy")).count();
        ensure((voters, healthy) == (planes, planes) && !said.contains("unstarted"), || said)?;
        for kubectl in self.kubectl.contexts()? {
            let song = kubectl.ok(&["get", "configmap", "canary", "-n", "default", "-o", "jsonpath={.data.song}"])?;
            ensure(song == "tweet", || format!("the canary says '{song}' through {}", kubectl.server().unwrap_or_default()))?;
        }
        // A kubelet's own certificate may still be on its way right after it was asked for.
        eventually(20, "nothing is to be done", || self.homectl.run("plan", &["--exit-code"])?.with(0).map(drop)).map(drop)
    }
}
