//! Nodes as the API knows them, for `status`.

use super::{Api, ApiError, Resource};
use serde_json::Value;
use std::collections::BTreeSet;

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NodeStatus {
    pub name: String,
    /// Whether the kubelet says so and was heard of lately.
    pub ready: bool,
    /// Why it is not ready, as the API words it; empty where it is.
    pub why: String,
    /// The kubelet's version, `v1.36.3`.
    pub version: String,
    pub internal_ip: String,
    /// Roles by label, sorted.
    pub roles: Vec<String>,
    /// Whether new pods are kept away (cordoned).
    pub unschedulable: bool,
    /// Whether it was homectl who keeps them away.
    pub cordoned_by_us: bool,
    /// Taints that pods must tolerate to come, `key=value:effect`; that of a cordon is none of them.
    #[serde(skip)]
    pub taints: BTreeSet<String>,
    /// When it registered, Unix seconds.
    pub created: i64,
    pub os: String,
    pub kernel: String,
    pub runtime: String,
}

impl NodeStatus {
    /// From a Node object.
    #[must_use]
    pub fn of(node: &Value) -> Self {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let ready = condition(node, "Ready");
        let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
        let info = &node["status"]["nodeInfo"];
        let labels = node["metadata"]["labels"].as_object();
        let mut roles: Vec<String> =
            labels.into_iter().flatten().filter_map(|(k, _)| k.strip_prefix("node-role.kubernetes.io/")).map(str::to_owned).collect();
        roles.sort();
        let is_ready = ready.is_some_and(|c| c["status"] == "True");
        let why = match ready {
            _ if is_ready => String::new(),
            Some(c) => format!("{}: {}", text(&c["reason"]), text(&c["message"])),
            None => "its kubelet has not reported yet".into(),
        };
        Self {
            name: text(&node["metadata"]["name"]),
            ready: is_ready,
            why,
            version: text(&info["kubeletVersion"]),
            internal_ip: addresses.filter(|a| a["type"] == "InternalIP").map(|a| text(&a["address"])).next().unwrap_or_default(),
            roles,
            unschedulable: node["spec"]["unschedulable"] == true,
            cordoned_by_us: super::is_cordoned_by_us(node),
            taints: node["spec"]["taints"].as_array().into_iter().flatten().filter_map(keeps_away).collect(),
            created: seconds(&node["metadata"]["creationTimestamp"]),
            os: text(&info["osImage"]),
            kernel: text(&info["kernelVersion"]),
            runtime: text(&info["containerRuntimeVersion"]),
        }
    }
}

impl Api {
    /// All nodes, by name.
    pub async fn nodes(&self) -> Result<Vec<NodeStatus>, ApiError> {
        let Some(nodes) = Resource::builtin("v1", "Node") else { return Ok(Vec::new()) };
        let mut all: Vec<_> = self.list(&nodes, "", "").await?.iter().map(NodeStatus::of).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The API server's own version, `v1.36.3`.
    pub async fn version(&self) -> Result<String, ApiError> {
        let text = self.get_raw("/version").await?;
        let version: Value = serde_json::from_str(&text).unwrap_or_default();
        version["gitVersion"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| ApiError::Garbled { call: "GET /version".into(), seen: text.clone() })
    }
}

/// The taint in words, where it keeps new pods away and is not that of a cordon.
fn keeps_away(taint: &Value) -> Option<String> {
    let [key, value, effect] = ["key", "value", "effect"].map(|part| taint[part].as_str().unwrap_or_default());
    (effect != "PreferNoSchedule" && key != "node.kubernetes.io/unschedulable").then(|| format!("{key}={value}:{effect}"))
}

/// The entry of `status.conditions` of this type.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

/// Unix seconds of an RFC 3339 time; 0 where it is none.
fn seconds(time: &Value) -> i64 {
    time.as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok()).map_or(0, jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_a_node() {
        let node = json!({
            "metadata": {"name": "attic", "creationTimestamp": "2026-11-21T10:00:00Z",
                "labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/os": "linux"}},
            "spec": {"unschedulable": true, "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
                {"key": "slow", "effect": "PreferNoSchedule"}, {"key": "gpu", "value": "a", "effect": "NoExecute"}]},
            "status": {"addresses": [{"type": "Hostname", "address": "attic"}, {"type": "InternalIP", "address": "10.77.0.1"}],
                "conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}],
                "nodeInfo": {"kubeletVersion": "v1.36.3"}}});
        let status = NodeStatus::of(&node);
        assert_eq!((status.ready, status.unschedulable), (false, true));
        assert_eq!(status.taints, ["gpu=a:NoExecute".to_owned()].into());
        assert_eq!(status.why, "NodeStatusUnknown: Kubelet stopped posting node status.");
        assert_eq!((status.internal_ip.as_str(), status.roles.as_slice()), ("10.77.0.1", ["control-plane".to_owned()].as_slice()));
        assert_eq!(status.created, 1_795_255_200);
    }
}
