//! `check`: every problem of every machine, at once. A few kilobytes are written and removed on control planes, to see how
//! fast their disks are; everything else only looks.

use super::fleet::{self, Fleet};
use super::preflight::{self, Findings};
use super::world::World;
use crate::cli::{Global, Target};
use crate::cluster::Node;
use crate::error::{Failure, Result, exit};
use crate::report::{Check, MachineCheck, Reporter};
use crate::secrets::Secrets;

/// `homectl check`.
pub(super) async fn run(args: &Target, global: &Global, out: &Reporter) -> Result<u8> {
    let world = World::open_to_look(&args.inventory, global, out).await?;
    let (fleet, failures) = fleet::open_all(&world, global, out).await?;
    let mut findings = Findings::default();
    for failure in failures {
        let node = failure.node().unwrap_or_default().to_owned();
        findings.fail("ssh", &node, failure);
    }
    for (node, seen) in &fleet.offline {
        let off = Failure::failed("it does not answer")
            .seen(seen)
            .help("is it on, and is the address in the inventory right? Try: ssh to it by hand");
        if global.allow_offline { findings.warn("ssh", node, off) } else { findings.fail("ssh", node, off) }
    }
    findings.append(preflight::check(&world.cluster, &fleet.facts));
    let closer = preflight::look(&world.cluster, &fleet.facts, &fleet.hosts, world.secrets().ok().map(Secrets::overlay_keys)).await;
    findings.append(closer.findings);
    let in_question = |n: &&Node| global.limit.is_empty() || global.limit.contains(&n.name);
    let check = Check {
        cluster: world.cluster.name.clone(),
        machines: world.cluster.nodes.iter().filter(in_question).map(|n| machine(n, &fleet, closer.readings.get(&n.name))).collect(),
        links: closer.links,
        findings: findings.report(world.cluster.nodes.iter().map(|n| n.name.as_str())),
    };
    out.check(&check);
    fleet.tell_traffic(global, out);
    Ok(match (check.failures(), fleet.offline.is_empty()) {
        (0, true) => exit::OK,
        (0, false) => exit::OFFLINE,
        _ => exit::FAILED,
    })
}

fn machine(node: &Node, fleet: &Fleet, reading: Option<&preflight::Reading>) -> MachineCheck {
    let facts = fleet.facts.get(&node.name);
    MachineCheck {
        name: node.name.clone(),
        role: if node.is_control_plane() { "control-plane".into() } else { "worker".into() },
        reachable: facts.is_some(),
        system: facts.map(|f| f.os_name.clone()).unwrap_or_default(),
        kernel: facts.map(|f| f.kernel.clone()).unwrap_or_default(),
        arch: facts.map(|f| f.arch.map_or_else(|| f.machine.clone(), |a| a.to_string())).unwrap_or_default(),
        memory_mib: facts.map(|f| f.memory_kib / 1024),
        free_mib: facts.and_then(|f| f.free_kib.get("/var/lib")).map(|free| free / 1024),
        skew: facts.map(|f| f.skew),
        fsync_ms: reading.and_then(preflight::Reading::fsync_ms),
    }
}
