//! What homectl remembers in the API: which kinds of objects it ever made. Pruning lists those kinds by label, so that
//! it also finds objects of kinds that no add-on of today uses.
//!
//! Kinds are never forgotten: one more list a run costs less than an object that nobody looks after.

use super::{BOOTSTRAP, manifest};
use crate::kube::{Api, ApiError, Resource, split};
use crate::want::Object;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;

/// Name of the ConfigMap in `kube-system`.
pub const INVENTORY: &str = "homectl-inventory";
const NAMESPACE: &str = "kube-system";

/// A kind without its version: `Deployment.apps`, `ConfigMap`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    pub kind: String,
    /// Empty for the core group.
    pub group: String,
}

impl Kind {
    /// The kind of an object.
    #[must_use]
    pub fn of(object: &Object) -> Self {
        Self { kind: object.kind.clone(), group: split(&object.api_version).0.into() }
    }

    fn parse(text: &str) -> Option<Self> {
        let (kind, group) = text.split_once('.').unwrap_or((text, ""));
        (!kind.is_empty()).then(|| Self { kind: kind.into(), group: group.into() })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.kind) } else { write!(f, "{}.{}", self.kind, self.group) }
    }
}

/// Every kind that homectl ever made objects of in this cluster.
pub type Memory = BTreeSet<Kind>;

/// The ConfigMap that holds it.
pub(super) fn object(memory: &Memory) -> Object {
    let kinds: Vec<String> = memory.iter().map(Kind::to_string).collect();
    let value = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": INVENTORY, "namespace": NAMESPACE},
        "data": {"kinds": kinds.join("\n") + "\n"},
    });
    manifest::stamp(BOOTSTRAP, "v1", "ConfigMap", NAMESPACE, INVENTORY, value)
}

/// The ConfigMap as it is to be applied over `live`: a plan that was made while the API was away knows only the kinds of
/// today.
pub(super) fn merged(object: &Object, live: &Value) -> Option<Value> {
    let ours = object.kind == "ConfigMap" && object.name == INVENTORY && object.namespace == NAMESPACE;
    ours.then(|| self::object(&kinds(live).into_iter().chain(kinds(&object.manifest)).collect()).manifest)
}

fn kinds(map: &Value) -> Memory {
    map["data"]["kinds"].as_str().unwrap_or_default().lines().filter_map(Kind::parse).collect()
}

/// What the API remembers; nothing on a new cluster.
pub(super) async fn recall(api: &Api) -> Result<Memory, ApiError> {
    let Some(maps) = Resource::builtin("v1", "ConfigMap") else { return Ok(Memory::new()) };
    Ok(kinds(&api.get(&maps, NAMESPACE, INVENTORY).await?.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_being_written_down() {
        for text in ["ConfigMap", "Deployment.apps", "Certificate.cert-manager.io"] {
            assert_eq!(Kind::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Kind::parse(""), None);
    }
}
