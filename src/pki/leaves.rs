//! The leaves of a cluster: who holds which, and what it says. Names and subjects are kubeadm's where it has them.

use super::{Ca, LeafSpec, Usage};
use crate::cluster::{Cluster, Node};
use std::net::{IpAddr, Ipv4Addr};

/// The owner of leaves that belong to no single node.
pub const CLUSTER: &str = "cluster";

/// Names of leaves.
pub mod name {
    pub const APISERVER: &str = "apiserver";
    pub const APISERVER_KUBELET_CLIENT: &str = "apiserver-kubelet-client";
    pub const APISERVER_ETCD_CLIENT: &str = "apiserver-etcd-client";
    pub const FRONT_PROXY_CLIENT: &str = "front-proxy-client";
    pub const ETCD_SERVER: &str = "etcd-server";
    pub const ETCD_PEER: &str = "etcd-peer";
    pub const ETCD_HEALTHCHECK_CLIENT: &str = "etcd-healthcheck-client";
    pub const CONTROLLER_MANAGER: &str = "controller-manager";
    pub const SCHEDULER: &str = "scheduler";
    /// The root-only `admin.conf` on control planes.
    pub const ADMIN: &str = "admin";
    /// The approver of kubelets' serving certificates.
    pub const APPROVER: &str = "approver";
    /// Every node's own client certificate, which the kubelet rotates afterwards.
    pub const KUBELET: &str = "kubelet";
    /// The operator's, for `homectl kubeconfig`. Its rights are bound to the group `homectl:operators` and can be taken away.
    pub const OPERATOR: &str = "operator";
    pub const METRICS_SERVER: &str = "metrics-server";
}

/// A leaf, its holder and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedLeaf {
    /// A node's name, or [`CLUSTER`].
    pub owner: String,
    /// One of [`name`].
    pub name: &'static str,
    pub spec: LeafSpec,
}

/// Everything that the authorities sign for `cluster`: nodes by number, the cluster's own last.
#[must_use]
pub fn leaves(cluster: &Cluster) -> Vec<NamedLeaf> {
    let mut all = Vec::new();
    for node in &cluster.nodes {
        let mut specs = if node.is_control_plane() { control_plane(cluster, node) } else { Vec::new() };
        specs.push((name::KUBELET, client(Ca::Cluster, &format!("system:node:{}", node.name), Some("system:nodes"))));
        all.extend(specs.into_iter().map(|(name, spec)| NamedLeaf { owner: node.name.clone(), name, spec }));
    }
    let own = [
        (name::OPERATOR, client(Ca::Cluster, "homectl-operator", Some("homectl:operators"))),
        (name::METRICS_SERVER, metrics_server(cluster)),
    ];
    all.extend(own.into_iter().map(|(name, spec)| NamedLeaf { owner: CLUSTER.to_owned(), name, spec }));
    all
}

/// homectl's own client for one run: the first objects that it applies are those that give anybody else a right.
#[must_use]
pub fn visitor() -> LeafSpec {
    client(Ca::Cluster, "homectl", Some("system:masters"))
}

fn control_plane(cluster: &Cluster, node: &Node) -> Vec<(&'static str, LeafSpec)> {
    vec![
        (name::APISERVER, apiserver(cluster, node)),
        // Not `system:masters`, as kubeadm's was: what it may do is bound to this group.
        (name::APISERVER_KUBELET_CLIENT, client(Ca::Cluster, "kube-apiserver-kubelet-client", Some("homectl:kubelet-api-admin"))),
        (name::APISERVER_ETCD_CLIENT, client(Ca::Etcd, "kube-apiserver-etcd-client", None)),
        (name::FRONT_PROXY_CLIENT, client(Ca::FrontProxy, "front-proxy-client", None)),
        (name::ETCD_SERVER, etcd(node)),
        (name::ETCD_PEER, etcd(node)),
        (name::ETCD_HEALTHCHECK_CLIENT, client(Ca::Etcd, "kube-etcd-healthcheck-client", None)),
        (name::CONTROLLER_MANAGER, client(Ca::Cluster, "system:kube-controller-manager", None)),
        (name::SCHEDULER, client(Ca::Cluster, "system:kube-scheduler", None)),
        // Bootstrapping RBAC needs one credential that RBAC does not govern; this one never leaves root's hands.
        (name::ADMIN, client(Ca::Cluster, "kubernetes-admin", Some("system:masters"))),
        (name::APPROVER, client(Ca::Cluster, "homectl:csr-approver", None)),
    ]
}

/// LAN addresses are not in it: kubeconfigs that use one say `tls-server-name: kubernetes`.
fn apiserver(cluster: &Cluster, node: &Node) -> LeafSpec {
    let mut dns: Vec<String> = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(str::to_owned).into();
    dns.extend([format!("kubernetes.default.svc.{}", cluster.network.domain), "localhost".into(), node.name.clone()]);
    let mut ips = vec![cluster.api_service().into(), Ipv4Addr::LOCALHOST.into(), node.overlay.into()];
    for name in &cluster.api.names {
        match name.parse::<IpAddr>() {
            Ok(addr) => ips.push(addr),
            Err(_) => dns.push(name.to_ascii_lowercase()),
        }
    }
    server(Ca::Cluster, "kube-apiserver", Usage::Server, dns, ips)
}

/// Server and peer alike: a server is its own client for health and gateway, a peer dials peers.
fn etcd(node: &Node) -> LeafSpec {
    let dns = vec!["localhost".into(), node.name.clone()];
    server(Ca::Etcd, &node.name, Usage::Both, dns, vec![Ipv4Addr::LOCALHOST.into(), node.overlay.into()])
}

fn metrics_server(cluster: &Cluster) -> LeafSpec {
    let name = "metrics-server.kube-system.svc";
    let dns = vec![name.to_owned(), format!("{name}.{}", cluster.network.domain)];
    server(Ca::Cluster, name, Usage::Server, dns, Vec::new())
}

fn client(ca: Ca, common_name: &str, organization: Option<&str>) -> LeafSpec {
    let organizations = organization.map(str::to_owned).into_iter().collect();
    LeafSpec { ca, common_name: common_name.to_owned(), organizations, dns: Vec::new(), ips: Vec::new(), usage: Usage::Client }
}

/// Each name once, in the order given.
fn server(ca: Ca, common_name: &str, usage: Usage, dns: Vec<String>, ips: Vec<IpAddr>) -> LeafSpec {
    LeafSpec { ca, common_name: common_name.to_owned(), organizations: Vec::new(), dns: once(dns), ips: once(ips), usage }
}

fn once<T: PartialEq>(items: Vec<T>) -> Vec<T> {
    items.into_iter().fold(Vec::new(), |mut kept, item| {
        if !kept.contains(&item) {
            kept.push(item);
        }
        kept
    })
}
