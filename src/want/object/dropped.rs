//! Fields that homectl once applied and no longer wants: server-side apply would remove them, so a live object that
//! holds everything wanted may still have to change. Read from `metadata.managedFields`.

use serde_json::Value;

/// The field manager; the same as `kube::FIELD_MANAGER`.
const MANAGER: &str = crate::kube::FIELD_MANAGER;

/// Whether homectl applied this object.
pub(super) fn is_ours(live: &Value) -> bool {
    ours(live).is_some()
}

/// What our last apply set, as the API keeps it.
fn ours(live: &Value) -> Option<&Value> {
    let entries = live["metadata"]["managedFields"].as_array()?;
    let entry = entries.iter().find(|e| e["manager"] == MANAGER && e["operation"] == "Apply" && e["subresource"].is_null())?;
    Some(&entry["fieldsV1"])
}

/// Paths that our last apply set and `wanted` does not have.
pub(super) fn paths(wanted: &Value, live: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(fields) = ours(live) {
        walk(fields, wanted, "", &mut found);
    }
    found
}

/// Labels that our last apply set, that `wanted` does not have, and that are still there.
pub(super) fn labels(wanted: &Value, live: &Value) -> Vec<String> {
    let fields = ours(live).map(|f| &f["f:metadata"]["f:labels"]).and_then(Value::as_object);
    let keys = fields.into_iter().flatten().filter_map(|(key, _)| key.strip_prefix("f:"));
    let there = |object: &Value, key: &str| object["metadata"]["labels"].get(key).is_some();
    keys.filter(|key| there(live, key) && !there(wanted, key)).map(str::to_owned).collect()
}

fn walk(fields: &Value, wanted: &Value, path: &str, found: &mut Vec<String>) {
    for (key, below) in fields.as_object().into_iter().flatten() {
        let (kind, rest) = key.split_once(':').unwrap_or((key.as_str(), ""));
        let (shown, value) = match kind {
            "f" => (if path.is_empty() { rest.to_owned() } else { format!("{path}.{rest}") }, wanted.get(rest)),
            "k" => (format!("{path}[{rest}]"), element(wanted, rest)),
            "v" => (format!("{path}[{rest}]"), member(wanted, rest)),
            "i" => (format!("{path}[{rest}]"), rest.parse::<usize>().ok().and_then(|i| wanted.get(i))),
            // `.` stands for the thing itself.
            _ => continue,
        };
        match value {
            Some(value) => walk(below, value, &shown, found),
            None => found.push(shown),
        }
    }
}

/// The element of a list with these key fields; one that leaves a key out (it is defaulted) counts.
fn element<'a>(list: &'a Value, keys: &str) -> Option<&'a Value> {
    let keys: Value = serde_json::from_str(keys).ok()?;
    let keys = keys.as_object()?;
    list.as_array()?.iter().find(|e| keys.iter().all(|(k, v)| e.get(k).is_none_or(|have| have == v)))
}

fn member<'a>(list: &'a Value, value: &str) -> Option<&'a Value> {
    let value: Value = serde_json::from_str(value).ok()?;
    list.as_array()?.iter().find(|e| **e == value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live(fields: &Value) -> Value {
        json!({"metadata": {"managedFields": [
            {"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": {}}},
            {"manager": "homectl", "operation": "Apply", "fieldsV1": fields}]}})
    }

    #[test]
    fn table() {
        let wanted = json!({"metadata": {"labels": {"a": "1"}, "finalizers": ["x"]},
            "spec": {"ports": [{"port": 53, "name": "dns"}], "args": ["a"]}});
        let none = [
            json!({"f:metadata": {"f:labels": {"f:a": {}}}}),
            json!({"f:spec": {"f:ports": {"k:{\"port\":53,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}}}}}),
            json!({"f:metadata": {"f:finalizers": {".": {}, "v:\"x\"": {}}}}),
            json!({"f:spec": {"f:args": {}}}),
        ];
        for fields in none {
            assert_eq!(paths(&wanted, &live(&fields)), Vec::<String>::new(), "{fields}");
        }
        let some = [
            (json!({"f:metadata": {"f:labels": {"f:b": {}}}}), "metadata.labels.b"),
            (json!({"f:spec": {"f:replicas": {}}}), "spec.replicas"),
            (json!({"f:spec": {"f:ports": {"k:{\"port\":54}": {}}}}), "spec.ports[{\"port\":54}]"),
            (json!({"f:metadata": {"f:finalizers": {"v:\"y\"": {}}}}), "metadata.finalizers[\"y\"]"),
        ];
        for (fields, path) in some {
            assert_eq!(paths(&wanted, &live(&fields)), [path], "{fields}");
        }
        assert!(is_ours(&live(&json!({}))));
        assert!(!is_ours(&json!({"metadata": {"labels": {"homectl.io/addon": "x"}}})));
    }
}
