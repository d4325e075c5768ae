//! What tests of certificates need: a small cluster, and other people's tools.

use crate::cluster::{Api, Cluster, HostnamePolicy, Network, Node, PodNetwork, Policy, Programs, Role, SshTarget, nth};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

/// 2026-11-21T00:00:00Z.
pub(crate) const NOW: i64 = 1_795_219_200;
pub(crate) const DAY: i64 = 24 * 60 * 60;

/// A control plane `attic` (number 1) and a worker `cellar` (number 2).
pub(crate) fn cluster() -> Cluster {
    Cluster {
        name: "home".into(),
        kubernetes: "1.36.3".parse().unwrap(),
        network: Network {
            overlay: "10.77.0.0/24".parse().unwrap(),
            pods: "10.78.0.0/16".parse().unwrap(),
            services: "10.79.0.0/16".parse().unwrap(),
            cni: PodNetwork::WireGuard,
            policy: Policy::KubeRouter,
            domain: "cluster.local".into(),
            mtu: 1420,
        },
        api: Api { names: vec!["k8s.home.lan".into(), "203.0.113.7".into()], lan: true },
        registries: Vec::new(),
        nodes: vec![node("attic", 1, Role::ControlPlane), node("cellar", 2, Role::Worker)],
        addons: Vec::new(),
        programs: Programs::default(),
        home: "/nowhere".into(),
        etcd_cluster_id: None,
    }
}

pub(crate) fn node(name: &str, number: u16, role: Role) -> Node {
    Node {
        name: name.into(),
        number,
        role,
        workloads: true,
        ssh: SshTarget {
            address: format!("192.168.1.{number}"),
            port: 22,
            user: "pi".into(),
            identities: Vec::new(),
            host_key: None,
            jump: None,
            ssh_config: false,
        },
        overlay: nth("10.77.0.0/24".parse().unwrap(), number.into()),
        pods: format!("10.78.{number}.0/24").parse().unwrap(),
        endpoint: None,
        listen_port: 51820,
        site: None,
        behind_nat: false,
        arch: None,
        hostname: HostnamePolicy::Set,
        labels: BTreeMap::new(),
        taints: Vec::new(),
    }
}

/// Runs a program on `input`: its output, or what it said against it; `None` where the machine has no such program.
pub(crate) fn run(program: &str, args: &[&str], input: &str) -> Option<Result<String, String>> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
        Err(e) => panic!("{program}: {e}"),
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stdout) + &text(&output.stderr)) })
}
