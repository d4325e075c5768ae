//! One change of a plan, done in the API.

use super::look::{clock, namespace};
use super::memory::{self, INVENTORY};
use crate::error::{Failure, Result};
use crate::kube::{Api, ApiError, Condition, Propagation, Resource};
use crate::want::{Object, node_patch};
use serde_json::Value;
use std::time::{Duration, Instant};

/// For a kind to be served after its definition was applied.
const SERVED: Duration = Duration::from_secs(30);
/// For a node to register.
const REGISTERED: Duration = Duration::from_mins(2);
/// For a webhook of another object to come up: its pods may have been applied a moment ago.
const WEBHOOK: Duration = Duration::from_mins(3);
/// For a deleted object to be gone.
const GONE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(500);

/// Applies an object server-side, or deletes it; safe to repeat. A custom resource's definition is served, and a
/// deleted object gone, when this returns.
///
/// # Errors
/// What the API said, and what to do about it.
pub async fn apply(api: &Api, object: &Object, present: bool) -> Result<()> {
    let done = if present { put(api, object).await } else { remove(api, object).await };
    done.map_err(|e| explain(object, present, &e))
}

async fn put(api: &Api, object: &Object) -> Result<(), ApiError> {
    let resource = served(api, object).await?;
    let mut manifest = current(api, object, &resource).await?;
    if resource.namespaced {
        manifest["metadata"]["namespace"] = namespace(&resource, object).into();
    }
    if object.kind == "Node" {
        patch_node(api, object, &resource).await?;
    }
    let end = Instant::now() + WEBHOOK;
    loop {
        match api.apply(&resource, &manifest).await {
            Ok(_) => break,
            Err(e) if is_webhook(&e) && Instant::now() < end => tokio::time::sleep(POLL).await,
            Err(e) => return Err(e),
        }
    }
    if object.kind == "CustomResourceDefinition" {
        let established = [Condition::CrdEstablished { name: object.name.clone() }];
        api.wait(&established, SERVED, &mut |_| ()).await.map_err(|seen| not_yet(SERVED, &seen[0].1))?;
        api.forget_discovery();
    }
    Ok(())
}

/// Where the API serves the object's kind, waiting a little for one that was just defined.
async fn served(api: &Api, object: &Object) -> Result<Resource, ApiError> {
    let end = Instant::now() + SERVED;
    loop {
        if let Some(resource) = api.resource(&object.api_version, &object.kind).await? {
            return Ok(resource);
        }
        if Instant::now() >= end {
            return Err(ApiError::Status {
                code: 404,
                reason: "NotFound".into(),
                message: format!("no kind {} in {} is served", object.kind, object.api_version),
                causes: Vec::new(),
                retry_after: 0,
            });
        }
        api.forget_discovery();
        tokio::time::sleep(POLL).await;
    }
}

/// The manifest as it is to be applied now: a certificate that was renewed since the plan is kept, and so is what the
/// API remembers.
async fn current(api: &Api, object: &Object, resource: &Resource) -> Result<Value, ApiError> {
    if object.certificate.is_none() && object.name != INVENTORY {
        return Ok(object.manifest.clone());
    }
    let live = api.get(resource, namespace(resource, object), &object.name).await?.unwrap_or_default();
    Ok(memory::merged(object, &live).unwrap_or_else(|| object.renewed(&live, clock()).manifest))
}

/// Does on a node, once it has registered, what an apply cannot. The patch holds the version that was read, so a change
/// of somebody else's in between is a conflict and everything is read again.
async fn patch_node(api: &Api, object: &Object, nodes: &Resource) -> Result<(), ApiError> {
    let end = Instant::now() + REGISTERED;
    loop {
        let Some(live) = api.get(nodes, "", &object.name).await? else {
            if Instant::now() >= end {
                return Err(not_yet(REGISTERED, "the node has not registered: is its kubelet up?"));
            }
            tokio::time::sleep(POLL).await;
            continue;
        };
        let Some(patch) = node_patch(&object.manifest, &live) else { return Ok(()) };
        match api.merge_patch(nodes, "", &object.name, &patch).await {
            Err(e) if e.is_conflict() && Instant::now() < end => {}
            other => return other.map(|_: Value| ()),
        }
    }
}

