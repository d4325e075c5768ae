//! A small cluster for the tests of steps: `attic` (control plane), `cellar` and `garage` (workers) in one house.

use super::Ctx;
use crate::cluster::{Arch, Artifact, Cluster, Component, Machine, Node, Programs, Role};
use crate::facts::{Facts, WireGuard};
use crate::house;
use crate::secrets::{Authority, Pair, SecretText, Secrets, WireGuardKey};
use std::collections::BTreeMap;

pub(super) struct Fixture {
    pub(super) cluster: Cluster,
    pub(super) facts: BTreeMap<String, Facts>,
    pub(super) secrets: Secrets,
}

impl Fixture {
    /// One machine that is everything.
    pub(super) fn one() -> Self {
        Self::of(&[("attic", Role::ControlPlane)])
    }

    /// One control plane, two workers, stock Debian machines.
    pub(super) fn three() -> Self {
        Self::of(&[("attic", Role::ControlPlane), ("cellar", Role::Worker), ("garage", Role::Worker)])
    }

    /// Three control planes and a worker.
    pub(super) fn four() -> Self {
        use Role::{ControlPlane, Worker};
        Self::of(&[("attic", ControlPlane), ("cellar", ControlPlane), ("garage", ControlPlane), ("shed", Worker)])
    }

    fn of(names: &[(&str, Role)]) -> Self {
        let nodes: Vec<Node> = (1..).zip(names).map(|(number, (name, role))| house::node(number, name, *role)).collect();
        let secrets = secrets(&nodes);
        let mut cluster = house::cluster(nodes.clone());
        cluster.programs = programs();
        Self { facts: nodes.iter().map(|n| (n.name.clone(), facts(&n.name))).collect(), cluster, secrets }
    }

    /// What the steps of `name` are made from.
    pub(super) fn ctx(&self, name: &str) -> Ctx<'_> {
        let facts = &self.facts[name];
        Ctx {
            cluster: &self.cluster,
            node: self.cluster.node(name).expect("a node of the fixture"),
            facts,
            all: &self.facts,
            secrets: &self.secrets,
            os: crate::os::of(facts).expect("Debian"),
            now: 1_795_000_000,
        }
    }

    pub(super) fn machine_mut(&mut self, name: &str) -> &mut Machine {
        let node = self.cluster.nodes.iter_mut().find(|n| n.name == name).expect("a node of the fixture");
        &mut node.machine
    }
}

/// Sums that can be told apart: the component's place in the list, then the architecture's.
fn programs() -> Programs {
    let mut programs = Programs::default();
    for (i, component) in (1..).zip(Component::ALL) {
        programs.versions.insert(component, format!("v1.{i}.0"));
        for (j, arch) in (1..).zip(Arch::ALL) {
            let artifact = Artifact { url: format!("https://example.com/{component}-{arch}"), sha256: format!("{:064x}", i * 16 + j) };
            programs.artifacts.insert((component, arch), artifact);
        }
    }
    programs
}

/// A stock Debian 13 machine.
pub(super) fn facts(hostname: &str) -> Facts {
    Facts {
        os_id: "debian".into(),
        os_like: Vec::new(),
        os_version: "13".into(),
        os_name: "Debian GNU/Linux 13 (trixie)".into(),
        arch: Some(Arch::Amd64),
        machine: "x86_64".into(),
        userland: "amd64".into(),
        kernel: "6.12.0".into(),
        hostname: hostname.into(),
        machine_id: format!("{hostname:0>32}"),
        container: "none".into(),
        systemd_version: 252,
        systemd: true,
        cgroup_v2: true,
        memory_controller: true,
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
        foreign: Vec::new(),
        firewalls: Vec::new(),
        listening: std::collections::BTreeSet::new(),
        sysctls: BTreeMap::new(),
        locked_sysctls: std::collections::BTreeSet::new(),
        cluster: None,
        cluster_node: None,
        cluster_kubernetes: None,
        etcd_data: false,
        etcd_cluster_id: None,
        kubelet_serving: false,
        skew: 0,
        modules: true,
    }
}

/// A machine that is a container with few rights, cgroup v1, a loopback resolver and no kernel WireGuard.
pub(super) fn contained(hostname: &str) -> Facts {
    Facts {
        container: "lxc".into(),
        cgroup_v2: false,
        cap_sys_resource: false,
        conntrack_writable: false,
        wireguard: WireGuard::UserSpace,
        loopback_resolver: true,
        resolved: false,
        modules: false,
        ..facts(hostname)
    }
}

/// Texts that stand for keys and certificates: steps only carry them.
fn secrets(nodes: &[Node]) -> Secrets {
    let authority = |name: &str| Authority { cert: pem("CERTIFICATE", name), key: SecretText::new(pem("PRIVATE KEY", name)) };
    let pair = |owner: &str, name: &str| Pair {
        cert: pem("CERTIFICATE", &format!("{owner} {name}")),
        key: SecretText::new(pem("PRIVATE KEY", &format!("{owner} {name}"))),
    };
    let names = [
        "apiserver",
        "apiserver-kubelet-client",
        "apiserver-etcd-client",
        "front-proxy-client",
        "etcd-server",
        "etcd-peer",
        "etcd-healthcheck-client",
        "controller-manager",
        "scheduler",
        "admin",
        "approver",
        "kubelet",
    ];
    Secrets {
        cluster: "home".into(),
        cluster_ca: authority("cluster"),
        etcd_ca: authority("etcd"),
        front_proxy_ca: authority("front-proxy"),
        service_account: SecretText::new(pem("PRIVATE KEY", "service-account")),
        service_account_public: pem("PUBLIC KEY", "service-account"),
        encryption_key: SecretText::new("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".into()),
        wireguard: nodes.iter().map(|n| (n.name.clone(), wireguard(&n.name))).collect(),
        leaves: nodes.iter().flat_map(|n| names.iter().map(|name| ((n.name.clone(), (*name).to_owned()), pair(&n.name, name)))).collect(),
        etcd_cluster_id: None,
    }
}

fn wireguard(name: &str) -> WireGuardKey {
    WireGuardKey { private: SecretText::new(key(&format!("private {name}"))), public: key(&format!("public {name}")) }
}

/// 32 bytes in base64 that begin with `text`.
fn key(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(32, b'.');
    data_encoding::BASE64.encode(&bytes)
}

fn pem(label: &str, text: &str) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", data_encoding::BASE64.encode(text.as_bytes()))
}
