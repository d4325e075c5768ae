//! A node that leaves, in the API: its own object goes when nobody would make it anew.

use crate::steps::{Step, StepId};
use crate::want::{Object, Want};
use serde_json::json;

/// The node's own object, gone.
#[must_use]
pub fn farewell(node: &str) -> Object {
    Object {
        addon: format!("node-{node}"),
        api_version: "v1".into(),
        kind: "Node".into(),
        namespace: String::new(),
        name: node.into(),
        manifest: json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}),
        present: false,
        certificate: None,
    }
}

/// The step in which it goes: after `after`, the end of the kubelet, which would register it again, and that of its controller
/// manager, so that whoever leads afterwards is one that stays.
#[must_use]
pub fn farewell_step(node: &str, after: &[StepId]) -> Step {
    Step {
        id: StepId::cluster(&format!("gone-{node}")),
        title: format!("{node} is no node any more"),
        after: after.iter().cloned().chain(["kubelet", "controller-manager"].map(|name| StepId::node(node, name))).collect(),
        wants: vec![Want::Object(farewell(node))],
        ready: None,
        rolling: None,
        aside: false,
    }
}
