//! Whether each machine can be a node at all, told for all of them at once, before anything is planned.

use crate::cluster::{Cluster, Component, Node};
use crate::error::Failure;
use crate::facts::Facts;
use crate::os;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Ports that homectl's services need for themselves.
const PORTS: [u16; 8] = [7443, 10248, 10249, 10250, 10256, 20244, 10257, 10259];
/// Ports of a control plane besides.
const CONTROL_PLANE_PORTS: [u16; 4] = [2379, 2380, 2381, 6443];
/// Free KiB a new node needs: programs twice over (an upgrade keeps the old ones), images, etcd.
const ROOM: [(&str, u64); 2] = [("/opt", 1_500_000), ("/var/lib", 1_500_000)];
/// Older ones know no credentials directory in unit files and no Unix timestamps.
const SYSTEMD: u32 = 252;
/// Seconds a machine's clock may be off before certificates and etcd suffer.
const SKEW: i64 = 30;
/// KiB of memory below which a control plane will not be happy.
const SMALL: u64 = 1_700_000;

/// Everything that stands in the way, and warnings.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) failures: Vec<Failure>,
    pub(super) warnings: Vec<String>,
}

/// Checks every machine that answered.
pub(super) fn check(cluster: &Cluster, facts: &BTreeMap<String, Facts>) -> Findings {
    let mut found = Findings::default();
    for node in &cluster.nodes {
        let Some(f) = facts.get(&node.name) else { continue };
        platform(cluster, node, f, &mut found);
        ownership(cluster, node, f, &mut found);
        if f.cluster.is_none() {
            newcomer(node, f, &mut found);
        }
        clock(node, f, &mut found);
        neighbours(cluster, node, f, &mut found);
        if node.is_control_plane() && f.memory_kib < SMALL {
            found.warnings.push(format!("{}: {} MiB of memory is little for a control plane", node.name, f.memory_kib / 1024));
        }
    }
    twins(facts, &mut found);
    found
}

fn platform(cluster: &Cluster, node: &Node, f: &Facts, found: &mut Findings) {
    let mut fail = |failure: Failure| found.failures.push(failure.on(&node.name));
    if os::of(f).is_none() {
        fail(
            Failure::failed(format!("{} is not supported", if f.os_name.is_empty() { "this operating system" } else { &f.os_name }))
                .seen(format!("os-release: ID={} ID_LIKE={}", f.os_id, f.os_like.join(" ")))
                .help(format!("supported: {}", os::SUPPORTED)),
        );
    }
    if !f.systemd {
        fail(
            Failure::failed("systemd is not its init")
                .help("homectl runs services as systemd units; use a distribution that boots with it"),
        );
    }
    if f.systemd && f.systemd_version < SYSTEMD {
        fail(
            Failure::failed(format!("its systemd {} is too old", f.systemd_version))
                .seen(format!("{}, systemctl --version", f.os_name))
                .help(format!("{SYSTEMD} or newer is needed; supported: {}", os::SUPPORTED)),
        );
    }
    match f.arch {
        None => {
            fail(Failure::failed(format!("its architecture {} has no upstream release", f.machine)).help("amd64 and arm64 are supported"));
        }
        Some(arch) if !f.userland.is_empty() && f.userland != arch.as_str() => fail(
            Failure::failed(format!("its system is {}, only its kernel is {arch}", f.userland))
                .seen(format!("uname -m says {}, dpkg --print-architecture says {}", f.machine, f.userland))
                .help("Kubernetes needs a 64-bit system: install the 64-bit image of the distribution"),
        ),
        Some(arch) => {
            let lacking: Vec<&str> =
                Component::ALL.iter().filter(|c| cluster.programs.get(**c, arch).is_none()).map(|c| c.as_str()).collect();
            if !lacking.is_empty() {
                fail(
                    Failure::failed(format!("the lock has no {arch} build of {}", lacking.join(", ")))
                        .help("the mirror or upstream had none when the lock was made; run `homectl lock` again where it has"),
                );
            }
        }
    }
    if !f.memory_controller {
        fail(
            Failure::failed("the kernel's memory controller is off")
                .seen("cgroup controllers do not list `memory`")
                .help("on a Raspberry Pi add `cgroup_enable=memory` to the one line of /boot/firmware/cmdline.txt and reboot"),
        );
    }
}

fn ownership(cluster: &Cluster, node: &Node, f: &Facts, found: &mut Findings) {
    if let Some(other) = f.cluster.as_ref().filter(|c| **c != cluster.name) {
        found.failures.push(
            Failure::refused(format!("the machine belongs to the cluster `{other}`"))
                .on(&node.name)
                .seen("/etc/homectl/cluster says so")
                .help("check the address in the inventory; to take it over, run `homectl reset` with that cluster's inventory first"),
        );
    }
    if let Some(other) = f.cluster_node.as_ref().filter(|n| **n != node.name && f.cluster.as_ref() == Some(&cluster.name)) {
        found.failures.push(
            Failure::refused(format!("the machine is the node `{other}` of this cluster"))
                .on(&node.name)
                .seen("/etc/homectl/cluster says so")
                .help("two addresses in the inventory may be crossed"),
        );
    }
    let inventory = cluster.kubernetes.to_string();
    if let Some(running) = f.cluster_kubernetes.as_ref().filter(|v| **v != inventory && f.cluster.as_ref() == Some(&cluster.name)) {
        found.failures.push(
            Failure::refused(format!("it runs Kubernetes {running}, the inventory says {inventory}"))
                .on(&node.name)
                .seen("/etc/homectl/cluster says so")
                .help("changing the version of a cluster that runs takes an order of its own, which this homectl does not know yet: put the version back"),
        );
    }
    for foreign in f.foreign.iter().filter(|foreign| !judged(node, f, &foreign.what)) {
        found.failures.push(
            Failure::refused(format!("somebody else's {} is on the machine", foreign.what)).on(&node.name).seen(&foreign.evidence).help(
                format!(
                    "remove {} first, by its own means: homectl takes nothing over and removes nothing that it did not put there",
                    foreign.what
                ),
            ),
        );
    }
}

