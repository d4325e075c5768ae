//! The facts of one host.

use super::members::Member;
use crate::cluster::Arch;
use semver::Version;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Which WireGuard the host can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireGuard {
    Kernel,
    /// `wireguard-go`, where the kernel has none.
    UserSpace,
}

/// Something of somebody else's that homectl would collide with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// `k3s`, `docker`, `kubelet`, …
    pub what: String,
    /// What showed it: a unit, a process, a port.
    pub evidence: String,
}

/// What is true of a host.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `ID` of os-release (`debian`, `ubuntu`, …).
    pub os_id: String,
    /// `ID_LIKE` of os-release, split.
    pub os_like: Vec<String>,
    /// `VERSION_ID` of os-release.
    pub os_version: String,
    /// `PRETTY_NAME` of os-release.
    pub os_name: String,
    pub arch: Option<Arch>,
    /// `uname -m`.
    pub machine: String,
    /// Architecture of the installed programs as the package manager says it; empty where it says nothing.
    pub userland: String,
    /// `uname -r`.
    pub kernel: String,
    pub hostname: String,
    pub machine_id: String,
    /// Output of `systemd-detect-virt --container`: `none`, `lxc`, `docker`, …
    pub container: String,
    /// systemd's version; 0 where it is not there.
    pub systemd_version: u32,
    /// Whether systemd is PID 1.
    pub systemd: bool,
    /// `true`: unified hierarchy (v2).
    pub cgroup_v2: bool,
    /// Whether the memory controller is on.
    pub memory_controller: bool,
    /// The file with the kernel's command line, where the firmware keeps it in one (Raspberry Pi).
    pub boot_cmdline: Option<String>,
    /// Whether root has `CAP_SYS_RESOURCE` (containers may lack it).
    pub cap_sys_resource: bool,
    /// Whether `/proc/sys/net/netfilter` can be written.
    pub conntrack_writable: bool,
    pub wireguard: WireGuard,
    /// Name servers of resolv.conf that are no loopback addresses, real upstreams of systemd-resolved included.
    pub nameservers: Vec<String>,
    /// Whether `/etc/resolv.conf` names a loopback resolver.
    pub loopback_resolver: bool,
    /// Whether systemd-resolved keeps a file with its real upstreams (`/run/systemd/resolve/resolv.conf`).
    pub resolved: bool,
    /// Search domains of resolv.conf.
    pub search: Vec<String>,
    pub has_etc_hosts: bool,
    /// Whether swap is on.
    pub swap: bool,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// Free KiB by mount-covering path (`/opt`, `/var/lib`, `/etc`, `/tmp`).
    pub free_kib: BTreeMap<String, u64>,
    /// Global IPv4 addresses, `interface → address`, homectl's own interfaces left out.
    pub addresses: Vec<(String, String)>,
    /// The address it has in an overlay of ours, where that is up.
    pub overlay: Option<Ipv4Addr>,
    pub foreign: Vec<Foreign>,
    /// Host firewalls that are active (`ufw`, `firewalld`).
    pub firewalls: Vec<String>,
    /// TCP ports that somebody listens on.
    pub listening: BTreeSet<u16>,
    /// Values of the host's settings that a kubelet cares about, by dotted key.
    pub sysctls: BTreeMap<String, String>,
    /// Those of the settings we care about that root cannot write here (they belong to a container's host), by dotted key.
    pub locked_sysctls: BTreeSet<String>,
    /// Name of the homectl cluster recorded on the machine, if any.
    pub cluster: Option<String>,
    /// Whether there is nothing in /etc/homectl: what a reset leaves that was cut in its last moment.
    pub bare: bool,
    /// sha256, lower-case hex, of each certificate of the cluster's authority that the machine trusts.
    pub authorities: Vec<String>,
    /// The same of the one that signs, on a control plane.
    pub signer: Option<String>,
    /// Numbers and sha256 (lower-case hex) of the keys of encryption at rest, on a control plane; the one that is written with first.
    pub encryption: Vec<(u32, String)>,
    /// The node's name recorded with it.
    pub cluster_node: Option<String>,
    /// Version of each program of its kubelet's company that came up there last, as homectl noted it.
    pub came_up: BTreeMap<String, String>,
    /// Versions that linked programs told of themselves, by name; asked only where the lock does not know one by its sum.
    pub versions: BTreeMap<String, Version>,
    /// Which kubelet, API server and etcd are linked, by name: the sum of the artifact that they came in.
    pub programs: BTreeMap<String, String>,
    /// What the linked etcd says that it is, `3.6.16`.
    pub etcd_version: Option<String>,
    /// Whether `/var/lib/etcd` holds a member's data.
    pub etcd_data: bool,
    /// Where a restore that was cut has left the member's data, the old or the new, while nothing is in its place: then the machine
    /// has data all the same.
    pub etcd_aside: Option<String>,
    /// The etcd cluster ID recorded on the machine.
    pub etcd_cluster_id: Option<String>,
    /// What that cluster was restored from, where it was.
    pub etcd_origin: Option<Origin>,
    /// Names of its peers in the overlay, as it was last told.
    pub peers: BTreeSet<String>,
    /// Members of its etcd cluster, or what it said instead; asked of one control plane, and only where somebody joins or leaves.
    pub members: Option<Result<Vec<Member>, String>>,
    /// Key ids (`AB:CD:…`) that the kubelet's serving certificate names: its authority's, and maybe its own. Empty where it has none, or
    /// it has run out.
    pub serving: Vec<String>,
    /// Seconds that the machine's clock is ahead of ours, as its reply came.
    pub skew: i64,
    /// Kernel lets modules be loaded (`/proc/modules` exists).
    pub modules: bool,
}

/// What a restore notes of itself on each machine that it makes a member of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The ID of the etcd cluster that came out, 16 hex digits.
    pub id: String,
    /// Where that cluster went on from.
    pub revision: u64,
    /// The ID of the cluster before, where it was known.
    pub before: Option<String>,
    /// What was restored, for people.
    pub title: String,
}

impl Facts {
    /// Whether the machine is one of the cluster of this name.
    #[must_use]
    pub fn is_of(&self, cluster: &str) -> bool {
        self.cluster.as_deref() == Some(cluster)
    }

    /// A machine that lost the record of whose it is, is known by the authority that it trusts: one of this cluster's, by its
    /// certificate's sha256. Else its own services would look like somebody else's.
    pub fn recognise(&mut self, cluster: &str, authorities: &[String]) {
        if self.cluster.is_none() && self.authorities.iter().any(|one| authorities.contains(one)) {
            self.cluster = Some(cluster.to_owned());
            self.foreign.retain(|foreign| !LINKS.contains(&foreign.what.as_str()));
        }
    }
}

/// Links of the names that ours have; asked for where no record is.
const LINKS: [&str; 2] = ["wg0", "cni0"];
