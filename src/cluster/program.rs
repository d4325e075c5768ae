//! The programs a cluster is made of, and where the lock says they come from.

use crate::inventory::{Arch, Inventory};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Everything that is downloaded as one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    KubeApiserver,
    KubeControllerManager,
    KubeScheduler,
    Kubelet,
    KubeProxy,
    Kubectl,
    Etcd,
    Containerd,
    Runc,
    CniPlugins,
    KubeRouter,
}

impl Component {
    /// All of them, in the order of the lock.
    pub const ALL: [Self; 11] = [
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubelet,
        Self::KubeProxy,
        Self::Kubectl,
        Self::Etcd,
        Self::Containerd,
        Self::Runc,
        Self::CniPlugins,
        Self::KubeRouter,
    ];

    /// As in the lock and in upstream's file names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::Kubectl => "kubectl",
            Self::Etcd => "etcd",
            Self::Containerd => "containerd",
            Self::Runc => "runc",
            Self::CniPlugins => "cni-plugins",
            Self::KubeRouter => "kube-router",
        }
    }

    /// Whether it is part of a control plane's own services: what they have written, older ones may not read.
    #[must_use]
    pub fn is_server(self) -> bool {
        matches!(self, Self::KubeApiserver | Self::KubeControllerManager | Self::KubeScheduler | Self::Kubectl | Self::Etcd)
    }

    /// Its version in a cluster of this inventory, `v` included.
    #[must_use]
    pub fn version(self, inventory: &Inventory) -> String {
        let versions = &inventory.versions;
        match self {
            Self::Etcd => versions.etcd.clone(),
            Self::Containerd => versions.containerd.clone(),
            Self::Runc => versions.runc.clone(),
            Self::CniPlugins => versions.cni_plugins.clone(),
            Self::KubeRouter => versions.kube_router.clone(),
            _ => format!("v{}", inventory.kubernetes),
        }
    }

    /// The programs taken out of it: (path inside the archive, or empty for a bare program; name in the store).
    /// An archive may hold more; nothing else is unpacked.
    #[must_use]
    pub fn members(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::KubeApiserver => &[("", "kube-apiserver")],
            Self::KubeControllerManager => &[("", "kube-controller-manager")],
            Self::KubeScheduler => &[("", "kube-scheduler")],
            Self::Kubelet => &[("", "kubelet")],
            Self::KubeProxy => &[("", "kube-proxy")],
            Self::Kubectl => &[("", "kubectl")],
            // etcd's archive has one top folder named for version and architecture: matched by its last part.
            Self::Etcd => &[("*/etcd", "etcd"), ("*/etcdctl", "etcdctl"), ("*/etcdutl", "etcdutl")],
            Self::Containerd => {
                &[("bin/containerd", "containerd"), ("bin/containerd-shim-runc-v2", "containerd-shim-runc-v2"), ("bin/ctr", "ctr")]
            }
            Self::Runc => &[("", "runc")],
            Self::CniPlugins => &[("bridge", "bridge"), ("host-local", "host-local"), ("loopback", "loopback"), ("portmap", "portmap")],
            Self::KubeRouter => &[("kube-router", "kube-router")],
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One downloadable file, as pinned in the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Upstream's https URL; a mirror is looked up by it.
    pub url: String,
    /// Lower-case hex of the file's sha256.
    pub sha256: String,
}

/// The tested set: versions, and one artifact for each component and architecture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs {
    /// Version of each component, `v` included as upstream writes it.
    pub versions: BTreeMap<Component, String>,
    pub artifacts: BTreeMap<(Component, Arch), Artifact>,
}

impl Programs {
    /// The artifact of a component for an architecture, if the lock has it.
    #[must_use]
    pub fn get(&self, component: Component, arch: Arch) -> Option<&Artifact> {
        self.artifacts.get(&(component, arch))
    }

    /// What is noted on a machine once its kubelet and company of these have come up there: the version of each.
    #[must_use]
    pub fn noted(&self) -> BTreeMap<Component, String> {
        self.versions.iter().filter(|(c, _)| !c.is_server()).map(|(c, v)| (*c, v.clone())).collect()
    }
}
