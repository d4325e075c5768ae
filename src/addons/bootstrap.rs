//! What has to be in the API before anything else works: rights of nodes and control planes, and homectl's memory.

use super::bundle::Bundle;
use super::memory::Memory;
use super::{BOOTSTRAP, manifest, memory};
use crate::cluster::{Cluster, Policy};
use crate::error::Result;
use crate::template::{context, render};

/// The first bundle. `memory` must hold every kind that the others use, so that it is written down before the first
/// object of that kind is made.
pub(super) fn bundle(cluster: &Cluster, memory: &Memory) -> Result<Bundle> {
    let yaml = render("addons/bootstrap/rbac.yaml", context! { policy => cluster.network.policy == Policy::KubeRouter })?;
    let mut objects = vec![memory::object(memory)];
    objects.extend(manifest::catalogue(BOOTSTRAP, &yaml)?);
    Ok(Bundle { name: BOOTSTRAP.into(), title: "rights of nodes and control planes".into(), needs: Vec::new(), after: Vec::new(), objects })
}
