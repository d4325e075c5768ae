//! Whom pods trust: the authority's certificate that lies in every namespace, and pods that began before it changed and read
//! it only once. And whom those trust who serve parts of the API.

use super::{Api, ApiError, Condition, Resource};
use crate::pki::{Ca, without_former};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What the controller manager keeps in every namespace, under `ca.crt`.
const PUBLISHED: &str = "kube-root-ca.crt";

/// Where API servers tell those who serve parts of the API whom to trust, by key.
const TOLD: (&str, &str) = ("kube-system", "extension-apiserver-authentication");
const TOLD_OF: [(&str, Ca); 2] = [("client-ca-file", Ca::Cluster), ("requestheader-client-ca-file", Ca::FrontProxy)];
/// By which kubectl has pods begin again.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";
/// How often it is tried while API servers write there, too.
const TRIES: u32 = 5;

/// What runs pods that began too early.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    pub namespace: String,
    /// `deployment/coredns`; `pod/x` where nothing would make it anew.
    pub what: String,
}

impl Holder {
    /// What a person types to have its pods begin again.
    #[must_use]
    pub fn restart(&self) -> String {
        let verb = if self.what.starts_with("pod/") { "delete" } else { "rollout restart" };
        format!("kubectl -n {} {verb} {}", self.namespace, self.what)
    }

    /// Whether it is its workload that the condition is about.
    #[must_use]
    pub fn is_in(&self, condition: &Condition) -> bool {
        condition.workload().is_some_and(|(namespace, what)| (namespace, what.as_str()) == (self.namespace.as_str(), self.what.as_str()))
    }
}

impl Api {
    /// Namespaces in which another bundle than `pem` is published, or none.
    ///
    /// # Errors
    /// The API does not answer.
    pub async fn unpublished(&self, pem: &str) -> Result<Vec<String>, ApiError> {
        let (Some(maps), Some(namespaces)) = (self.resource("v1", "ConfigMap").await?, self.resource("v1", "Namespace").await?) else {
            return Ok(Vec::new());
        };
        let field = format!("metadata.name={PUBLISHED}");
        let published = self.list_by(&maps, "", &[("fieldSelector", &field)]).await?;
        let good = |map: &&Value| map["data"]["ca.crt"].as_str().is_some_and(|text| text.trim_end() == pem.trim_end());
        let good: BTreeSet<&str> = published.iter().filter(good).filter_map(|map| map["metadata"]["namespace"].as_str()).collect();
        let ends = |namespace: &Value| !namespace["metadata"]["deletionTimestamp"].is_null();
        let all = self.list(&namespaces, "", "").await?;
        let names = all.iter().filter(|n| !ends(n)).filter_map(|n| n["metadata"]["name"].as_str());
        Ok(names.filter(|name| !good.contains(name)).map(str::to_owned).collect())
    }

    /// Takes authorities of ours that are not `trusted` any more out of what API servers tell those who serve parts of the API; says
    /// whether there were any. They add to it what they trust themselves, and let go of nothing before it has expired.
    ///
    /// # Errors
    /// The API does not answer, or somebody goes on writing there.
    pub async fn forget_former(&self, trusted: impl Fn(Ca) -> String) -> Result<bool, ApiError> {
        let Some(maps) = self.resource("v1", "ConfigMap").await? else { return Ok(false) };
        let (namespace, name) = TOLD;
        for again in 1.. {
            let Some(map) = self.get(&maps, namespace, name).await? else { return Ok(false) };
            let left = |(key, ca): (&str, Ca)| Some((key.to_owned(), without_former(map["data"][key].as_str()?, ca, &trusted(ca))?.into()));
            let data: serde_json::Map<String, Value> = TOLD_OF.into_iter().filter_map(left).collect();
            if data.is_empty() {
                return Ok(again > 1);
            }
            let patch = json!({"metadata": {"resourceVersion": map["metadata"]["resourceVersion"]}, "data": data});
            match self.merge_patch(&maps, namespace, name, &patch).await {
                Err(e) if !e.is_conflict() || again == TRIES => return Err(e),
                Ok(_) if again == TRIES => break,
                // Read once more: an API server may have written what it had read before.
                Ok(_) | Err(_) => {}
            }
        }
        Err(ApiError::NotYet { seconds: 0, seen: format!("somebody puts them back into ConfigMap {namespace}/{name}") })
    }

