//! The lanes, cheapest proof first.

mod backup;
mod certs;
mod cuts;
mod drift;
mod four;
mod mistakes;
mod nodes;
mod one;
mod quorum;
mod three;
mod upgrade;

use crate::Result;
use crate::checks::Cluster;
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
    Lane { name: "four", about: "three control planes and a worker, each control plane killed in turn", run: four::run },
    Lane {
        name: "handover",
        about: "a control plane joins, the one that founded the cluster leaves and comes back as a worker",
        run: nodes::short,
    },
    Lane { name: "nodes", about: "machines come, go, are replaced and get other addresses", run: nodes::run },
    Lane { name: "upgrade", about: "from one minor version to the next, asked all the time", run: upgrade::run },
    Lane { name: "backup", about: "what is lost comes back: objects, machines, the operator's own files", run: backup::run },
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
    Lane { name: "bookworm", about: "one machine with the Debian before", run: one::bookworm },
];

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