/// Whether the plan judges it, unit by unit: on a machine that is a node already, a unit of the same name as one of ours.
fn judged(node: &Node, f: &Facts, what: &str) -> bool {
    let ours = ["kubelet", "containerd"].contains(&what) || (node.is_control_plane() && ["etcd", "kube-apiserver"].contains(&what));
    f.cluster.is_some() && ours
}

/// What only matters before the first run: later its own services hold the ports and the disk.
fn newcomer(node: &Node, f: &Facts, found: &mut Findings) {
    for (path, need) in ROOM {
        if let Some(free) = f.free_kib.get(path).filter(|free| **free < need) {
            found.failures.push(
                Failure::failed(format!("{path} has {} MiB free, {} MiB are needed", free / 1024, need / 1024))
                    .on(&node.name)
                    .help(format!("make room, or mount a larger disk at {path}")),
            );
        }
    }
    let mine = if node.is_control_plane() { CONTROL_PLANE_PORTS.as_slice() } else { &[] };
    let taken: Vec<String> = PORTS.iter().chain(mine).filter(|p| f.listening.contains(p)).map(u16::to_string).collect();
    if !taken.is_empty() {
        found.failures.push(
            Failure::failed(format!("somebody listens on port {}", taken.join(", ")))
                .on(&node.name)
                .seen("/proc/net/tcp shows a listener")
                .help(format!("find it with `ss -ltnp 'sport = :{}'` and move it", taken[0])),
        );
    }
}

fn clock(node: &Node, f: &Facts, found: &mut Findings) {
    let off = f.skew;
    if off.abs() > SKEW {
        found.failures.push(
            Failure::failed(format!("its clock is {} s {}", off.abs(), if off > 0 { "ahead" } else { "behind" }))
                .on(&node.name)
                .seen("its answer, against this computer's clock when it came")
                .help("certificates and etcd need right clocks: turn on time synchronisation (timedatectl set-ntp true) and wait for it"),
        );
    }
}

/// An interface of the machine inside one of the cluster's ranges: packets to its neighbours would go astray.
fn neighbours(cluster: &Cluster, node: &Node, f: &Facts, found: &mut Findings) {
    let net = &cluster.network;
    for (interface, address) in &f.addresses {
        let Ok(address) = address.parse::<Ipv4Addr>() else { continue };
        for (what, range) in [("overlay", net.overlay), ("pods", net.pods), ("services", net.services)] {
            if range.contains(&address) {
                found.failures.push(
                    Failure::failed(format!("its {interface} has {address}, which lies inside the range of {what} {range}"))
                        .on(&node.name)
                        .seen("ip -4 address")
                        .help(format!("give [network] {what} a range that no network of yours uses")),
                );
            }
        }
    }
}

/// The same machine under two names, or a cloned disk.
fn twins(facts: &BTreeMap<String, Facts>, found: &mut Findings) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, f) in facts {
        if f.machine_id.is_empty() {
            continue;
        }
        if let Some(first) = seen.insert(&f.machine_id, name) {
            found.failures.push(
                Failure::failed(format!("it has the same machine-id as {first}")).on(name).seen(&f.machine_id).help(
                    "either both addresses lead to one machine, or a disk was cloned; then, on one of them: rm /etc/machine-id && systemd-machine-id-setup, and reboot",
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Role;
    use crate::house;

    /// What is found on a machine of `role` that has this unit of somebody else's.
    fn found(role: Role, foreign: &str, cluster: &str) -> Vec<String> {
        let node = house::node(1, "attic", role);
        let facts = crate::facts::parse(
            &format!(
                "caps=0\nmemory_kib=1\nclock=0\nforeign.{foreign}=/usr/lib/systemd/system/{foreign}.service (inactive)\n{cluster}end=yes\n"
            ),
            0,
        )
        .unwrap();
        let mut found = Findings::default();
        ownership(&house::cluster(vec![node.clone()]), &node, &facts, &mut found);
        found.failures.iter().map(|f| f.what().to_owned()).collect()
    }

    #[test]
    fn a_packages_unit_is_refused_at_first_and_judged_with_the_others_of_its_name_later() {
        let ours = format!("cluster={}\ncluster_node=attic\n", house::cluster(Vec::new()).name);
        let table = [
            (Role::Worker, "kubelet", "", 1),
            (Role::Worker, "kubelet", ours.as_str(), 0),
            (Role::ControlPlane, "etcd", ours.as_str(), 0),
            (Role::Worker, "etcd", ours.as_str(), 1),
            (Role::ControlPlane, "k3s", ours.as_str(), 1),
        ];
        for (role, foreign, cluster, failures) in table {
            assert_eq!(found(role, foreign, cluster).len(), failures, "{foreign} {cluster}");
        }
    }
}
