//! Is every field of a manifest in the live object, given how the API server writes things? Careful: *yes* must be
//! certain, *no* only costs a dry run.

use super::quantity;
use serde_json::{Map, Value};

/// A field that is not as wanted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    /// `spec.template.spec.containers[web].image`.
    pub(super) path: String,
    /// `Null` where there is none.
    pub(super) live: Value,
    pub(super) wanted: Value,
}

/// Maps below which strings and numbers are quantities.
const QUANTITIES: [&str; 9] = ["limits", "requests", "capacity", "hard", "sizeLimit", "defaultRequest", "min", "max", "overhead"];

/// Fields by which elements of a list are told apart, by the list's name.
const MERGE_KEYS: &[(&str, &[&str])] = &[
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("volumes", &["name"]),
    ("env", &["name"]),
    ("ports", &["containerPort", "port", "protocol"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("imagePullSecrets", &["name"]),
    ("secrets", &["name"]),
    ("hostAliases", &["ip"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("webhooks", &["name"]),
    ("validations", &["expression"]),
];

/// Every field of `wanted` that `live` does not have with that value.
pub(super) fn differences(wanted: &Value, live: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk(wanted, live, &Path::default(), &mut found);
    found
}

/// Where the walk is.
#[derive(Default)]
struct Path {
    text: String,
    /// Name of the innermost map entry.
    key: String,
    /// Whether the path runs through one of [`QUANTITIES`].
    quantity: bool,
}

impl Path {
    fn enter(&self, key: &str) -> Self {
        let dot = if self.text.is_empty() { "" } else { "." };
        // Keys of labels and annotations hold dots themselves.
        let shown = if key.contains('.') { format!("[{key}]") } else { format!("{dot}{key}") };
        Self { text: format!("{}{shown}", self.text), key: key.into(), quantity: self.quantity || QUANTITIES.contains(&key) }
    }

    fn element(&self, name: &str) -> Self {
        Self { text: format!("{}[{name}]", self.text), key: String::new(), quantity: self.quantity }
    }
}

fn walk(wanted: &Value, live: &Value, path: &Path, found: &mut Vec<Difference>) {
    match (wanted, live) {
        (Value::Object(w), Value::Object(l)) => {
            for (key, value) in w {
                walk(value, l.get(key).unwrap_or(&Value::Null), &path.enter(key), found);
            }
        }
        (Value::Array(w), Value::Array(l)) if w.len() == l.len() => {
            let keys = MERGE_KEYS.iter().find(|(list, _)| *list == path.key).map(|(_, keys)| *keys);
            for (i, (element, beside)) in w.iter().zip(l).enumerate() {
                let (name, other) = match (keys, element) {
                    (Some(keys), Value::Object(e)) => (name_of(e, keys, i), l.iter().find(|o| same(e, o, keys)).unwrap_or(&Value::Null)),
                    _ => (i.to_string(), beside),
                };
                walk(element, other, &path.element(&name), found);
            }
        }
        (w, l) if same_scalar(w, l) || path.quantity && quantity::equal(w, l) => {}
        (w, l) => found.push(Difference { path: path.text.clone(), live: l.clone(), wanted: w.clone() }),
    }
}

/// Whether `other` is the element that `element` describes; what `element` leaves out (a defaulted protocol) is not held
/// against it.
fn same(element: &Map<String, Value>, other: &Value, keys: &[&str]) -> bool {
    keys.iter().all(|k| element.get(*k).is_none_or(|v| other.get(*k) == Some(v)))
}

fn name_of(element: &Map<String, Value>, keys: &[&str], index: usize) -> String {
    let named = ["name"].iter().chain(keys).find_map(|k| element.get(*k));
    named.map_or_else(|| index.to_string(), |v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
}

fn same_scalar(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(wanted: &Value, live: &Value) -> Vec<String> {
        differences(wanted, live).into_iter().map(|d| d.path).collect()
    }

    #[test]
    fn what_the_api_server_adds_or_rewrites_is_no_difference() {
        let table = [
            (json!({"a": 1}), json!({"a": 1, "b": 2})),
            (json!({"limits": {"cpu": 0.1, "memory": "1024Mi"}}), json!({"limits": {"cpu": "100m", "memory": "1Gi"}})),
            (json!({"emptyDir": {"sizeLimit": "1024Ki"}}), json!({"emptyDir": {"sizeLimit": "1Mi"}})),
            (
                json!({"ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]}),
                json!({"ports": [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 80, "protocol": "TCP"}]}),
            ),
            (json!({"env": [{"name": "A", "value": "1"}]}), json!({"env": [{"name": "A", "value": "1", "x": 1}]})),
            (json!({"n": 1.0}), json!({"n": 1})),
            (json!({"a": null}), json!({})),
            (json!({"targetPort": "dns"}), json!({"targetPort": "dns", "protocol": "TCP"})),
        ];
        for (wanted, live) in table {
            assert!(differences(&wanted, &live).is_empty(), "{wanted} {live}");
        }
    }

    #[test]
    fn what_is_missing_or_other_is_found() {
        let table = [
            (json!({"a": {"b": 1}}), json!({"a": {}}), "a.b"),
            (json!({"a": {}}), json!({}), "a"),
            (json!({"a": false}), json!({}), "a"),
            (json!({"args": ["a", "b"]}), json!({"args": ["b", "a"]}), "args[0]"),
            (json!({"args": ["a"]}), json!({"args": ["a", "b"]}), "args"),
            (
                json!({"containers": [{"name": "x", "image": "a:1"}]}),
                json!({"containers": [{"name": "x", "image": "a:2"}]}),
                "containers[x].image",
            ),
            (json!({"containers": [{"name": "x"}]}), json!({"containers": [{"name": "y"}]}), "containers[x]"),
            (json!({"labels": {"a.io/b": "c"}}), json!({"labels": {}}), "labels[a.io/b]"),
            (json!({"port": "80"}), json!({"port": 80}), "port"),
            (json!({"limits": {"cpu": "1"}}), json!({"limits": {"cpu": "2"}}), "limits.cpu"),
            (json!({"cpu": 0.1}), json!({"cpu": "100m"}), "cpu"),
        ];
        for (wanted, live, path) in table {
            assert_eq!(paths(&wanted, &live).first().map(String::as_str), Some(path), "{wanted} {live}");
        }
    }
}
