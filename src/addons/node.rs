//! What the inventory says about nodes, on their Node objects: roles, labels, taints. A kubelet may not give itself
//! roles, so this is done from outside.

use crate::cluster::{Cluster, Node};
use crate::want::{Object, TAINTS};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
const WORKER: &str = "node-role.kubernetes.io/worker";
const ZONE: &str = "topology.kubernetes.io/zone";

/// The Node object of `node`, as far as it is ours. Labels dropped from the inventory go, everybody else's stay.
pub(super) fn object(addon: &str, node: &Node) -> Object {
    let mut metadata = json!({"name": node.name, "labels": labels(node)});
    let taints = taints(node);
    if !taints.is_empty() {
        // The list of taints itself is shared with the node lifecycle controller; see want::merged_taints.
        metadata["annotations"] = json!({TAINTS: Value::from(taints).to_string()});
    }
    Object {
        addon: addon.into(),
        api_version: "v1".into(),
        kind: "Node".into(),
        namespace: String::new(),
        name: node.name.clone(),
        manifest: json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata}),
        present: true,
        certificate: None,
    }
}

fn labels(node: &Node) -> BTreeMap<String, String> {
    let role = if node.is_control_plane() { CONTROL_PLANE } else { WORKER };
    let mut labels = BTreeMap::from([(role.to_owned(), String::new())]);
    if let Some(site) = &node.site {
        labels.insert(ZONE.into(), site.clone());
    }
    labels.extend(node.labels.clone());
    labels
}

fn taints(node: &Node) -> Vec<Value> {
    let reserved = node.is_control_plane() && !node.workloads;
    let own = reserved.then(|| json!({"key": CONTROL_PLANE, "effect": "NoSchedule"}));
    let given = node.taints.iter().map(|t| {
        if t.value.is_empty() {
            json!({"key": t.key, "effect": t.effect})
        } else {
            json!({"key": t.key, "value": t.value, "effect": t.effect})
        }
    });
    own.into_iter().chain(given).collect()
}

/// Name of the bundle and step of a node.
pub(super) fn step_name(node: &Node) -> String {
    format!("node-{}", node.name)
}

/// Whether any node of the cluster is called that.
pub(super) fn is_step_of(cluster: &Cluster, name: &str) -> bool {
    cluster.nodes.iter().any(|n| step_name(n) == name)
}
