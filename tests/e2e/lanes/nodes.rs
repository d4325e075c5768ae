//! Machines come, go and are replaced, while what the cluster holds stays what it is.

use crate::Result;
use crate::checks::{Cluster, Node, machines, network, security};
use crate::homectl::Homectl;
use crate::kubectl::Kubectl;
use crate::lab::{self, Lab, read, write};
use crate::scene::{Scene, ensure, eventually};
use crate::shell::Ran;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Every machine there is, with the last number of its address.
const MACHINES: [(&str, u8); 4] = [("attic", 11), ("cellar", 12), ("garage", 13), ("shed", 14)];
const CANARY: [&str; 5] = ["create", "configmap", "canary", "--from-literal=song=tweet", "--namespace=default"];

/// The whole story.
pub(crate) fn run(scene: &Scene) -> Result {
    story(scene, true)
}

/// The short one: a control plane joins, the one that founded the cluster leaves.
pub(crate) fn short(scene: &Scene) -> Result {
    story(scene, false)
}

fn story(scene: &Scene, whole: bool) -> Result {
    let lab = Lab::up("four", "trixie")?;
    let homectl = Homectl::new(scene.lane)?;
    let story = Story { scene, homectl: &homectl, lab: &lab, kubectl: Kubectl::new(lab::kubectl()?, &homectl.dir.join("kubeconfig")) };
    let told = if whole { story.tell() } else { story.handed_over() };
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
        self.first()?;
        self.come()?;
        self.replaced()?;
        self.go()?;
        self.renumbered()?;
        self.last()?;
        self.back()
    }

    fn handed_over(&self) -> Result {
        self.first()?;
        self.guarded()?;
        let before = RefCell::new(String::new());
        self.scene.step("handed over: a control plane joins, the first one leaves", || {
            let ran = self.add("garage", 13, &["--role", "control-plane"])?.with(0)?;
            self.scene.figure("garage joined as a control plane, seconds", ran.took);
            // Its member still answers, whatever is at the new address.
            let (address, pin) = (self.lab.address(14), self.lab.pin("shed")?);
            let ran = self.homectl.run("replace-node", &["attic", "--address", &address, "--host-key", &pin, "--yes"])?.with(4)?;
            ensure(ran.err.contains("its member of etcd answers"), || ran.seen())?;
            before.replace(read(&self.homectl.dir.join("inventory.lock"))?);
            self.nothing_is_lost()?;
            let ran = self.homectl.run("remove-node", &["attic", "--yes"])?.with(0)?;
            self.scene.figure("attic removed, seconds", ran.took);
            self.kernel()?;
            self.kubeconfig()?;
            self.well(&self.cluster(&["garage"], &[]))
        })?;
        self.scene.check("handed over: a run that was cut between its last two writes is gone on with", || {
            let lock = self.homectl.dir.join("inventory.lock");
            let (without, with) = (read(&lock)?, before.into_inner());
            write(&lock, &with)?;
            self.homectl.run("remove-node", &["attic", "--yes"])?.with(0)?;
            ensure(with.contains("attic") && read(&lock)? == without, || format!("the lock is\n{}", read(&lock).unwrap_or_default()))
        });
        self.back()
    }

    /// Who is said to be gone and is not stays.
    fn guarded(&self) -> Result {
        self.add("shed", 14, &[])?.with(0)?;
        self.scene.check("guarded: a machine that works is not replaced, nor is it dead", || {
            let (address, pin) = (self.lab.address(13), self.lab.pin("garage")?);
            let replaced = self.homectl.run("replace-node", &["attic", "--address", &address, "--host-key", &pin, "--yes"])?.with(4)?;
            ensure(replaced.err.contains("attic is the only control plane"), || replaced.seen())?;
            let worker = self.homectl.run("replace-node", &["shed", "--address", &address, "--host-key", &pin, "--yes"])?.with(4)?;
            ensure(worker.err.contains("its kubelet renews its lease"), || worker.seen())?;
            let dead = self.homectl.run("remove-node", &["shed", "--dead", "--yes"])?.with(4)?;
            ensure(dead.err.contains("its kubelet renews its lease"), || dead.seen())?;
            self.homectl.run("plan", &["--exit-code"])?.with(0).map(drop)
        });
        self.homectl.run("remove-node", &["shed", "--yes"])?.with(0).map(drop)
    }

    /// A pod that nobody would make anew keeps its node.
    fn nothing_is_lost(&self) -> Result {
        let image = self.kubectl.ok(&["get", "pods", "-n", "e2e", "-o", "jsonpath={.items[0].spec.containers[0].image}"])?;
        let spec = "{\"spec\":{\"nodeName\":\"attic\"}}";
        self.kubectl.ok(&["run", "bare", "--namespace=default", &format!("--image={image}"), &format!("--overrides={spec}")])?;
        let ran = self.homectl.run("remove-node", &["attic", "--yes"])?.with(1)?;
        ensure([&ran.out, &ran.err].iter().any(|said| said.contains("default/bare would be gone for good")), || ran.seen())?;
        self.kubectl.ok(&["delete", "pod", "bare", "--namespace=default", "--now"]).map(drop)
    }

    fn first(&self) -> Result {
        self.scene.step("one: apply", || {
            self.homectl.write_inventory(&self.inventory(&["attic"], &[])?)?;
            let ran = self.homectl.run("apply", &["--yes"])?.with(0)?;
            self.scene.figure("fresh apply of one machine, seconds", ran.took);
            self.kubeconfig()?;
            self.kubectl.apply(network::WEB)?;
            self.kubectl.ok(&CANARY).map(drop)
        })
    }

    /// A worker, then two control planes, each by its own command.
    fn come(&self) -> Result {
        self.scene.check("come: nobody comes while something else is due, and the inventory stays as it was", || {
            let before = read(&self.homectl.inventory())?;
            self.lab.sh("attic", "echo '# by hand' >>/etc/homectl/serving.list")?;
            let ran = self.add("shed", 14, &[])?.with(4)?;
            ensure(ran.err.contains("file:/etc/homectl/serving.list") && ran.err.contains("homectl apply"), || ran.seen())?;
            ensure(read(&self.homectl.inventory())? == before, || "the inventory was changed".into())?;
            self.homectl.run("apply", &["--yes"])?.with(0).map(drop)
        });
        self.scene.step("come: a worker", || {
            let ran = self.add("shed", 14, &["--traffic"])?.with(0)?;
            self.scene.figure("a worker added, seconds", ran.took);
            for line in ran.err.lines().filter(|l| l.starts_with("traffic ")) {
                self.scene.say(line);
            }
            self.well(&self.cluster(&["attic"], &["shed"]))
        })?;
        self.scene.step("come: two control planes, one after the other", || {
            for (name, host) in [("cellar", 12), ("garage", 13)] {
                let ran = self.add(name, host, &["--role", "control-plane"])?.with(0)?;
                self.scene.figure(&format!("{name} joined as a control plane, seconds"), ran.took);
            }
            self.kubeconfig()?;
            self.well(&self.cluster(&["attic", "cellar", "garage"], &["shed"]))
        })
    }

    fn add(&self, name: &str, host: u8, flags: &[&str]) -> Result<Ran> {
        let (address, pin) = (self.lab.address(host), self.lab.pin(name)?);
        let all: Vec<&str> = [name, &address, "--host-key", &pin, "--yes"].into_iter().chain(flags.iter().copied()).collect();
        self.homectl.run("add-node", &all)
    }

    /// A control plane gets an empty disk.
    fn replaced(&self) -> Result {
        let uid = |name: &str| self.kubectl.ok(&["get", "node", name, "-o", "jsonpath={.metadata.uid}"]);
        self.scene.step("replace: a control plane that lost its disk takes its place again", || {
            let before = uid("garage")?;
            self.lab.each("wipe", &["garage"])?;
            let (old, new) = (self.homectl.run("replace-node", &["garage", "--yes"])?.with(1)?, self.lab.pin("garage")?);
            ensure(old.err.contains("the host key of") && old.err.contains(&new), || old.seen())?;
            let ran = self.homectl.run("replace-node", &["garage", "--yes", "--host-key", &new])?.with(0)?;
            self.scene.figure("garage replaced, seconds", ran.took);
            ensure(ran.out.contains("etcd: 3 members vote (attic, cellar, garage), 2 answer, 2 needed"), || ran.seen())?;
            ensure(uid("garage")? == before, || "it is another node object".into())?;
            self.well(&self.cluster(&["attic", "cellar", "garage"], &["shed"]))
        })
    }

    /// The first control plane goes, then a worker that is dead.
    fn go(&self) -> Result {
        self.scene.check("go: a block that was only deleted is not taken for a farewell", || {
            let whole = read(&self.homectl.inventory())?;
            let at = whole.find("\n[[node]]\nname = \"shed\"").ok_or("no block of shed")?;
            let end = whole[at + 1..].find("\n[[").map_or(whole.len(), |n| at + 1 + n);
            self.homectl.write_inventory(&[&whole[..at], &whole[end..]].concat())?;
            let ran = self.homectl.run("plan", &[]).and_then(|ran| ran.with(4));
            self.homectl.write_inventory(&whole)?;
            let ran = ran?;
            ensure(ran.err.contains("remove-node") && ran.err.contains("shed"), || ran.seen())
        });
        self.scene.step("go: the first control plane leaves", || {
            let ran = self.homectl.run("remove-node", &["attic", "--yes"])?.with(0)?;
            self.scene.figure("attic removed, seconds", ran.took);
            ensure(ran.out.contains("without attic 2 vote, 2 needed: none of them may fail"), || ran.seen())?;
            let left = self.lab.sh(
                "attic",
                "ls -d /etc/homectl /opt/homectl /etc/kubernetes /var/lib/etcd /var/lib/kubelet /sys/class/net/wg0 2>/dev/null || :",
            )?;
            ensure(left.is_empty(), || format!("left on attic: {left}"))?;
            ensure(!read(&self.homectl.inventory())?.contains("attic"), || "the inventory still has it".into())?;
            self.kernel()?;
            self.kubeconfig()?;
            self.well(&self.cluster(&["cellar", "garage"], &["shed"]))
        })?;
        self.scene.step("go: a dead worker", || {
            self.lab.each("kill", &["shed"])?;
            let ran = self.homectl.run("remove-node", &["shed", "--yes"])?.with(1)?;
            ensure(ran.err.contains("--dead"), || ran.seen())?;
            self.homectl.run("remove-node", &["shed", "--yes", "--dead"])?.with(0)?;
            self.well(&self.cluster(&["cellar", "garage"], &[]))
        })?;
        Ok(())
    }

    /// The whole house gets other addresses, all machines at once.
    fn renumbered(&self) -> Result {
        let all = [("cellar", 12), ("garage", 13)];
        let identity = || -> Result<String> {
            let sums =
                "cat /etc/kubernetes/pki/*.crt /etc/kubernetes/pki/etcd/*.crt /var/lib/kubelet/pki/kubelet-*-current.pem | sha256sum";
            let machines = all.iter().map(|(name, _)| self.lab.sh(name, sums)).collect::<Result<String>>()?;
            Ok(machines + &self.kubectl.ok(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.uid}"])?)
        };
        self.scene.step("renumber: only where the others find a machine changes", || {
            let before = identity()?;
            let mut inventory = read(&self.homectl.inventory())?;
            for (name, host) in all {
                let (old, new) = (self.lab.address(host), self.lab.address(host + 100));
                let way = self.lab.address(1);
                self.lab.sh(
                    name,
                    &format!("ip addr del {old}/24 dev eth0; ip addr add {new}/24 dev eth0 && ip route replace default via {way}"),
                )?;
                inventory = inventory.replace(&format!("\"{old}\""), &format!("\"{new}\""));
            }
            self.homectl.write_inventory(&inventory)?;
            let plan: Value = serde_json::from_str(&self.homectl.run("plan", &["--json"])?.with(0)?.out).map_err(|e| e.to_string())?;
            let steps = plan["steps"].as_array().cloned().unwrap_or_default();
            let on_machines = steps.iter().filter(|s| s["lane"]["node"].is_string() || s["id"]["lane"]["node"].is_string());
            let items = on_machines.flat_map(|s| s["items"].as_array().cloned().unwrap_or_default());
            let due: BTreeSet<String> =
                items.filter(|i| i["verdict"] != "settled").filter_map(|i| Some(i["addr"].as_str()?.to_owned())).collect();
            let expected = ["file:/etc/homectl/overlay/wg0.conf", "unit:homectl-overlay.service", "wireguard:wg0"];
            ensure(due.len() > 1 && due.iter().all(|addr| expected.contains(&addr.as_str())), || format!("due: {due:?}"))?;
            let ran = self.homectl.run("apply", &["--yes"])?.with(0)?;
            self.scene.figure("two renumbered machines found each other, seconds", ran.took);
            self.kubeconfig()?;
            self.well(&self.cluster(&["cellar", "garage"], &[]))?;
            let after = identity()?;
            ensure(before == after, || format!("certificates or nodes are others: {before} and {after}"))
        })
    }

    /// Down to one; that one stays.
    fn last(&self) -> Result {
        self.scene.step("last: two control planes become one, which stays", || {
            let ran = self.homectl.run("remove-node", &["cellar", "--yes"])?.with(0)?;
            ensure(ran.out.contains("etcd: 2 members vote (cellar, garage)"), || ran.seen())?;
            let ran = self.homectl.run("remove-node", &["garage", "--yes"])?.with(4)?;
            ensure(ran.err.contains("the last control plane"), || ran.seen())?;
            self.kernel()?;
            self.kubeconfig()?;
            self.well(&self.cluster(&["garage"], &[]))
        })
    }

    /// The machine that left comes back, as a worker at first.
    fn back(&self) -> Result {
        self.scene.step("back: a machine that left is as good as a new one", || {
            self.add("attic", 11, &[])?.with(0)?;
            self.well(&self.cluster(&["garage"], &["attic"]))
        })?;
        self.scene.step("back: a worker becomes a control plane by its role, and not the other way", || {
            let worker = read(&self.homectl.inventory())?;
            let plane = worker.replace("role = \"worker\"", "role = \"control-plane\"");
            self.homectl.write_inventory(&plane)?;
            let ran = self.homectl.run("apply", &["--yes"])?.with(0)?;
            self.scene.figure("a worker became a control plane, seconds", ran.took);
            self.kubeconfig()?;
            self.well(&self.cluster(&["garage", "attic"], &[]))?;
            self.homectl.write_inventory(&worker)?;
            let ran = self.homectl.run("apply", &["--yes"])?.with(4)?;
            ensure(ran.err.contains("attic") && ran.err.contains("remove-node"), || ran.seen())?;
            self.homectl.write_inventory(&plane)
        })?;
        self.scene.check("back: another order of the inventory changes nothing", || {
            let text = read(&self.homectl.inventory())?;
            let mut parts: Vec<&str> = text.split("\n[[node]]").collect();
            parts[1..].reverse();
            self.homectl.write_inventory(&parts.join("\n[[node]]"))?;
            self.homectl.run("plan", &["--exit-code"])?.with(0).map(drop)
        });
        Ok(())
    }

    /// Machines of the lab share one kernel: who leaves puts its settings back for all of them.
    fn kernel(&self) -> Result {
        let plan: Value = serde_json::from_str(&self.homectl.run("plan", &["--json"])?.with(0)?.out).map_err(|e| e.to_string())?;
        let items = plan["steps"].as_array().into_iter().flatten().flat_map(|s| s["items"].as_array().into_iter().flatten());
        let due: BTreeSet<&str> = items.filter(|i| i["verdict"] != "settled").filter_map(|i| i["addr"].as_str()).collect();
        ensure(due.iter().all(|addr| addr.starts_with("sysctl:")), || format!("due: {due:?}"))?;
        self.homectl.run("apply", &["--yes"])?.with(0).map(drop)
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
