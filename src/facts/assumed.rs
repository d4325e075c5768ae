//! Facts of a machine that nobody asked: a stock Debian of the newest supported release, on hardware of its own.

use super::{Facts, WireGuard};
use crate::cluster::Arch;
use std::collections::{BTreeMap, BTreeSet};

impl Facts {
    /// What is assumed of a new machine where plans are made without any.
    #[must_use]
    pub fn assumed(hostname: &str, arch: Arch) -> Self {
        Self {
            os_id: "debian".into(),
            os_like: Vec::new(),
            os_version: "13".into(),
            os_name: "Debian GNU/Linux 13 (trixie)".into(),
            arch: Some(arch),
            machine: match arch {
                Arch::Amd64 => "x86_64".into(),
                Arch::Arm64 => "aarch64".into(),
            },
            userland: arch.to_string(),
            kernel: "6.12.0".into(),
            hostname: hostname.into(),
            machine_id: format!("{hostname:0>32}"),
            container: "none".into(),
            systemd_version: 257,
            systemd: true,
            cgroup_v2: true,
            memory_controller: true,
            boot_cmdline: None,
            cap_sys_resource: true,
            conntrack_writable: true,
            wireguard: WireGuard::Kernel,
            nameservers: vec!["192.168.1.1".into()],
            loopback_resolver: false,
            resolved: false,
            search: Vec::new(),
            has_etc_hosts: true,
            swap: false,
            memory_kib: 8 << 20,
            free_kib: BTreeMap::new(),
            addresses: Vec::new(),
            overlay: None,
            foreign: Vec::new(),
            firewalls: Vec::new(),
            listening: BTreeSet::new(),
            sysctls: BTreeMap::new(),
            locked_sysctls: BTreeSet::new(),
            cluster: None,
            bare: false,
            authorities: Vec::new(),
            signer: None,
            encryption: Vec::new(),
            cluster_node: None,
            came_up: BTreeMap::new(),
            versions: BTreeMap::new(),
            programs: BTreeMap::new(),
            etcd_version: None,
            etcd_data: false,
            etcd_aside: None,
            etcd_cluster_id: None,
            etcd_origin: None,
            peers: BTreeSet::new(),
            members: None,
            serving: Vec::new(),
            skew: 0,
            modules: true,
        }
    }
}
