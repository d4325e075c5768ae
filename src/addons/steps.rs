//! Bundles as steps in the API.

use super::bundle::{Bundle, bundles};
use super::look::Owned;
use super::memory::Memory;
use super::order;
use crate::cluster::{AddonSource, Cluster, Node};
use crate::error::Result;
use crate::kube::Condition;
use crate::secrets::Secrets;
use crate::steps::{Ready, Step, StepId};
use crate::want::{Object, Want};
use serde_json::Value;

/// Name of the first step in the API, and of its bundle.
pub const BOOTSTRAP: &str = "bootstrap";
/// Name of the last step in the API: what is no longer in the inventory goes.
pub const PRUNE: &str = "prune";

/// Seconds for a node to become Ready.
const NODE_DEADLINE: u64 = 300;
/// Seconds for an add-on: its images may have to come over a home's uplink.
const ADDON_DEADLINE: u64 = 600;

/// The steps on control planes that start the API.
pub(super) fn apiserver_steps(cluster: &Cluster) -> Vec<StepId> {
    cluster.control_planes().map(|n| StepId::node(&n.name, "apiserver")).collect()
}

/// The step that starts a node's kubelet, which registers the node.
pub(super) fn kubelet_step(node: &Node) -> StepId {
    StepId::node(&node.name, "kubelet")
}

/// One step a bundle, in order, and `prune` where `owned` has objects that nobody wants any more. Objects of all add-ons
/// are applied before any is waited for, except where one `needs` another. A node that is not `on` (by name) has no step:
/// nobody would start the kubelet that registers it.
///
/// # Errors
/// As [`bundles`].
pub fn steps(cluster: &Cluster, secrets: &Secrets, owned: &Owned, on: &dyn Fn(&str) -> bool) -> Result<Vec<Step>> {
    let bundles = bundles(cluster, secrets, &owned.memory)?;
    let off = |b: &Bundle| cluster.nodes.iter().any(|n| super::node::step_name(n) == b.name && !on(&n.name));
    let mut all: Vec<Step> = bundles.iter().filter(|b| !off(b)).map(step).collect();
    let unwanted = unwanted(owned, &bundles);
    if !unwanted.is_empty() {
        all.push(Step {
            id: StepId::cluster(PRUNE),
            title: "objects that are no longer in the inventory".into(),
            after: bundles.iter().filter(|b| !b.name.starts_with("node-")).map(|b| StepId::cluster(&b.name)).collect(),
            wants: unwanted.into_iter().map(Want::Object).collect(),
            ready: None,
            rolling: None,
            aside: false,
        });
    }
    Ok(all)
}

/// What shows that the add-ons of the catalogue are up; the user's own manifests are not among them.
///
/// # Errors
/// As [`bundles`].
pub fn catalogue_is_up(cluster: &Cluster, secrets: &Secrets) -> Result<Vec<Condition>> {
    let ours = |b: &&Bundle| cluster.addons.iter().any(|a| a.name == b.name && matches!(a.source, AddonSource::Catalogue));
    Ok(bundles(cluster, secrets, &Memory::new())?.iter().filter(ours).flat_map(conditions).collect())
}

fn conditions(bundle: &Bundle) -> Vec<Condition> {
    bundle.objects.iter().filter_map(condition).collect()
}

fn step(bundle: &Bundle) -> Step {
    let conditions = conditions(bundle);
    let ready = match bundle.objects.as_slice() {
        [node] if node.kind == "Node" => {
            let all = vec![Condition::NodesReady { names: vec![node.name.clone()] }];
            Some(Ready::api(format!("{} is Ready", node.name), all, NODE_DEADLINE))
        }
        _ if conditions.is_empty() => None,
        _ => Some(Ready::api(format!("{} is up", bundle.name), conditions, ADDON_DEADLINE)),
    };
    Step {
        id: StepId::cluster(&bundle.name),
        title: bundle.title.clone(),
        after: bundle.needs.iter().map(|n| StepId::cluster(n)).chain(bundle.after.iter().cloned()).collect(),
        wants: bundle.objects.iter().cloned().map(Want::Object).collect(),
        ready,
        rolling: None,
        aside: false,
    }
}

/// What shows that an object is up; `None` for kinds that just are.
fn condition(object: &Object) -> Option<Condition> {
    let (namespace, name) = (object.namespace.clone(), object.name.clone());
    let group = crate::kube::split(&object.api_version).0;
    match (group, object.kind.as_str()) {
        ("apps", "Deployment") => Some(Condition::DeploymentAvailable { namespace, name }),
        ("apps", "DaemonSet") => Some(Condition::DaemonSetReady { namespace, name }),
        ("apps", "StatefulSet") => Some(Condition::StatefulSetReady { namespace, name }),
        ("batch", "Job") if object.manifest["spec"]["suspend"] != Value::Bool(true) => Some(Condition::JobComplete { namespace, name }),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Some(Condition::CrdEstablished { name }),
        ("apiregistration.k8s.io", "APIService") if !object.manifest["spec"]["service"].is_null() => {
            Some(Condition::ApiServiceAvailable { name })
        }
        _ => None,
    }
}

/// Owned objects that no bundle has, in the order in which they go: webhooks first.
fn unwanted(owned: &Owned, bundles: &[Bundle]) -> Vec<Object> {
    let wanted = |o: &Object| bundles.iter().flat_map(|b| &b.objects).any(|w| super::look::same_object(w, o));
    let mut gone: Vec<Object> = owned.objects.iter().filter(|o| !wanted(o)).cloned().collect();
    gone.sort_by_key(|o| (std::cmp::Reverse(order::rank(&o.kind)), o.addr()));
    gone
}