    /// What runs pods that have had the published bundle since before `since` (Unix seconds).
    ///
    /// # Errors
    /// The API does not answer.
    pub async fn holders(&self, since: i64) -> Result<Vec<Holder>, ApiError> {
        let Some(pods) = self.resource("v1", "Pod").await? else { return Ok(Vec::new()) };
        let pods = self.list(&pods, "", "").await?;
        let all: BTreeSet<Holder> = pods.iter().filter(|pod| holds(pod, since)).map(holder).collect();
        Ok(all.into_iter().collect())
    }

    /// Has the pods of a workload begin again, as `kubectl rollout restart` does; `false` where nothing would make them anew, and they
    /// are left alone.
    ///
    /// # Errors
    /// The API does not answer, or there is no such workload.
    pub async fn restart(&self, holder: &Holder) -> Result<bool, ApiError> {
        let Some((resource, name)) = controller(&holder.what) else { return Ok(false) };
        let annotations = json!({RESTARTED: jiff::Timestamp::now().to_string()});
        let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        self.merge_patch(&resource, &holder.namespace, name, &patch).await.map(|_| true)
    }
}

/// What runs pods, by the name that kubectl has for it.
fn controller(what: &str) -> Option<(Resource, &str)> {
    let (kind, name) = what.split_once('/')?;
    let kind = match kind {
        "deployment" => "Deployment",
        "daemonset" => "DaemonSet",
        "statefulset" => "StatefulSet",
        _ => return None,
    };
    Some((Resource::builtin("apps/v1", kind)?, name))
}

/// Whether a pod still runs that began before `since` and has the bundle in one of its volumes.
fn holds(pod: &Value, since: i64) -> bool {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let sources = volumes.flat_map(|v| v["projected"]["sources"].as_array().into_iter().flatten().chain([v]));
    let has = sources.into_iter().any(|s| s["configMap"]["name"] == PUBLISHED);
    let ended = ["Succeeded", "Failed"].iter().any(|phase| pod["status"]["phase"] == *phase);
    let leaves = !pod["metadata"]["deletionTimestamp"].is_null();
    let began = pod["status"]["startTime"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    has && !ended && !leaves && began.is_some_and(|at| at.as_second() < since)
}

fn holder(pod: &Value) -> Holder {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let metadata = &pod["metadata"];
    let owner = metadata["ownerReferences"].as_array().into_iter().flatten().find(|o| o["controller"] == true);
    let (kind, name) = owner.map(|o| (text(&o["kind"]).to_lowercase(), text(&o["name"]))).unwrap_or_default();
    let what = match (kind.as_str(), metadata["labels"]["pod-template-hash"].as_str()) {
        ("replicaset", Some(hash)) => format!("deployment/{}", name.strip_suffix(&format!("-{hash}")).unwrap_or(&name)),
        ("daemonset" | "statefulset", _) => format!("{kind}/{name}"),
        _ => format!("pod/{}", text(&metadata["name"])),
    };
    Holder { namespace: text(&metadata["namespace"]), what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_has_the_old_bundle_and_how_its_pods_begin_again() {
        let pod = |owner: Value, began: &str, source: &str| {
            json!({
                "metadata": {"name": "x-abc-1", "namespace": "media", "labels": {"pod-template-hash": "abc"}, "ownerReferences": owner},
                "spec": {"volumes": [{"projected": {"sources": [{"serviceAccountToken": {}}, {"configMap": {"name": source}}]}}]},
                "status": {"phase": "Running", "startTime": began},
            })
        };
        let owner = |kind: &str, name: &str| json!([{"kind": kind, "name": name, "controller": true}]);
        let (early, late) = ("2026-11-22T08:00:00Z", "2026-11-22T10:00:00Z");
        let since = "2026-11-22T09:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
        assert!(holds(&pod(json!([]), early, PUBLISHED), since));
        assert!(!holds(&pod(json!([]), late, PUBLISHED), since) && !holds(&pod(json!([]), early, "other"), since));
        let told = |owner: Value| holder(&pod(owner, early, PUBLISHED)).restart();
        assert_eq!(told(owner("ReplicaSet", "x-abc")), "kubectl -n media rollout restart deployment/x");
        assert_eq!(told(owner("DaemonSet", "x")), "kubectl -n media rollout restart daemonset/x");
        assert_eq!(told(owner("Job", "x")), "kubectl -n media delete pod/x-abc-1");
        assert_eq!(told(json!([])), "kubectl -n media delete pod/x-abc-1");
    }
}
