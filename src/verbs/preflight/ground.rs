//! Verdicts from a closer look at one machine: its kernel, disk, clock, names and WireGuard's port.

use super::finding::Findings;
use super::reading::Reading;
use crate::cluster::{Cluster, Node};
use crate::error::Failure;
use crate::facts::{Facts, WireGuard};

/// What every node's kernel must have, and for what.
const KERNEL: [(&str, &str); 4] = [
    ("overlay", "containerd keeps images in layers on it"),
    ("nf_tables", "kube-proxy's and homectl's own rules are nftables'"),
    ("nf_conntrack", "services and masquerading remember connections by it"),
    ("br_netfilter", "network policy between pods of one node needs it"),
];
/// Microseconds that a small write may take until it is on the disk: etcd's own recommendation for nearly all of its writes.
const FSYNC: u64 = 10_000;

/// Judges one machine.
pub(super) fn judge(cluster: &Cluster, node: &Node, f: &Facts, reading: &Reading, found: &mut Findings) {
    kernel(node, f, reading, found);
    disk(node, reading, found);
    time(node, f, reading, found);
    names(cluster, node, f, reading, found);
    let taken = reading.reach.as_ref().and_then(|r| r.taken.as_ref());
    if f.cluster.is_none() && (taken.is_some() || reading.udp.contains(&node.listen_port)) {
        let port = node.listen_port;
        let evidence = taken.map_or("/proc/net/udp shows a socket", String::as_str);
        let taken = Failure::failed(format!("somebody has the UDP port {port}, which WireGuard needs"))
            .seen(evidence)
            .help(format!("find it with `ss -lunp 'sport = :{port}'` and move it, or give the node another listen-port"));
        found.fail("ports", &node.name, taken);
    }
}

fn kernel(node: &Node, f: &Facts, reading: &Reading, found: &mut Findings) {
    for (module, why) in KERNEL {
        if reading.kernel.get(module) == Some(&Some(false)) {
            let help =
                "install the distribution's own kernel (linux-image-amd64, linux-image-arm64, linux-image-rpi-v8), or one built with it";
            let lacks = Failure::failed(format!("its kernel {} has no {module}", f.kernel)).seen(why).help(help);
            found.fail("kernel", &node.name, lacks);
        }
    }
    if f.wireguard == WireGuard::UserSpace && !reading.tun {
        let help = if f.container == "none" {
            "load the module tun (modprobe tun), or install a kernel with WireGuard".to_owned()
        } else {
            format!("let the {} container have /dev/net/tun, or load WireGuard's module on its host", f.container)
        };
        let lacks = Failure::failed("its kernel has no WireGuard, and wireguard-go needs /dev/net/tun, which is not there").help(help);
        found.fail("kernel", &node.name, lacks);
    }
}

fn disk(node: &Node, reading: &Reading, found: &mut Findings) {
    let Some(fsync) = reading.fsync.as_ref().filter(|_| node.is_control_plane()) else { return };
    if fsync.mean > FSYNC {
        let slow = Failure::failed(format!("a small write to {} takes {} until it is on the disk", fsync.place, milliseconds(fsync.mean)))
            .seen(format!("{} each in the worst ten in a row", milliseconds(fsync.worst)))
            .help(
                "etcd writes like that for every change and wants less than 10 ms: with this disk the API is slow, and under load \
                 leaders change. Put /var/lib/etcd on an SSD; SD cards and USB sticks wear out by it as well",
            );
        found.warn("disk", &node.name, slow);
    }
}

/// Microseconds as `12.3 ms`.
pub(super) fn milliseconds(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros / 100 % 10)
}

/// A container has its host's clock.
fn time(node: &Node, f: &Facts, reading: &Reading, found: &mut Findings) {
    if f.container == "none" && reading.synchronised == Some(false) {
        let loose = Failure::failed("nothing keeps its clock right")
            .seen("timedatectl: System clock synchronized: no")
            .help("timedatectl set-ntp true (apt-get install systemd-timesyncd where it says that NTP is not supported)");
        found.warn("clock", &node.name, loose);
    }
}

/// Names that the machine will have to look up: those of its peers, and of the registries.
pub(super) fn wanted(cluster: &Cluster, node: &Node) -> Vec<String> {
    let peers = cluster.nodes.iter().filter(|n| n.name != node.name).filter_map(|n| n.endpoint_from(node));
    let hosts = peers.filter_map(|e| Some(e.rsplit_once(':')?.0.trim_matches(['[', ']']).to_owned()));
    let mut names: Vec<String> = hosts.filter(|h| h.parse::<std::net::IpAddr>().is_err()).chain([registry(cluster)]).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Where the system's own images come from: Kubernetes' registry, or its first mirror.
fn registry(cluster: &Cluster) -> String {
    const HOST: &str = "registry.k8s.io";
    let mirror = cluster.registries.iter().find(|r| r.host == HOST).and_then(|r| r.mirrors.first());
    let host = mirror.and_then(|m| m.split_once("://")).map(|(_, rest)| rest.split(['/', ':']).next().unwrap_or_default());
    host.filter(|h| !h.is_empty() && !h.starts_with('[')).unwrap_or(HOST).to_owned()
}

fn names(cluster: &Cluster, node: &Node, f: &Facts, reading: &Reading, found: &mut Findings) {
    let lost: Vec<&str> = reading.names.iter().filter(|(_, known)| !**known).map(|(name, _)| name.as_str()).collect();
    if lost.is_empty() {
        return;
    }
    let asked = if f.nameservers.is_empty() { "no name server".to_owned() } else { f.nameservers.join(", ") };
    let what = if lost == [registry(cluster)] { "images cannot be pulled" } else { "peers are not found, or images cannot be pulled" };
    let unknown = Failure::failed(format!("it cannot resolve {}", lost.join(", ")))
        .seen(format!("getent ahosts; /etc/resolv.conf leads to {asked}"))
        .help(format!("{what}: mend DNS on the machine (resolvectl status, /etc/resolv.conf)"));
    found.warn("dns", &node.name, unknown);
}
