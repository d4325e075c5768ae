//! What can be done with objects: list, get, apply, try, patch, delete.

use super::api::{Call, FIELD_MANAGER};
use super::{Api, ApiError, Resource};
use http::Method;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Objects a page of a list.
const PAGE: usize = 500;

/// What becomes of an object's dependants when it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They go first, and the object last: gone means all gone.
    Foreground,
    /// They go later.
    Background,
}

impl Api {
    /// Objects of a kind in a namespace (empty: everywhere) that match a label selector (empty: all), each with its
    /// `apiVersion` and `kind`. A kind the API does not serve has no objects.
    pub async fn list(&self, resource: &Resource, namespace: &str, selector: &str) -> Result<Vec<Value>, ApiError> {
        self.list_by(resource, namespace, &[("labelSelector", selector)]).await
    }

    /// The same with any query, for field selectors.
    pub async fn list_by(&self, resource: &Resource, namespace: &str, query: &[(&str, &str)]) -> Result<Vec<Value>, ApiError> {
        let mut all = Vec::new();
        let mut next = String::new();
        loop {
            let mut path = format!("{}?limit={PAGE}", resource.collection(namespace));
            for (key, value) in query.iter().chain([&("continue", next.as_str())]).filter(|(_, v)| !v.is_empty()) {
                let _ = write!(path, "&{key}={}", encode(value));
            }
            let mut page = match self.json(&Call::get(&path)).await {
                Ok(page) => page,
                Err(e) if e.is_not_found() => return Ok(all),
                Err(e) => return Err(e),
            };
            if let Value::Array(items) = page["items"].take() {
                // Lists leave out what every item has in common.
                all.extend(items.into_iter().map(|mut item| {
                    item["apiVersion"] = resource.api_version().into();
                    item["kind"] = resource.kind.clone().into();
                    item
                }));
            }
            page["metadata"]["continue"].as_str().unwrap_or_default().clone_into(&mut next);
            if next.is_empty() {
                return Ok(all);
            }
        }
    }

    /// One object; `None` where there is none.
    pub async fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Option<Value>, ApiError> {
        match self.json(&Call::get(&resource.path(namespace, name))).await {
            Ok(object) => Ok(Some(object)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Applies an object server-side as `homectl`, taking over fields of other managers; returns it as it then is.
    /// A field that the API does not know is refused.
    pub async fn apply(&self, resource: &Resource, object: &Value) -> Result<Value, ApiError> {
        self.ssa(resource, object, "").await
    }

    /// What [`Api::apply`] would return, without doing it.
    pub async fn try_apply(&self, resource: &Resource, object: &Value) -> Result<Value, ApiError> {
        self.ssa(resource, object, "&dryRun=All").await
    }

    async fn ssa(&self, resource: &Resource, object: &Value, more: &str) -> Result<Value, ApiError> {
        let part = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        let object_path = resource.path(part("namespace"), part("name"));
        let path = format!("{object_path}?fieldManager={FIELD_MANAGER}&force=true&fieldValidation=Strict{more}");
        // JSON is YAML.
        let body = Some(("application/apply-patch+yaml", object.to_string().into_bytes()));
        self.json(&Call { method: Method::PATCH, body, ..Call::get(&path) }).await
    }

    /// A JSON merge patch as `homectl`. With `metadata.resourceVersion` in it, it fails with a conflict when somebody
    /// else was quicker.
    pub async fn merge_patch(&self, resource: &Resource, namespace: &str, name: &str, patch: &Value) -> Result<Value, ApiError> {
        let uri = format!("{}?fieldManager={FIELD_MANAGER}", resource.path(namespace, name));
        let body = Some(("application/merge-patch+json", patch.to_string().into_bytes()));
        self.json(&Call { method: Method::PATCH, body, ..Call::get(&uri) }).await
    }

    /// Deletes an object; `false` where there was none. Deletion may still be under way when this returns.
    pub async fn delete(&self, resource: &Resource, namespace: &str, name: &str, how: Propagation) -> Result<bool, ApiError> {
        let policy = match how {
            Propagation::Foreground => "Foreground",
            Propagation::Background => "Background",
        };
        let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy});
        let body = Some(("application/json", options.to_string().into_bytes()));
        let path = resource.path(namespace, name);
        match self.json(&Call { method: Method::DELETE, body, ..Call::get(&path) }).await {
            Ok(_) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// Percent-encodes a query value.
fn encode(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}
