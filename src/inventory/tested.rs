//! The sets of versions that were tested together: one line a Kubernetes version, newest first.

/// One Kubernetes version and what goes with it, as upstream's releases are called.
#[derive(Debug, Clone, Copy)]
pub struct Tested {
    pub kubernetes: &'static str,
    pub etcd: &'static str,
    pub containerd: &'static str,
    pub runc: &'static str,
    pub cni_plugins: &'static str,
    pub kube_router: &'static str,
}

/// What is supported.
pub const TESTED: [Tested; 2] = [
    Tested { kubernetes: "1.36.3", etcd: "v3.6.16", containerd: "v2.3.7", runc: "v1.4.3", cni_plugins: "v1.9.1", kube_router: "v2.11.1" },
    Tested { kubernetes: "1.35.4", etcd: "v3.6.16", containerd: "v2.3.7", runc: "v1.4.3", cni_plugins: "v1.9.1", kube_router: "v2.11.1" },
];

/// The versions of what comes with Kubernetes: the tested set, with the inventory's own wishes. With `v`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    pub etcd: String,
    pub containerd: String,
    pub runc: String,
    pub cni_plugins: String,
    pub kube_router: String,
}

impl From<&Tested> for Versions {
    fn from(t: &Tested) -> Self {
        Self {
            etcd: t.etcd.to_owned(),
            containerd: t.containerd.to_owned(),
            runc: t.runc.to_owned(),
            cni_plugins: t.cni_plugins.to_owned(),
            kube_router: t.kube_router.to_owned(),
        }
    }
}
