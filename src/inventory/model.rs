//! What an inventory says, checked, defaults filled in; places in the file are forgotten.

use super::destination::Destination;
use super::problem::Problem;
use super::tested::Versions;
use crate::error::{Failure, Result, exit};
use ipnet::Ipv4Net;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use url::Url;

/// Where WireGuard listens unless told otherwise.
pub(super) const LISTEN_PORT: u16 = 51820;
/// 1500 less WireGuard over IPv6 (80). It also fits DSL's 1492 over IPv4 (60); a second site behind DS-Lite or DSL with IPv6 wants 1380.
pub(super) const DEFAULT_MTU: u16 = 1420;
/// From IPv6's least to jumbo frames less the overhead.
pub(super) const MTU: RangeInclusive<u16> = 1280..=8920;

/// One inventory.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// The file, as it was named.
    pub path: PathBuf,
    /// Its directory; relative paths in it start here.
    pub home: PathBuf,
    /// The cluster's name, an RFC 1123 label.
    pub name: String,
    pub kubernetes: Version,
    pub versions: Versions,
    pub network: Network,
    pub api: Api,
    /// Where downloads are looked up instead of upstream; no slash at the end of its path.
    pub mirror: Option<Url>,
    /// By host.
    pub registries: Vec<Registry>,
    pub backups: Backups,
    /// In the order of the file.
    pub nodes: Vec<Machine>,
    /// In the order of the file.
    pub addons: Vec<AddonEntry>,
    pub(super) warnings: Vec<Problem>,
}

impl Inventory {
    /// What is legal but probably not meant, in the order of the file.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The largest node number that the overlay and the pods range have room for.
    #[must_use]
    pub fn capacity(&self) -> u16 {
        self.network.capacity()
    }

    /// The machine called `name`; where there is none, that is said as `what`, and which ones there are.
    ///
    /// # Errors
    /// Wrong usage: there is no such machine.
    pub fn machine(&self, name: &str, what: impl Into<String>) -> Result<&Machine> {
        let found = self.nodes.iter().find(|m| m.name == name);
        found.ok_or_else(|| stranger(what, self.nodes.iter().map(|m| m.name.as_str())))
    }
}

/// What is said (`what`) where somebody names a node that is none, and which ones there are (`names`).
#[must_use]
pub fn stranger<'a>(what: impl Into<String>, names: impl Iterator<Item = &'a str>) -> Failure {
    Failure::new(exit::USAGE, what).help(format!("the nodes are {}", names.collect::<Vec<_>>().join(", ")))
}

/// Where `homectl backup` keeps copies unless told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backups {
    /// In the order of the file; a path of this computer is one that works from any folder, as far as the inventory's own does.
    pub to: Vec<Destination>,
    /// How many of them stay in each place; all where nothing is said.
    pub keep: Option<usize>,
}

/// Address ranges and who moves packets.
#[derive(Debug, Clone, PartialEq, Eq)]
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

impl Network {
    /// Node numbers go from 1 to this: overlay host addresses without network and broadcast, /24s of pods without the first.
    #[must_use]
    pub fn capacity(&self) -> u16 {
        overlay_capacity(self.overlay).min(pods_capacity(self.pods))
    }
}

pub(super) fn overlay_capacity(net: Ipv4Net) -> u16 {
    capped((1_u64 << (32 - net.prefix_len())).saturating_sub(2))
}

pub(super) fn pods_capacity(net: Ipv4Net) -> u16 {
    let ranges = if net.prefix_len() > 24 { 0 } else { 1_u64 << (24 - net.prefix_len()) };
    capped(ranges.saturating_sub(1))
}

fn capped(n: u64) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Extra names and addresses in the serving certificate.
    pub names: Vec<String>,
    /// Whether 6443 answers on the LAN addresses of control planes.
    pub lan: bool,
}

/// Mirrors of one image registry.
#[derive(Debug, Clone, PartialEq, Eq)]
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

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ControlPlane => "control-plane",
            Self::Worker => "worker",
        })
    }
}

/// What becomes of the operating system's hostname.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostnamePolicy {
    /// Set to the node's name.
    Set,
    /// Left alone; the kubelet gets `--hostname-override`.
    Keep,
}

/// Machine architectures with upstream releases of everything we install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    Amd64,
    Arm64,
}

impl Arch {
    /// Every architecture that a lock covers.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// From `uname -m`.
    #[must_use]
    pub fn from_uname(machine: &str) -> Option<Self> {
        match machine {
            "x86_64" | "amd64" => Some(Self::Amd64),
            "aarch64" | "arm64" => Some(Self::Arm64),
            _ => None,
        }
    }

    /// As upstream's download paths spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One machine as the inventory describes it.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Name in Kubernetes, RFC 1123 label.
    pub name: String,
    pub role: Role,
    /// Whether a control plane runs ordinary pods too.
    pub workloads: bool,
    pub ssh: SshTarget,
    /// `host:port` where peers of other sites find its WireGuard; its address with `listen_port` where nothing was said
    /// and it is not behind NAT.
    pub endpoint: Option<String>,
    /// WireGuard's UDP port on the node.
    pub listen_port: u16,
    pub site: Option<String>,
    pub behind_nat: bool,
    /// For offline plans; facts decide.
    pub arch: Option<Arch>,
    pub hostname: HostnamePolicy,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
}

/// How a machine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    /// Host name or address (IPv4 or IPv6), no port, no brackets.
    pub address: String,
    pub port: u16,
    /// Empty: whom ssh's configuration names.
    pub user: String,
    /// Private keys to try, in order, `~` expanded. Empty: the agent, then the usual files.
    pub identities: Vec<PathBuf>,
    /// Pinned host key, `SHA256:…`.
    pub host_key: Option<String>,
    /// Jump host, `[user@]host[:port]`.
    pub jump: Option<String>,
    /// Whether `ssh -G` is asked.
    pub ssh_config: bool,
}

impl SshTarget {
    /// `host:port` with brackets around an IPv6 address.
    #[must_use]
    pub fn with_port(&self, port: u16) -> String {
        if self.address.contains(':') { format!("[{}]:{port}", self.address) } else { format!("{}:{port}", self.address) }
    }

    /// The address, where it is a number and not a name.
    #[must_use]
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        self.address.parse().ok()
    }
}

/// A Kubernetes taint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taint {
    pub key: String,
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// One `[[addon]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddonEntry {
    pub name: String,
    pub needs: Vec<String>,
    /// Patterns relative to the inventory, each of which matched a file when it was read; empty for one of the catalogue.
    pub manifests: Vec<String>,
}

/// `~/x` → the operator's home; other relative paths start at the inventory.
pub(super) fn home_path(path: &str, home: &Path) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => etcetera::home_dir().map_or_else(|_| PathBuf::from(path), |h| h.join(rest)),
        None => home.join(path),
    }
}
