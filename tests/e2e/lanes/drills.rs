//! Chaos that a home really has, on three control planes in one house and a worker in another: after each item the canary sings as
//! before, the cluster is the one that it was, and `plan` is empty, or named exactly what was needed.
//!
//! The order is drawn from a seed. `HOMECTL_E2E_POWER` says how often all power is cut (20 if unset).

mod canary;
mod chaos;
mod ours;

use super::dice::Dice;
use super::four::members;
use crate::Result;
use crate::checks::{Cluster, Node, machines};
use crate::homectl::Homectl;
use crate::kubectl::Kubectl;
use crate::lab::{self, Lab, read, write};
use crate::scene::{Scene, ensure, eventually};
use canary::Canary;
use std::cell::RefCell;
use std::time::{Duration, SystemTime};

const PLANES: [&str; 3] = ["attic", "cellar", "garage"];
/// In the second house.
const AWAY: &str = "loft";
/// The router of the second house.
const ROUTER: &str = "hut";
/// Power cuts in the short form.
const FEW: u64 = 2;
/// Before `ctl`, etcdctl as the machine has it.
const ETCDCTL: &str = "p=/etc/kubernetes/pki/etcd; overlay=$(ip -4 -o addr show wg0 | awk '{ sub(\"/.*\", \"\", $4); print $4 }'); \
    ctl() { /opt/homectl/bin/etcdctl --command-timeout=60s --endpoints=https://$overlay:2379 --cacert=$p/ca.crt \
    --cert=$p/healthcheck-client.crt --key=$p/healthcheck-client.key \"$@\"; }; ";

/// What happens, on what it happens, and what must be as it was.
struct Ground<'a> {
    scene: &'a Scene,
    homectl: &'a Homectl,
    cluster: &'a Cluster<'a>,
    dice: RefCell<Dice>,
    canary: Canary,
}

type Deed = fn(&Ground) -> Result;

/// Each once, in an order of chance.
const CHAOS: [(&str, Deed); 7] = [
    ("wiped: a control plane's disk is a new one", chaos::wiped),
    ("line: the other house's line is out", chaos::line),
    ("full: a control plane's disk is full", chaos::full),
    ("alarm: etcd has no space left", chaos::alarm),
    ("clock: a machine's clock is an hour off", chaos::clock),
    ("month: a machine was off while three minor versions went by", chaos::month),
    ("ours: homectl drill", ours::all),
];

/// What the gate has time for.
const SHORT: [(&str, Deed); 2] = [("clock: a machine's clock is an hour off", chaos::clock), ("ours: homectl drill", ours::some)];

