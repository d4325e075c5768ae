//! What server-side apply cannot do for a node. Its list of taints is one field that homectl shares with the node
//! lifecycle controller and with people, so only our own entries are looked after: the ones wanted, and the ones that an
//! annotation remembers from last time. Its labels are the kubelet's as well, from when it registered, so that giving
//! one up does not remove it.

use super::dropped;
use serde_json::{Map, Value, json};

/// Annotation on a Node: the taints homectl set, as JSON.
pub const TAINTS: &str = "homectl.io/taints";

/// The taints that an object's annotation speaks of.
fn remembered(object: &Value) -> Vec<Value> {
    let text = object["metadata"]["annotations"][TAINTS].as_str().unwrap_or("[]");
    serde_json::from_str(text).unwrap_or_default()
}

/// What tells one taint from another; the value may change.
fn same(a: &Value, b: &Value) -> bool {
    a["key"] == b["key"] && a["effect"] == b["effect"]
}

fn value(taint: &Value) -> &str {
    taint["value"].as_str().unwrap_or_default()
}

fn shown(taint: &Value) -> String {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let value = if value(taint).is_empty() { String::new() } else { format!("={}", value(taint)) };
    format!("{}{value}:{}", text(&taint["key"]), text(&taint["effect"]))
}

/// The node's list of taints as it should be: ours as the manifest says, ours of last time that are no longer wanted
/// gone, everybody else's as they are. `None` where that is what it is.
fn merged(manifest: &Value, live: &Value) -> Option<Vec<Value>> {
    let (wanted, before) = (remembered(manifest), remembered(live));
    let now: Vec<Value> = live["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let mut list: Vec<Value> = Vec::new();
    for taint in &now {
        if let Some(ours) = wanted.iter().find(|w| same(w, taint)) {
            list.push(if value(ours) == value(taint) { taint.clone() } else { ours.clone() });
        } else if !before.iter().any(|b| same(b, taint)) {
            list.push(taint.clone());
        }
    }
    let missing = wanted.into_iter().filter(|w| !now.iter().any(|t| same(t, w)));
    list.extend(missing);
    (list != now).then_some(list)
}

/// A merge patch that puts our taints right and removes labels we once gave, for the version of the node that was
/// read; `None` where there is nothing to do.
#[must_use]
pub fn node_patch(manifest: &Value, live: &Value) -> Option<Value> {
    let labels: Map<String, Value> = dropped::labels(manifest, live).into_iter().map(|key| (key, Value::Null)).collect();
    let taints = merged(manifest, live);
    if labels.is_empty() && taints.is_none() {
        return None;
    }
    let mut patch = json!({"metadata": {"resourceVersion": live["metadata"]["resourceVersion"], "labels": labels}});
    if let Some(taints) = taints {
        patch["spec"] = json!({"taints": taints});
    }
    Some(patch)
}

/// What [`merged`] would change, as lines.
pub(super) fn differences(manifest: &Value, live: &Value) -> Vec<String> {
    if manifest["kind"] != "Node" {
        return Vec::new();
    }
    let Some(list) = merged(manifest, live) else { return Vec::new() };
    let now = live["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let gone = now.iter().filter(|t| !list.contains(t)).map(|t| format!("-taint {}", shown(t)));
    let new = list.iter().filter(|t| !now.contains(t)).map(|t| format!("+taint {}", shown(t)));
    gone.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_that_the_kubelet_gave_as_well_go_too() {
        let ours = json!([{"manager": "homectl", "operation": "Apply", "fieldsV1":
            {"f:metadata": {"f:labels": {"f:gpu": {}, "f:role": {}, "f:gone": {}}}}}]);
        let live = json!({"kind": "Node", "metadata": {"resourceVersion": "7", "managedFields": ours, "labels": {"gpu": "a", "role": "", "os": "linux"}}});
        let wanted = json!({"kind": "Node", "metadata": {"labels": {"role": ""}}});
        assert_eq!(node_patch(&wanted, &live), Some(json!({"metadata": {"resourceVersion": "7", "labels": {"gpu": null}}})));
        let wanted = json!({"kind": "Node", "metadata": {"labels": {"role": "", "gpu": "b"}}});
        assert_eq!(node_patch(&wanted, &live), None);
    }

    fn node(remembered: &str, taints: &Value) -> Value {
        json!({"kind": "Node", "metadata": {"annotations": {TAINTS: remembered}}, "spec": {"taints": taints}})
    }

    #[test]
    fn only_ours_are_touched() {
        let cordon = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": "2026-11-21T10:00:00Z"});
        let gpu = r#"[{"key":"gpu","value":"yes","effect":"NoSchedule"}]"#;
        let ours = json!({"key": "gpu", "value": "yes", "effect": "NoSchedule"});
        let theirs = json!({"key": "noisy", "effect": "PreferNoSchedule"});
        let table = [
            ("wanted and there", gpu, node(gpu, &json!([ours, cordon])), None),
            ("wanted and missing", gpu, node("[]", &json!([cordon])), Some(json!([cordon, ours]))),
            ("no list at all", gpu, json!({"kind": "Node"}), Some(json!([ours]))),
            ("no longer wanted", "[]", node(gpu, &json!([cordon, ours, theirs])), Some(json!([cordon, theirs]))),
            ("somebody else's stays", "[]", node("[]", &json!([theirs, cordon])), None),
            ("another value", gpu, node(gpu, &json!([{"key": "gpu", "value": "no", "effect": "NoSchedule"}])), Some(json!([ours]))),
        ];
        for (name, wanted, live, expected) in table {
            let merged = merged(&node(wanted, &json!([])), &live).map(Value::Array);
            assert_eq!(merged, expected, "{name}");
        }
    }
}
