//! Volumes as directories of the node that uses them: local-path-provisioner and the default StorageClass.

use super::Entry;
use crate::cluster::Cluster;
use crate::error::Result;
use crate::secrets::Secrets;
use crate::template::{context, render};

/// Of what is published against this version, CVE-2025-62878 needs a StorageClass with a `pathPattern`, CVE-2026-44543 write
/// access to the provisioner's ConfigMap: ours has none, and only cluster administrators have the other.
const IMAGE: &str = "docker.io/rancher/local-path-provisioner:v0.0.30";
/// Makes and removes the directories.
const HELPER: &str = "docker.io/library/busybox:1.36";
/// Where volumes lie on every node.
const PATH: &str = "/var/lib/homectl/local-storage";

pub(super) const ENTRY: Entry = Entry { name: "local-storage", title: "volumes on the nodes' own disks", serving: None, render: yaml };

fn yaml(_: &Cluster, _: &Secrets) -> Result<String> {
    render("addons/local-storage/local-storage.yaml", context! { image => IMAGE, helper => HELPER, path => PATH })
}
