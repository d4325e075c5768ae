//! The types of the resolved cluster.

use super::program::Programs;
use ipnet::Ipv4Net;
use semver::Version;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
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
    /// Ordered by `needs` (stable), the implied ones (CoreDNS) included.
    pub addons: Vec<Addon>,
    /// What the lock pins.
    pub programs: Programs,
    /// Directory of the inventory file; relative paths in it start here.
    pub home: PathBuf,
    /// The etcd cluster ID (16 hex digits) once the cluster was bootstrapped; empty before.
    pub etcd_cluster_id: Option<String>,
}

/// Address ranges and who moves packets.
#[derive(Debug, Clone)]
pub struct Network {
    /// WireGuard addresses: node number N has host address N.
    pub overlay: Ipv4Net,
    /// One /24 a node.
    pub pods: Ipv4Net,
    /// Service addresses; `.1` is the API, `.10` is DNS.
    pub services: Ipv4Net,
    pub cni: PodNetwork,
    pub policy: Policy,
    /// DNS domain of the cluster, `cluster.local`.
    pub domain: String,
    /// MTU of the overlay and so of pods, in bytes.
    pub mtu: u16,
}

/// Who connects pods of different nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodNetwork {
    /// Routed over the WireGuard mesh, no daemon.
    WireGuard,
    /// Bring your own as an add-on.
    None,
}

/// Who enforces `NetworkPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// kube-router in firewall-only mode.
    KubeRouter,
    /// Nobody (or an add-on).
    None,
}

/// How the API is reached from outside.
#[derive(Debug, Clone)]
pub struct Api {
    /// Extra names and addresses in the serving certificate.
    pub names: Vec<String>,
    /// Whether 6443 answers on the LAN addresses of control planes.
    pub lan: bool,
}

/// Mirrors of one image registry.
#[derive(Debug, Clone)]
pub struct Registry {
    /// Upstream host as images name it, e.g. `registry.k8s.io`.
    pub host: String,
    /// Mirror base URLs, tried in order before upstream.
    pub mirrors: Vec<String>,
}

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    ControlPlane,
    Worker,
}

/// What becomes of the operating system's hostname.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostnamePolicy {
    /// Set to the node's name.
    Set,
    /// Left alone; the kubelet gets `--hostname-override`.
    Keep,
}

/// One machine.
#[derive(Debug, Clone)]
pub struct Node {
    /// Name in Kubernetes, RFC 1123 label.
    pub name: String,
    /// 1-based, permanent; overlay address and pod range follow from it.
    pub number: u16,
    pub role: Role,
    /// Whether a control plane runs ordinary pods too.
    pub workloads: bool,
    pub ssh: SshTarget,
    /// The WireGuard address, the node's identity.
    pub overlay: Ipv4Addr,
    /// The node's pod range.
    pub pods: Ipv4Net,
    /// `host:port` where peers find its WireGuard; empty when it is behind NAT without an endpoint of its own.
    pub endpoint: Option<String>,
    /// WireGuard's UDP port on the node.
    pub listen_port: u16,
    pub site: Option<String>,
    pub behind_nat: bool,
    /// Architecture said in the inventory, for offline plans; facts decide.
    pub arch: Option<super::Arch>,
    pub hostname: HostnamePolicy,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
}

impl Node {
    /// Whether etcd and the API run here.
    #[must_use]
    pub fn is_control_plane(&self) -> bool {
        self.role == Role::ControlPlane
    }
}

/// How a machine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    /// Host name or address (IPv4 or IPv6), no port.
    pub address: String,
    pub port: u16,
    pub user: String,
    /// Private keys to try, in order, `~` expanded.
    pub identities: Vec<PathBuf>,
    /// Pinned host key, `SHA256:…`.
    pub host_key: Option<String>,
    /// Jump host, `[user@]host[:port]`.
    pub jump: Option<String>,
    /// Whether `ssh -G` is asked.
    pub ssh_config: bool,
}

/// A Kubernetes taint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taint {
    pub key: String,
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
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
