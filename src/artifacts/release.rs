//! Where upstream publishes each component, and the file with its sum.

use crate::cluster::{Arch, Component};

/// Upstream's URL of a component. `version` has its `v`.
#[must_use]
pub fn url(component: Component, version: &str, arch: Arch) -> String {
    format!("{}/{}", folder(component, version, arch), file(component, version, arch))
}

/// Upstream's URL of the file that has the sum of [`url()`], alone or among others.
#[must_use]
pub fn sums_url(component: Component, version: &str, arch: Arch) -> String {
    let folder = folder(component, version, arch);
    let file = file(component, version, arch);
    match component {
        Component::Etcd => format!("{folder}/SHA256SUMS"),
        Component::Containerd => format!("{folder}/{file}.sha256sum"),
        Component::Runc => format!("{folder}/runc.sha256sum"),
        Component::KubeRouter => format!("{folder}/checksums.txt"),
        _ => format!("{folder}/{file}.sha256"),
    }
}

fn folder(component: Component, version: &str, arch: Arch) -> String {
    let github = |project: &str| format!("https://github.com/{project}/releases/download/{version}");
    match component {
        Component::Etcd => github("etcd-io/etcd"),
        Component::Containerd => github("containerd/containerd"),
        Component::Runc => github("opencontainers/runc"),
        Component::CniPlugins => github("containernetworking/plugins"),
        Component::KubeRouter => github("cloudnativelabs/kube-router"),
        _ => format!("https://dl.k8s.io/release/{version}/bin/linux/{arch}"),
    }
}

/// The file's name, as its sum file lists it.
pub(super) fn file(component: Component, version: &str, arch: Arch) -> String {
    let bare = version.trim_start_matches('v');
    match component {
        Component::Etcd => format!("etcd-{version}-linux-{arch}.tar.gz"),
        Component::Containerd => format!("containerd-{bare}-linux-{arch}.tar.gz"),
        Component::Runc => format!("runc.{arch}"),
        Component::CniPlugins => format!("cni-plugins-linux-{arch}-{version}.tgz"),
        Component::KubeRouter => format!("kube-router_{bare}_linux_{arch}.tar.gz"),
        _ => component.as_str().to_owned(),
    }
}
