//! Clusters of one and three machines, with real certificates.

use crate::pki::{authority, now};
use homectl::cluster::{
    Addon, AddonSource, Api, Cluster, HostnamePolicy, Network, Node, PodNetwork, Policy, Programs, Role, SshTarget, nth,
};
use homectl::pki::{CLUSTER, ServiceAccountKey, issue, leaves};
use homectl::secrets::{SecretText, Secrets};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One control plane and, with `names` beyond the first, workers; the whole catalogue.
pub(crate) fn cluster(names: &[&str]) -> Cluster {
    let nodes = (1..).zip(names).map(|(number, name)| node(number, name, if number == 1 { Role::ControlPlane } else { Role::Worker }));
    Cluster {
        name: "home".into(),
        kubernetes: semver::Version::new(1, 36, 3),
        network: Network {
            overlay: "10.77.0.0/24".parse().unwrap(),
            pods: "10.78.0.0/16".parse().unwrap(),
            services: "10.79.0.0/16".parse().unwrap(),
            cni: PodNetwork::WireGuard,
            policy: Policy::KubeRouter,
            domain: "cluster.local".into(),
            mtu: 1420,
        },
        api: Api { names: Vec::new(), lan: true },
        registries: Vec::new(),
        nodes: nodes.collect(),
        addons: ["coredns", "local-storage", "metrics-server"].map(catalogue).into(),
        programs: Programs::default(),
        home: PathBuf::from("/home/user"),
        etcd_cluster_id: None,
    }
}

pub(crate) fn node(number: u16, name: &str, role: Role) -> Node {
    Node {
        name: name.into(),
        number,
        role,
        workloads: true,
        ssh: SshTarget {
            address: format!("192.168.1.{}", 10 + number),
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

pub(crate) fn catalogue(name: &str) -> Addon {
    Addon { name: name.into(), needs: Vec::new(), source: AddonSource::Catalogue }
}

/// An add-on of the user's own, of one file.
pub(crate) fn own(name: &str, text: &str) -> Addon {
    let file = (PathBuf::from(format!("/home/user/{name}/all.yaml")), text.to_owned());
    Addon { name: name.into(), needs: Vec::new(), source: AddonSource::Manifests(vec![file]) }
}

/// Secrets with the leaves that add-ons and their client use.
pub(crate) fn secrets() -> Secrets {
    let cluster_ca = authority("kubernetes");
    let own = leaves(&cluster(&[])).into_iter().filter(|l| l.owner == CLUSTER);
    let pairs = own.map(|l| ((l.owner, l.name.to_owned()), issue(&cluster_ca, &l.spec, now()).unwrap())).collect();
    let service_account = ServiceAccountKey::generate().unwrap();
    Secrets {
        cluster: "home".into(),
        etcd_ca: authority("etcd"),
        front_proxy_ca: authority("front-proxy"),
        service_account: service_account.private,
        service_account_public: service_account.public,
        encryption_key: SecretText::new(String::new()),
        wireguard: BTreeMap::new(),
        leaves: pairs,
        etcd_cluster_id: None,
        cluster_ca,
    }
}
