//! Objects for people: what the server keeps for itself left out, keys sorted, contents of Secrets as digests.

use super::subset::Difference;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Fields of `metadata` that are the server's own.
const SERVERS: [&str; 6] = ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"];

/// The object as YAML that may be shown.
pub(super) fn yaml(object: &Value) -> String {
    let mut shown = sorted(object);
    if let Value::Object(top) = &mut shown {
        top.remove("status");
    }
    if let Some(Value::Object(metadata)) = shown.get_mut("metadata") {
        for field in SERVERS {
            metadata.remove(field);
        }
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            // Another tool's copy of the whole object, secrets included.
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if object["kind"] == "Secret" {
        for field in ["data", "stringData"] {
            for (_, value) in shown.get_mut(field).and_then(Value::as_object_mut).into_iter().flatten() {
                *value = Value::String(digest(value));
            }
        }
    }
    serde_saphyr::to_string(&shown).unwrap_or_else(|_| format!("{shown:#}"))
}

/// One difference on one line.
pub(super) fn line(kind: &str, d: &Difference) -> String {
    let secret = kind == "Secret" && (d.path.starts_with("data") || d.path.starts_with("stringData"));
    let text = |v: &Value| match v {
        Value::Null => "nothing".to_owned(),
        v if secret => digest(v),
        v => v.to_string(),
    };
    format!("{}: {} → {}", d.path, text(&d.live), text(&d.wanted))
}

/// What keeps an object that is being deleted.
pub(super) fn finalizers(live: &Value) -> String {
    let all: Vec<&str> = live["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if all.is_empty() {
        return "wait until it is gone, then run again".into();
    }
    format!("wait until it is gone, then run again; what still has to happen first: {}", all.join(", "))
}

fn digest(value: &Value) -> String {
    let hex = data_encoding::HEXLOWER.encode(&Sha256::digest(value.to_string().as_bytes()));
    format!("sha256 {}…", &hex[..12])
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(k, _)| k.as_str());
            Value::Object(entries.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect::<Map<_, _>>())
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