async fn remove(api: &Api, object: &Object) -> Result<(), ApiError> {
    // A kind that is no longer served has no objects.
    let Some(resource) = api.resource(&object.api_version, &object.kind).await? else { return Ok(()) };
    // Workloads are gone when their pods are.
    let how = if ["apps", "batch"].contains(&resource.group.as_str()) { Propagation::Foreground } else { Propagation::Background };
    let place = namespace(&resource, object);
    if !api.delete(&resource, place, &object.name, how).await? {
        return Ok(());
    }
    let end = Instant::now() + GONE;
    while let Some(live) = api.get(&resource, place, &object.name).await? {
        if Instant::now() >= end {
            return Err(not_yet(GONE, &format!("it is still being deleted: {}", remains(&live))));
        }
        tokio::time::sleep(POLL).await;
    }
    if object.kind == "CustomResourceDefinition" {
        api.forget_discovery();
    }
    if object.kind == "Node" {
        api.bury(&object.name).await?;
        // Where the one that led was on that node, Services would go on naming its pods until another does.
        api.led(&|_| ()).await?;
    }
    Ok(())
}

/// What keeps an object that is being deleted: what its status complains of, else its finalizers.
fn remains(live: &Value) -> String {
    let conditions = live["status"]["conditions"].as_array().into_iter().flatten();
    let told: Vec<&str> = conditions.filter(|c| c["status"] == "True").filter_map(|c| c["message"].as_str()).collect();
    if told.is_empty() { format!("its finalizers are {}", live["metadata"]["finalizers"]) } else { told.join("; ") }
}

fn is_webhook(e: &ApiError) -> bool {
    matches!(e, ApiError::Status { code: 500 | 503, message, .. } if message.contains("failed calling webhook"))
}

fn not_yet(limit: Duration, seen: &str) -> ApiError {
    ApiError::NotYet { seconds: limit.as_secs(), seen: seen.into() }
}

/// An API error's message and causes, on one line.
pub(super) fn words(e: &ApiError) -> String {
    match e {
        ApiError::Status { message, causes, .. } if !causes.iter().all(|c| message.contains(c.as_str())) => {
            format!("{message} ({})", causes.join("; "))
        }
        ApiError::Status { message, .. } => message.clone(),
        other => other.to_string(),
    }
}

fn explain(object: &Object, present: bool, e: &ApiError) -> Failure {
    let verb = if present { "applied" } else { "deleted" };
    let mut failure = Failure::failed(format!("{object} (add-on {}) was not {verb}", object.addon)).seen(e.to_string());
    if let ApiError::Status { causes, .. } = e {
        failure = causes.iter().fold(failure, Failure::seen);
    }
    match help(object, e) {
        Some(help) => failure.help(help),
        None => failure,
    }
}

fn help(object: &Object, e: &ApiError) -> Option<String> {
    let ApiError::Status { code, message, .. } = e else {
        return Some("run again: what was applied stays, the rest follows".into());
    };
    let delete = || {
        let place = if object.namespace.is_empty() { String::new() } else { format!(" -n {}", object.namespace) };
        format!("kubectl delete{place} {} {}", object.kind.to_lowercase(), object.name)
    };
    if message.contains("immutable") || message.contains("updates to statefulset spec") {
        return Some(format!("such a field cannot be changed in place; if the object may go for a moment: {}", delete()));
    }
    if *code == 404 && message.contains("namespaces") {
        return Some(format!("add a Namespace {} to the add-on's manifests, or name one that exists", object.namespace));
    }
    if *code == 404 {
        return Some(format!("add the CustomResourceDefinition of {} to an add-on that this one needs, or check apiVersion", object.kind));
    }
    match code {
        400 | 422 => Some("mend the manifest".into()),
        500 | 503 if message.contains("failed calling webhook") => {
            Some("the webhook's pods do not answer: kubectl get pods -A; a webhook whose service is gone must be deleted by hand".into())
        }
        _ => None,
    }
}
