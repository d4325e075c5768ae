//! An object in the Kubernetes API, applied server-side by the field manager `homectl`.

use super::{Act, Change, Impact, Run, Seen, Verdict, Want};
use serde_json::Value;

/// One object of an add-on.
#[derive(Debug, Clone)]
pub struct Object {
    /// The add-on it belongs to.
    pub addon: String,
    pub api_version: String,
    pub kind: String,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    pub name: String,
    /// The whole manifest, our labels included.
    pub manifest: Value,
    /// `false`: wanted gone.
    pub present: bool,
}

impl Object {
    pub(super) fn addr(&self) -> String {
        let place = if self.namespace.is_empty() { String::new() } else { format!("{}/", self.namespace) };
        format!("object:{}:{}:{place}{}", self.api_version, self.kind, self.name)
    }

    pub(super) fn absent(&self) -> Option<Want> {
        Some(Want::Object(Self { present: false, ..self.clone() }))
    }

    pub(super) fn diff(&self, seen: &Seen) -> Verdict {
        let live = match seen {
            Seen::NoApi(why) if self.present => {
                return Verdict::Deferred { why: why.clone(), change: self.change(Act::Create, "applied once the API is up") };
            }
            Seen::NoApi(why) => return Verdict::Settled(why.clone()),
            Seen::Object(live) => live,
            other => return Verdict::unseen(format!("unexpected observation {other:?}")),
        };
        match (live, self.present) {
            (None, true) => Verdict::Change(self.change(Act::Create, "missing")),
            (None, false) => Verdict::Settled("absent".into()),
            (Some(_), false) => Verdict::Change(self.change(Act::Delete, "no longer in the inventory").impact(Impact::Disruptive)),
            (Some(live), true) => {
                let lines = differences(&self.manifest, live);
                if lines.is_empty() {
                    return Verdict::Settled("every field as wanted".into());
                }
                Verdict::Change(self.change(Act::Update, "fields differ").lines(lines))
            }
        }
    }

    fn change(&self, act: Act, why: &str) -> Change {
        Change { act, why: why.into(), lines: Vec::new(), impact: Impact::Safe, run: Run::Api(self.clone(), self.present) }
    }
}

/// Every field of `wanted` that `live` does not have with that value, as `path: live → wanted`.
fn differences(wanted: &Value, live: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    walk(wanted, live, "", &mut lines);
    lines
}

fn walk(wanted: &Value, live: &Value, path: &str, lines: &mut Vec<String>) {
    match (wanted, live) {
        (Value::Object(w), Value::Object(l)) => {
            for (key, value) in w {
                walk(value, l.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"), lines);
            }
        }
        (Value::Array(w), Value::Array(l)) if w.len() == l.len() => {
            for (i, (a, b)) in w.iter().zip(l).enumerate() {
                walk(a, b, &format!("{path}[{i}]"), lines);
            }
        }
        (w, l) if w == l || (l.is_null() && is_empty(w)) => {}
        (w, l) => lines.push(format!("{}: {l} → {w}", path.trim_start_matches('.'))),
    }
}

fn is_empty(v: &Value) -> bool {
    match v {
        Value::Null => true,
        Value::Object(o) => o.is_empty(),
        Value::Array(a) => a.is_empty(),
        _ => false,
    }
}
