//! Whether each machine can be a node at all, by its facts alone.

use super::finding::Findings;
use super::fleet;
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
/// Free KiB below which a node that works is about to stop doing so.
const TIGHT: u64 = 300_000;
/// Older ones know no credentials directory in unit files and no Unix timestamps.
const SYSTEMD: u32 = 252;
/// Older ones lack what kube-proxy needs of nftables.
const KERNEL: (u32, u32) = (5, 13);
/// Seconds a machine's clock may be off before certificates and etcd suffer.
pub(in crate::verbs) const SKEW: i64 = 30;
/// KiB of memory below which a control plane, or any node, will not be happy.
const SMALL: u64 = 1_700_000;
const TINY: u64 = 700_000;

/// Checks every machine that answered.
pub(in crate::verbs) fn check(cluster: &Cluster, facts: &BTreeMap<String, Facts>) -> Findings {
    let mut found = Findings::default();
    for node in &cluster.nodes {
        let Some(f) = facts.get(&node.name) else { continue };
        platform(cluster, node, f, &mut found);
        kernel(node, f, &mut found);
        ownership(cluster, node, f, &mut found);
        if f.cluster.is_none() {
            newcomer(node, f, &mut found);
        } else {
            tight(node, f, &mut found);
        }
        number(cluster, node, f, &mut found);
        clock(node, f, &mut found);
        neighbours(cluster, node, f, &mut found);
        memory(node, f, &mut found);
    }
    fleet::compare(cluster, facts, &mut found);
    found
}

fn platform(cluster: &Cluster, node: &Node, f: &Facts, found: &mut Findings) {
    let mut fail = |topic: &'static str, failure: Failure| found.fail(topic, &node.name, failure);
    if os::of(f).is_none() {
        fail(
            "system",
            Failure::failed(format!("{} is not supported", if f.os_name.is_empty() { "this operating system" } else { &f.os_name }))
                .seen(format!("os-release: ID={} ID_LIKE={}", f.os_id, f.os_like.join(" ")))
                .help(format!("supported: {}", os::SUPPORTED)),
        );
    }
    if !f.systemd {
        fail(
            "system",
            Failure::failed("systemd is not its init")
                .help("homectl runs services as systemd units; use a distribution that boots with it"),
        );
    }
    if f.systemd && f.systemd_version < SYSTEMD {
        fail(
            "system",
            Failure::failed(format!("its systemd {} is too old", f.systemd_version))
                .seen(format!("{}, systemctl --version", f.os_name))
                .help(format!("{SYSTEMD} or newer is needed; supported: {}", os::SUPPORTED)),
        );
    }
    match f.arch {
        None => {
            fail(
                "architecture",
                Failure::failed(format!("its architecture {} has no upstream release", f.machine)).help("amd64 and arm64 are supported"),
            );
        }
        Some(arch) if !f.userland.is_empty() && f.userland != arch.as_str() => fail(
            "architecture",
            Failure::failed(format!("its system is {}, only its kernel is {arch}", f.userland))
                .seen(format!("uname -m says {}, dpkg --print-architecture says {}", f.machine, f.userland))
                .help("Kubernetes needs a 64-bit system: install the 64-bit image of the distribution"),
        ),
        Some(arch) => {
            let lacking: Vec<&str> =
                Component::ALL.iter().filter(|c| cluster.programs.get(**c, arch).is_none()).map(|c| c.as_str()).collect();
            if !lacking.is_empty() {
                fail(
                    "architecture",
                    Failure::failed(format!("the lock has no {arch} build of {}", lacking.join(", ")))
                        .help("the mirror or upstream had none when the lock was made; run `homectl lock` again where it has"),
                );
            }
        }
    }
}

fn kernel(node: &Node, f: &Facts, found: &mut Findings) {
    let mut numbers = f.kernel.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or_default());
    let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if version < KERNEL {
        let old = Failure::failed(format!("its kernel {} is too old", f.kernel)).seen("uname -r").help(format!(
            "{}.{} or newer is needed (kube-proxy's nftables rules); supported: {}",
            KERNEL.0,
            KERNEL.1,
            os::SUPPORTED
        ));
        found.fail("kernel", &node.name, old);
    }
    if !f.memory_controller {
        let help = match &f.boot_cmdline {
            Some(file) => format!("add ` cgroup_enable=memory cgroup_memory=1` to the end of the one line of {file}, and reboot"),
            None => "boot the kernel with cgroup_enable=memory (in /etc/default/grub: GRUB_CMDLINE_LINUX, then update-grub), and reboot"
                .to_owned(),
        };
        let off = Failure::failed("the kernel's memory controller is off").seen("cgroup controllers do not list `memory`").help(help);
        found.fail("cgroups", &node.name, off);
    }
}

