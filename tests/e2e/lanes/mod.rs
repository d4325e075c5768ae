//! The lanes, cheapest proof first.

mod backup;
mod certs;
mod cuts;
mod dice;
mod drift;
mod drills;
mod four;
mod mistakes;
mod nodes;
mod one;
mod quorum;
mod three;
mod upgrade;

use crate::Result;
use crate::checks::{Cluster, Node};
use crate::homectl::Homectl;
use crate::kubectl::Kubectl;
use crate::lab::{self, Lab};
use crate::scene::{Scene, say};
use crate::shell::tail;
use std::time::Duration;

/// A story in a lab of its own.
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Scene) -> Result,
}

pub(crate) const ALL: &[Lane] = &[
    Lane { name: "mistakes", about: "what an operator or a machine can have wrong: a clear word, and nothing touched", run: mistakes::run },
    Lane { name: "one", about: "one machine is the whole cluster, host key learnt at first contact", run: one::trixie },
    Lane { name: "three", about: "a control plane and two workers, used, cut off from power, changed, reset, made again", run: three::run },
    Lane { name: "drift", about: "three machines changed by hand: the plan shows exactly that, apply mends exactly that", run: drift::run },
    Lane { name: "cuts", about: "runs cut short on three machines, and made good by the next", run: cuts::run },
    Lane { name: "four", about: "three control planes and a worker, each control plane killed in turn, a few drills", run: four::run },
    Lane {
        name: "handover",
        about: "a control plane joins, the one that founded the cluster leaves and comes back as a worker",
        run: nodes::short,
    },
    Lane { name: "nodes", about: "machines come, go, are replaced and get other addresses", run: nodes::run },
    Lane { name: "upgrade", about: "from one minor version to the next, asked all the time", run: upgrade::run },
    Lane { name: "backup", about: "what is lost comes back: objects, machines, the operator's own files", run: backup::run },
    Lane {
        name: "drills",
        about: "three control planes in a house, a worker in a cabin: power cuts, and everything else that happens at home",
        run: drills::run,
    },
    Lane { name: "quorum", about: "two of three control planes are lost for good; the third becomes three again", run: quorum::run },
    Lane {
        name: "certs",
        about: "three control planes: certificates renewed, keys replaced, everything run out and brought back",
        run: certs::four,
    },
    Lane {
        name: "certs-one",
        about: "one machine renews by itself, and is brought back by apply when everything has run out",
        run: certs::one,
    },
    Lane {
        name: "keys",
        about: "three control planes: keys, then authorities, take the place of others while everything is used",
        run: certs::keys,
    },
    Lane { name: "bookworm", about: "one machine with the Debian before", run: one::bookworm },
];

/// A lab, as its topology's file says, and what is to become of its machines.
struct Topology {
    name: &'static str,
    /// In the order of their LAN addresses, the control planes first.
    nodes: &'static [&'static str],
    planes: usize,
    /// A machine of the LAN that is no node, where there is one.
    spare: Option<&'static str>,
}

const ONE: Topology = Topology { name: "one", nodes: &["attic"], planes: 1, spare: None };
const THREE: Topology = Topology { name: "three", nodes: &["attic", "cellar", "garage"], planes: 1, spare: Some("spare") };
const FOUR: Topology = Topology { name: "four", nodes: &["attic", "cellar", "garage", "shed"], planes: 3, spare: None };

/// Tells a story on the machines of `topology`, made anew with Debian's `suite`. Where it fails, what they have to say follows.
fn in_lab(scene: &Scene, topology: &Topology, suite: &'static str, tell: impl FnOnce(&Homectl, &Cluster) -> Result) -> Result {
    let lab = Lab::up(topology.name, suite)?;
    let homectl = Homectl::new(scene.lane)?;
    let node = |(i, (name, host)): (usize, (&&'static str, u8))| Node { name, host, control_plane: i < topology.planes };
    let cluster = Cluster {
        lab: &lab,
        kubectl: Kubectl::new(lab::kubectl()?, &homectl.dir.join("kubeconfig")),
        nodes: topology.nodes.iter().zip(11..).enumerate().map(node).collect(),
        spare: topology.spare,
    };
    let told = tell(&homectl, &cluster);
    if told.is_err() {
        post_mortem(&cluster);
    }
    told
}

/// The lane of a step, as JSON has it: the machine's name, or `cluster`.
fn lane(id: &serde_json::Value) -> &str {
    id["lane"]["node"].as_str().unwrap_or("cluster")
}

/// After a failure that ends a lane: what the machines and the API have to say.
fn post_mortem(cluster: &Cluster) {
    for args in
        [&["get", "nodes", "-o", "wide"][..], &["get", "pods", "-A", "-o", "wide"], &["get", "events", "-A", "--sort-by=.lastTimestamp"]]
    {
        match cluster.kubectl.run(args, "", Duration::from_secs(10)) {
            Ok(ran) => say(&format!("   kubectl {}:{}{}", args.join(" "), tail(&ran.out), tail(&ran.err))),
            Err(error) => say(&format!("   kubectl {}: {error}", args.join(" "))),
        }
    }
    // Not what systemd has to say of modes that CIS asks for, and of settings that runc makes.
    let look = "systemctl --failed --no-legend --plain; journalctl -b -p warning --no-pager -o short-monotonic | grep -vE 'world-inaccessible|CPUShares=|MemoryLimit=|suppressed' | tail -n 25";
    for node in cluster.names() {
        match cluster.lab.sh(node, look) {
            Ok(said) => say(&format!("   {node}:{}", tail(&said))),
            Err(error) => say(&format!("   {error}")),
        }
    }
}