/// The lane.
pub(super) fn run(scene: &Scene) -> Result {
    let lab = Lab::up("drills", "trixie")?;
    let homectl = Homectl::new(scene.lane)?;
    let node = |(name, host): (&'static str, u8)| Node { name, host, control_plane: name != AWAY };
    let cluster = Cluster {
        lab: &lab,
        kubectl: Kubectl::new(lab::kubectl()?, &homectl.dir.join("kubeconfig")),
        nodes: PLANES.into_iter().chain([AWAY]).zip([74, 75, 76, 138]).map(node).collect(),
        spare: None,
    };
    let told = tell(scene, &homectl, &cluster);
    if told.is_err() {
        super::post_mortem(&cluster);
    }
    told
}

fn tell(scene: &Scene, homectl: &Homectl, cluster: &Cluster) -> Result {
    scene.step("fresh: apply", || {
        homectl.write_inventory(&inventory(cluster)?)?;
        let ran = homectl.run("apply", &["--yes"])?.with(0)?;
        scene.figure("fresh apply of two houses, seconds", ran.took);
        write(&homectl.dir.join("kubeconfig"), &homectl.run("kubeconfig", &[])?.ok()?)?;
        cluster.kubectl.apply(include_str!("../manifests/twice.yaml"))
    })?;
    let cuts = std::env::var("HOMECTL_E2E_POWER").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    act(scene, homectl, cluster, &CHAOS, cuts)
}

/// The short form, on somebody else's lane: `worker` is where the canary has its nest.
pub(super) fn short(scene: &Scene, homectl: &Homectl, cluster: &Cluster) -> Result {
    act(scene, homectl, cluster, &SHORT, FEW)
}

fn act(scene: &Scene, homectl: &Homectl, cluster: &Cluster, chaos: &[(&str, Deed)], cuts: u64) -> Result {
    let dice = Dice::of_environment();
    scene.say(&format!("HOMECTL_E2E_SEED={} repeats this", dice.seed()));
    let mut canary = None;
    scene.step("drill fresh: a canary in its nest", || {
        canary = Some(Canary::released(cluster)?);
        Ok(())
    })?;
    // Without its canary a lane of which only some phases are asked for has nothing to say.
    let Some(canary) = canary else { return Ok(()) };
    let ground = Ground { scene, homectl, cluster, dice: RefCell::new(dice), canary };
    for n in 1..=cuts {
        scene.step(&format!("drill power: all of it goes ({n} of {cuts})"), || chaos::power(&ground))?;
    }
    let order = ground.dice.borrow_mut().shuffled(chaos.to_vec());
    for (what, deed) in order {
        scene.step(&format!("drill {what}"), || {
            let then = SystemTime::now();
            deed(&ground)?;
            ground.well(then)
        })?;
    }
    Ok(())
}

impl Ground<'_> {
    /// A control plane, by chance.
    fn plane(&self) -> &'static str {
        self.dice.borrow_mut().draw(&mut PLANES.to_vec()).unwrap_or(PLANES[0])
    }

    /// Where the worker is.
    fn worker(&self) -> &'static str {
        self.canary.node
    }

    /// Everything as it was: nodes heard of since `then`, three members, the canary, and nothing to do.
    fn well(&self, then: SystemTime) -> Result {
        eventually(180, "every node heard of", || {
            machines::ready(self.cluster)?;
            machines::leases_since(self.cluster, then)
        })?;
        eventually(120, "three healthy members", || members(self.cluster, PLANES[0]))?;
        eventually(120, "the canary", || self.canary.sings(self.cluster))?;
        eventually(60, "nothing is to be done", || {
            let ran = self.homectl.run("plan", &["--exit-code"])?.with(0)?;
            ensure(ran.out.contains("No changes."), || ran.seen())
        })
        .map(drop)
    }

    /// The same without a word from homectl: how long until it is whole.
    fn whole_by_itself(&self, then: SystemTime) -> Result<Duration> {
        let whole = || {
            machines::ready(self.cluster)?;
            machines::leases_since(self.cluster, then)?;
            self.canary.sings(self.cluster)
        };
        eventually(300, "whole again", whole).map(|((), took)| took)
    }

    fn sh(&self, node: &str, script: &str) -> Result<String> {
        self.cluster.lab.sh(node, script)
    }
}

/// The lab's "four" in two houses.
fn inventory(cluster: &Cluster) -> Result<String> {
    let lab = cluster.lab;
    let four = read(&lab::root().join("inventories/lab-four.toml"))?;
    let (head, rest) = four.split_once("[[node]]").ok_or("no node in it")?;
    let (_, addons) = rest.split_once("[[addon]]").ok_or("no add-on in it")?;
    let line = |text: &str, key: &str, value: &str| {
        let put = |l: &str| if l.starts_with(&format!("{key} =")) { format!("{key} = \"{value}\"\n") } else { format!("{l}\n") };
        text.lines().map(put).collect::<String>()
    };
    let head = line(head, "identity", &lab.state().join("id_ed25519").display().to_string());
    let head = line(&head, "mirror", &format!("file://{}", lab::mirror().display()));
    let registry = format!("mirrors = [\"http://{}:5000\"]", lab.address(2));
    let head = head.replace("mirrors = [\"http://198.18.0.2:5000\"]", &registry);
    let nodes = (51820..).zip(&cluster.nodes).map(|(port, node)| {
        let place = if node.control_plane {
            format!("role = \"control-plane\"\nsite = \"home\"\nendpoint = \"{}:{port}\"\nlisten-port = {port}", lab.address(5))
        } else {
            "role = \"worker\"\nsite = \"cabin\"\nbehind-nat = true".to_owned()
        };
        let (address, pin) = (lab.address(node.host), lab.pin(node.name)?);
        Ok(format!("[[node]]\nname = \"{}\"\naddress = \"{address}\"\nhost-key = \"{pin}\"\n{place}\n\n", node.name))
    });
    let nodes = nodes.collect::<Result<String>>()?;
    Ok(head + &nodes + "[[addon]]" + addons)
}
