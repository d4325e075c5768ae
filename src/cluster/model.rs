//! The types of the resolved cluster.

use super::program::Programs;
use crate::error::Failure;
use crate::inventory::{self, Api, Machine, Network, Registry, Role};
use ipnet::Ipv4Net;
use semver::Version;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;
use std::path::PathBuf;

/// One cluster, resolved. Nodes are ordered by their number, so the order of the inventory never matters.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// RFC 1123 label.
    pub name: String,
    /// Kubernetes, one full version.
    pub kubernetes: Version,
    pub network: Network,
    pub api: Api,
    /// Registry mirrors by upstream host, as containerd wants them.
    pub registries: Vec<Registry>,
    /// By number.
    pub nodes: Vec<Node>,
    /// Ordered by `needs` (stable), the implied `coredns` included.
    pub addons: Vec<Addon>,
    /// What the lock pins.
    pub programs: Programs,
    /// Directory of the inventory file; relative paths in it start here.
    pub home: PathBuf,
    /// The etcd cluster ID (16 hex digits) once the cluster was bootstrapped; empty before.
    pub etcd_cluster_id: Option<String>,
}

/// One machine of the inventory (its fields are read as the node's own) and what the lock gave it.
#[derive(Debug, Clone)]
pub struct Node {
    /// As the inventory describes it. Whom to dial from where is [`Node::endpoint_from`].
    pub machine: Machine,
    /// 1-based, permanent; overlay address and pod range follow from it.
    pub number: u16,
    /// The WireGuard address, the node's identity.
    pub overlay: Ipv4Addr,
    /// The node's pod range.
    pub pods: Ipv4Net,
}

impl Deref for Node {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Node {
    /// Whether etcd and the API run here.
    #[must_use]
    pub fn is_control_plane(&self) -> bool {
        self.role == Role::ControlPlane
    }

    /// `host:port` at which `other` finds this node's WireGuard: within a site its own address, whatever the router says;
    /// from another site its endpoint. Empty: it has to dial `other`.
    #[must_use]
    pub fn endpoint_from(&self, other: &Self) -> Option<String> {
        // An SSH forward on the operator's machine is nobody else's address.
        let forwarded = self.ssh.address == "localhost" || self.ssh.address.parse::<IpAddr>().is_ok_and(|a| a.is_loopback());
        if self.site == other.site && !forwarded { Some(self.ssh.with_port(self.listen_port)) } else { self.endpoint.clone() }
    }
}

/// One add-on, from the catalogue or of the user's own.
#[derive(Debug, Clone)]
pub struct Addon {
    pub name: String,
    pub needs: Vec<String>,
    pub source: AddonSource,
}

/// Where an add-on's objects come from.
#[derive(Debug, Clone)]
pub enum AddonSource {
    /// The catalogue entry of the same name.
    Catalogue,
    /// Files of the user's (globs already expanded, in order), each with its text.
    Manifests(Vec<(PathBuf, String)>),
}

impl Cluster {
    /// Nodes that run etcd and the API, by number.
    pub fn control_planes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|n| n.is_control_plane())
    }

    /// The node called `name`.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.name == name)
    }

    /// The nodes' names, for people: `attic, barn`.
    #[must_use]
    pub fn names(&self) -> String {
        self.nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// What is said (`what`) where somebody names a node that is none, and which ones there are.
    #[must_use]
    pub fn stranger(&self, what: impl Into<String>) -> Failure {
        inventory::stranger(what, self.nodes.iter().map(|n| n.name.as_str()))
    }

    /// The API's address inside the cluster: the first of the services range.
    #[must_use]
    pub fn api_service(&self) -> Ipv4Addr {
        nth(self.network.services, 1)
    }

    /// The DNS service's address: the tenth of the services range.
    #[must_use]
    pub fn dns_service(&self) -> Ipv4Addr {
        nth(self.network.services, 10)
    }

    /// Where kubelets and other programs on a node reach the API: the local proxy.
    #[must_use]
    pub fn local_api(&self) -> &'static str {
        "https://127.0.0.1:7443"
    }
}

/// The `n`th address of a range; ranges are checked to be large enough.
#[must_use]
pub fn nth(net: Ipv4Net, n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(net.network()).wrapping_add(n))
}
