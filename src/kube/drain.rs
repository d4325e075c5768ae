//! A node as a place for pods: kept away from new ones, emptied by evictions that budgets may refuse, and given back.
//!
//! A node that we cordoned bears [`CORDONED`]; only such a node is ever given back by us, also by a later run.

use super::api::Call;
use super::guests::{Guest, guest};
use super::{Api, ApiError, NodeStatus, Resource};
use http::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The annotation of a node that homectl keeps pods away from.
pub const CORDONED: &str = "homectl.io/cordoned";

/// Without any pod leaving, an emptying is given up.
const STUCK: Duration = Duration::from_mins(5);
/// For a node to be Ready again.
const BACK: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_secs(1);

impl Api {
    /// Keeps new pods away from a node. One that somebody else cordoned stays theirs.
    ///
    /// # Errors
    /// The node is not there, or the API refuses.
    pub async fn cordon(&self, node: &str) -> Result<(), ApiError> {
        let live = self.node_object(node).await?;
        if live["spec"]["unschedulable"] == true {
            return Ok(());
        }
        let patch = json!({"metadata": {"annotations": {CORDONED: "homectl"}}, "spec": {"unschedulable": true}});
        self.patch_node(node, &patch).await
    }

    /// Cordons a node and evicts its pods, but for those of `DaemonSets` and those that ended, until all are gone. `told` hears
    /// what is waited for.
    ///
    /// # Errors
    /// No pod left for five minutes and longer than its own grace period: those that stay, each with what keeps it. Or a pod is
    /// there that nothing would make anew; it is not asked to end. The node takes pods again then, if it was us who kept them away.
    pub async fn drain(&self, node: &str, told: &(dyn Fn(&str) + Sync)) -> Result<(), ApiError> {
        self.led(told).await?;
        self.cordon(node).await?;
        let emptied = self.empty(node, told).await;
        let Err(failure) = emptied else { return Ok(()) };
        // A node that nobody works on should serve.
        Err(match (self.release(node).await, failure) {
            (Err(e), ApiError::NotYet { seconds, seen }) => {
                ApiError::NotYet { seconds, seen: format!("{seen}; {node} still takes no pods (the next run gives it back): {e}") }
            }
            (_, failure) => failure,
        })
    }

    async fn empty(&self, node: &str, told: &(dyn Fn(&str) + Sync)) -> Result<(), ApiError> {
        let (mut since, mut last) = (Instant::now(), usize::MAX);
        loop {
            let guests = self.guests_of(node).await?;
            if guests.is_empty() {
                return Ok(());
            }
            // Asked of the API once no more can come: what a plan knew of them was then.
            let bare: Vec<String> = guests.iter().filter(|g| g.owner.is_none() && !g.leaving).map(Guest::name).collect();
            if !bare.is_empty() {
                return Err(ApiError::Bare { pods: bare });
            }
            if guests.len() < last {
                (since, last) = (Instant::now(), guests.len());
            }
            let mut stay = Vec::new();
            for guest in &guests {
                stay.push(format!("{}: {}", guest.name(), self.evict(guest).await?));
            }
            let patience = STUCK.max(guests.iter().map(|g| g.grace).max().unwrap_or_default() + POLL * 30);
            if since.elapsed() > patience {
                return Err(ApiError::NotYet {
                    seconds: since.elapsed().as_secs(),
                    seen: format!("pods stay on {node}: {}", stay.join("; ")),
                });
            }
            told(&stay.join("; "));
            tokio::time::sleep(POLL).await;
        }
    }

    /// Asks for a pod's end; what keeps it, where it was refused or is still going.
    async fn evict(&self, guest: &Guest) -> Result<String, ApiError> {
        if guest.leaving {
            return Ok("is ending".into());
        }
        let path = format!("/api/v1/namespaces/{}/pods/{}/eviction", guest.namespace, guest.pod);
        let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": guest.pod, "namespace": guest.namespace}});
        let call = Call { method: Method::POST, body: Some(("application/json", body.to_string().into_bytes())), ..Call::get(&path) };
        match self.attempt(&call).await {
            Ok(()) => Ok("is asked to end".into()),
            Err(e) if e.is_not_found() => Ok("is gone".into()),
            // Its budget says when; the next round asks again.
            Err(ApiError::Status { code: 429, message, causes, .. }) => Ok(if causes.is_empty() { message } else { causes.join(", ") }),
            Err(e) if e.is_transient() => Ok(e.to_string()),
            Err(e) => Err(e),
        }
    }