fn memory(node: &Node, f: &Facts, found: &mut Findings) {
    let mib = f.memory_kib / 1024;
    let little = match node.is_control_plane() {
        true if f.memory_kib < SMALL => format!("{mib} MiB of memory is little for a control plane"),
        false if f.memory_kib < TINY => format!("{mib} MiB of memory is little for a node: the system's own pods take half of it"),
        _ => return,
    };
    found.warn("memory", &node.name, Failure::failed(little));
}

/// A node whose disk is nearly full: pods are evicted first, then etcd stops.
fn tight(node: &Node, f: &Facts, found: &mut Findings) {
    for (path, _) in ROOM {
        if let Some(free) = f.free_kib.get(path).filter(|free| **free < TIGHT) {
            let full = Failure::failed(format!("{path} has only {} MiB free", free / 1024))
                .help(format!("make room: du -xh {path} | sort -h | tail"));
            found.warn("disk", &node.name, full);
        }
    }
}

fn ownership(cluster: &Cluster, node: &Node, f: &Facts, found: &mut Findings) {
    if let Some(other) = f.cluster.as_ref().filter(|c| **c != cluster.name) {
        found.fail(
            "owner",
            &node.name,
            Failure::refused(format!("the machine belongs to the cluster `{other}`"))
                .seen("/etc/homectl/cluster says so")
                .help("check the address in the inventory; to take it over, run `homectl reset` with that cluster's inventory first"),
        );
    }
    if let Some(other) = f.cluster_node.as_ref().filter(|n| **n != node.name && f.is_of(&cluster.name)) {
        found.fail(
            "owner",
            &node.name,
            Failure::refused(format!("the machine is the node `{other}` of this cluster"))
                .seen("/etc/homectl/cluster says so")
                .help("two addresses in the inventory may be crossed"),
        );
    }
    for foreign in f.foreign.iter().filter(|foreign| !judged(node, f, &foreign.what)) {
        found.fail(
            "owner",
            &node.name,
            Failure::refused(format!("somebody else's {} is on the machine", foreign.what)).seen(&foreign.evidence).help(format!(
                "remove {} first, by its own means: homectl takes nothing over and removes nothing that it did not put there",
                foreign.what
            )),
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
            found.fail(
                "disk",
                &node.name,
                Failure::failed(format!("{path} has {} MiB free, {} MiB are needed", free / 1024, need / 1024))
                    .help(format!("make room, or mount a larger disk at {path}")),
            );
        }
    }
    let mine = if node.is_control_plane() { CONTROL_PLANE_PORTS.as_slice() } else { &[] };
    let taken: Vec<String> = PORTS.iter().chain(mine).filter(|p| f.listening.contains(p)).map(u16::to_string).collect();
    if !taken.is_empty() {
        found.fail(
            "ports",
            &node.name,
            Failure::failed(format!("somebody listens on port {}", taken.join(", ")))
                .seen("/proc/net/tcp shows a listener")
                .help(format!("find it with `ss -ltnp 'sport = :{}'` and move it", taken[0])),
        );
    }
}

/// The numbers of nodes are in the lock alone: one that was lost and made anew may give them to others.
fn number(cluster: &Cluster, node: &Node, f: &Facts, found: &mut Findings) {
    let net = cluster.network.overlay;
    let Some(has) = f.overlay.filter(|has| f.cluster.is_some() && *has != node.overlay && net.contains(has)) else { return };
    let number = u32::from(has) - u32::from(net.network());
    found.fail(
        "identity",
        &node.name,
        Failure::refused(format!("it is number {number} in the overlay, the lock says {}", node.number))
            .seen(format!("ip -4 address show dev wg0: {has}"))
            .help(format!("the lock was made anew: get the old one back, or write `{} = {number}` into its [numbers]", node.name)),
    );
}

fn clock(node: &Node, f: &Facts, found: &mut Findings) {
    let off = f.skew;
    if off.abs() > SKEW {
        found.fail(
            "clock",
            &node.name,
            Failure::failed(format!("its clock is {} s {}", off.abs(), if off > 0 { "ahead" } else { "behind" }))
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
                found.fail(
                    "network",
                    &node.name,
                    Failure::failed(format!("its {interface} has {address}, which lies inside the range of {what} {range}"))
                        .seen("ip -4 address")
                        .help(format!("give [network] {what} a range that no network of yours uses")),
                );
            }
        }
    }
}