    /// Waits until a node is Ready (and its kubelet of `version`, `v1.36.3`, where one is given), then gives it back.
    ///
    /// # Errors
    /// It did not come within five minutes: what was seen last. It stays cordoned then.
    pub async fn uncordon(&self, node: &str, version: Option<&str>, told: &(dyn Fn(&str) + Sync)) -> Result<(), ApiError> {
        let end = Instant::now() + BACK;
        loop {
            let ended = Instant::now() >= end;
            let seen = match self.give_back(node, version).await {
                Ok(None) => return Ok(()),
                Ok(Some(seen)) if ended => return Err(ApiError::NotYet { seconds: BACK.as_secs(), seen: format!("{node}: {seen}") }),
                Ok(Some(seen)) => seen,
                // An API that does not answer says nothing of the node.
                Err(e) if !ended && (e.is_transient() || e.is_conflict()) => e.to_string(),
                Err(e) => return Err(e),
            };
            told(&seen);
            tokio::time::sleep(POLL).await;
        }
    }

    /// Gives a node back that is ready for it; else what it lacks.
    async fn give_back(&self, node: &str, version: Option<&str>) -> Result<Option<String>, ApiError> {
        if let Some(seen) = lacks(&NodeStatus::of(&self.node_object(node).await?), version) {
            return Ok(Some(seen));
        }
        self.release(node).await.map(|()| None)
    }

    /// Lets pods come to a node that we cordoned.
    async fn release(&self, node: &str) -> Result<(), ApiError> {
        if !is_cordoned_by_us(&self.node_object(node).await?) {
            return Ok(());
        }
        self.patch_node(node, &json!({"metadata": {"annotations": {CORDONED: null}}, "spec": {"unschedulable": null}})).await
    }

    /// Forgets the pods of a node that is none any more: nobody is there to end them, and services would go on sending to them
    /// until the controllers notice, which takes a minute.
    ///
    /// # Errors
    /// The API refuses.
    pub async fn bury(&self, node: &str) -> Result<(), ApiError> {
        for pod in self.pods_on(node).await? {
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            let path = format!("/api/v1/namespaces/{}/pods/{}", text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
            let now = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}});
            let call = Call { method: Method::DELETE, body: Some(("application/json", now.to_string().into_bytes())), ..Call::get(&path) };
            match self.json(&call).await {
                Err(e) if !e.is_not_found() && !e.is_conflict() => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    async fn guests_of(&self, node: &str) -> Result<Vec<Guest>, ApiError> {
        Ok(self.pods_on(node).await?.iter().filter_map(guest).collect())
    }

    /// All pods that are bound to a node.
    pub(super) async fn pods_on(&self, node: &str) -> Result<Vec<Value>, ApiError> {
        let Some(pods) = Resource::builtin("v1", "Pod") else { return Ok(Vec::new()) };
        self.list_by(&pods, "", &[("fieldSelector", &format!("spec.nodeName={node}"))]).await
    }

    pub(super) async fn node_object(&self, node: &str) -> Result<Value, ApiError> {
        self.json(&Call::get(&format!("/api/v1/nodes/{node}"))).await
    }

    async fn patch_node(&self, node: &str, patch: &Value) -> Result<(), ApiError> {
        let Some(nodes) = Resource::builtin("v1", "Node") else { return Ok(()) };
        self.merge_patch(&nodes, "", node, patch).await.map(|_| ())
    }
}

/// Whether a Node object says that homectl keeps pods away from it: its mark is there, and whoever wrote the mark wrote the cordon, too.
/// One that was given back and cordoned anew by hand still bears the mark.
#[must_use]
pub fn is_cordoned_by_us(node: &Value) -> bool {
    let marked = !node["metadata"]["annotations"][CORDONED].is_null();
    marked && node["spec"]["unschedulable"] == true && wrote_both(node)
}

/// By what the API keeps of who wrote which field; where it keeps nothing of the mark, the mark is believed.
fn wrote_both(node: &Value) -> bool {
    let writers = node["metadata"]["managedFields"].as_array().into_iter().flatten().map(|entry| &entry["fieldsV1"]);
    let mut ours = writers.filter(|fields| !fields["f:metadata"]["f:annotations"][format!("f:{CORDONED}")].is_null()).peekable();
    ours.peek().is_none() || ours.any(|fields| !fields["f:spec"]["f:unschedulable"].is_null())
}

/// What a node lacks to be given back.
fn lacks(node: &NodeStatus, version: Option<&str>) -> Option<String> {
    match version {
        Some(version) if node.version != version => Some(format!("its kubelet says it is {}, {version} is due", node.version)),
        _ if !node.ready => Some(format!("not Ready: {}", node.why)),
        _ => None,
    }
}
