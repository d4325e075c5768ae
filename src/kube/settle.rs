//! Whether conditions hold, and what is seen where they do not.

use super::nodes::condition;
use super::workload::why_not;
use super::{Api, ApiError, Condition, NodeStatus, Resource};
use futures::future::join_all;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Time between two looks.
const POLL: Duration = Duration::from_millis(500);

impl Api {
    /// Looks once: `None` where the condition holds, else what was seen.
    pub async fn lacks(&self, condition: &Condition) -> Result<Option<String>, ApiError> {
        match condition {
            Condition::DeploymentAvailable { namespace, name } => self.workload("Deployment", namespace, name, deployment).await,
            Condition::DaemonSetReady { namespace, name } => self.workload("DaemonSet", namespace, name, daemon_set).await,
            Condition::StatefulSetReady { namespace, name } => self.workload("StatefulSet", namespace, name, stateful_set).await,
            Condition::JobComplete { namespace, name } => {
                let Some(live) = self.fetch("batch/v1", "Job", namespace, name).await? else { return Ok(Some("not there yet".into())) };
                let Some(seen) = job(&live) else { return Ok(None) };
                Ok(Some(with_reason(seen, why_not(self, &live).await)))
            }
            Condition::ApiServiceAvailable { name } => {
                Ok(told(self.fetch("apiregistration.k8s.io/v1", "APIService", "", name).await?.as_ref(), "Available"))
            }
            Condition::CrdEstablished { name } => {
                Ok(told(self.fetch("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name).await?.as_ref(), "Established"))
            }
            Condition::NodesReady { names } => self.nodes_ready(names).await,
        }
    }

    /// Looks at all of them, at the same time: what was seen of those that do not hold.
    pub async fn settle(&self, conditions: &[Condition]) -> Vec<(Condition, String)> {
        let looks = conditions.iter().map(|c| async move {
            match self.lacks(c).await {
                Ok(None) => None,
                Ok(Some(seen)) => Some((c.clone(), seen)),
                Err(e) => Some((c.clone(), e.to_string())),
            }
        });
        join_all(looks).await.into_iter().flatten().collect()
    }

    /// Looks at all of them, at the same time.
    ///
    /// # Errors
    /// What was seen of those that do not hold, one line each.
    pub async fn check(&self, conditions: &[Condition]) -> Result<(), String> {
        let lacking: Vec<String> = self.settle(conditions).await.into_iter().map(|(c, seen)| format!("{}: {seen}", c.subject())).collect();
        if lacking.is_empty() { Ok(()) } else { Err(lacking.join("\n")) }
    }

    /// Looks until all hold or `deadline` passed, telling `seen` what is seen meanwhile (when it changes).
    ///
    /// # Errors
    /// What was seen last of those that do not hold.
    pub async fn wait(
        &self,
        conditions: &[Condition],
        deadline: Duration,
        seen: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), Vec<(Condition, String)>> {
        let end = Instant::now() + deadline;
        let mut left = conditions.to_vec();
        let mut last = String::new();
        loop {
            let lacking = self.settle(&left).await;
            if lacking.is_empty() {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(lacking);
            }
            let text = lacking.iter().map(|(c, s)| format!("{}: {s}", c.subject())).collect::<Vec<_>>().join("; ");
            if text != last {
                seen(&text);
                last = text;
            }
            left = lacking.into_iter().map(|(c, _)| c).collect();
            tokio::time::sleep(POLL).await;
        }
    }

    async fn fetch(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Option<Value>, ApiError> {
        match Resource::builtin(api_version, kind) {
            Some(resource) => self.get(&resource, namespace, name).await,
            None => Ok(None),
        }
    }

    async fn workload(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        judge: fn(&Value) -> Option<String>,
    ) -> Result<Option<String>, ApiError> {
        let Some(live) = self.fetch("apps/v1", kind, namespace, name).await? else { return Ok(Some("not there yet".into())) };
        let Some(seen) = judge(&live) else { return Ok(None) };
        Ok(Some(with_reason(seen, why_not(self, &live).await)))
    }

    async fn nodes_ready(&self, names: &[String]) -> Result<Option<String>, ApiError> {
        let known = self.nodes().await?;
        let lacking: Vec<String> = names
            .iter()
            .filter_map(|name| match known.iter().find(|n| n.name == *name) {
                None => Some(format!("{name} has not registered")),
                Some(NodeStatus { ready: true, .. }) => None,
                Some(node) => Some(format!("{name}: {}", node.why)),
            })
            .collect();
        Ok(if lacking.is_empty() { None } else { Some(lacking.join("; ")) })
    }
}

fn with_reason(seen: String, reason: Option<String>) -> String {
    match reason {
        Some(reason) => format!("{seen}: {reason}"),
        None => seen,
    }
}

/// What a condition of the object itself says; `None` where it is true.
fn told(live: Option<&Value>, kind: &str) -> Option<String> {
    let Some(live) = live else { return Some("not there yet".into()) };
    match condition(live, kind) {
        Some(c) if c["status"] == "True" => None,
        Some(c) => Some(format!("{}: {}", c["reason"].as_str().unwrap_or("not so"), c["message"].as_str().unwrap_or_default())),
        None => Some("the API has not judged it yet".into()),
    }
}

/// Whether the controller has seen the current spec; before that, its status is about an older one.
fn observed(live: &Value) -> bool {
    live["status"]["observedGeneration"].as_i64() >= live["metadata"]["generation"].as_i64()
}

fn count(v: &Value) -> i64 {
    v.as_i64().unwrap_or(0)
}

fn deployment(live: &Value) -> Option<String> {
    let (spec, status) = (&live["spec"], &live["status"]);
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    if !observed(live) {
        return Some("not looked at yet".into());
    }
    let (updated, available) = (count(&status["updatedReplicas"]), count(&status["availableReplicas"]));
    let enough = wanted == 0 || condition(live, "Available").is_some_and(|c| c["status"] == "True");
    // With an old template's pods still serving, Available alone would say nothing about the new one.
    let current = updated >= wanted && (count(&status["replicas"]) == updated || spec["paused"] == true);
    if enough && (current || spec["paused"] == true) {
        return None;
    }
    Some(format!("{available} of {wanted} pods available, {updated} of the current template"))
}

fn daemon_set(live: &Value) -> Option<String> {
    let status = &live["status"];
    let wanted = count(&status["desiredNumberScheduled"]);
    let (ready, updated) = (count(&status["numberReady"]), count(&status["updatedNumberScheduled"]));
    let on_delete = live["spec"]["updateStrategy"]["type"] == "OnDelete";
    if observed(live) && ready >= wanted && (updated >= wanted || on_delete) {
        return None;
    }
    Some(format!("{ready} of {wanted} pods ready, {updated} of the current template"))
}

fn stateful_set(live: &Value) -> Option<String> {
    let status = &live["status"];
    let wanted = live["spec"]["replicas"].as_i64().unwrap_or(1);
    let ready = count(&status["readyReplicas"]);
    if observed(live) && ready >= wanted {
        return None;
    }
    Some(format!("{ready} of {wanted} pods ready"))
}

fn job(live: &Value) -> Option<String> {
    if condition(live, "Complete").is_some_and(|c| c["status"] == "True") {
        return None;
    }
    if let Some(failed) = condition(live, "Failed").filter(|c| c["status"] == "True") {
        return Some(format!("failed: {}", failed["message"].as_str().unwrap_or_default()));
    }
    Some(format!("{} pods running, {} failed", count(&live["status"]["active"]), count(&live["status"]["failed"])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live(spec: &Value, status: &Value) -> Value {
        json!({"metadata": {"generation": 2}, "spec": spec, "status": status})
    }

    #[test]
    fn deployments() {
        let yes = json!([{"type": "Available", "status": "True"}]);
        let table = [
            (json!({"observedGeneration": 1, "conditions": yes}), Some("not looked at yet")),
            (
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "availableReplicas": 2, "conditions": yes}),
                Some("2 of 2 pods available, 1 of the current template"),
            ),
            (json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "conditions": yes}), None),
            (
                json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "conditions": [{"type": "Available", "status": "False"}]}),
                Some("0 of 2 pods available, 2 of the current template"),
            ),
        ];
        for (status, seen) in table {
            assert_eq!(deployment(&live(&json!({"replicas": 2}), &status)).as_deref(), seen);
        }
    }

    #[test]
    fn daemon_sets_stateful_sets_jobs() {
        let none = live(&json!({}), &json!({"observedGeneration": 2, "desiredNumberScheduled": 0}));
        assert_eq!(daemon_set(&none), None);
        let some =
            live(&json!({}), &json!({"observedGeneration": 2, "desiredNumberScheduled": 3, "numberReady": 2, "updatedNumberScheduled": 3}));
        assert_eq!(daemon_set(&some).as_deref(), Some("2 of 3 pods ready, 3 of the current template"));
        let set = live(&json!({"replicas": 2}), &json!({"observedGeneration": 2, "readyReplicas": 1}));
        assert_eq!(stateful_set(&set).as_deref(), Some("1 of 2 pods ready"));
        let done = live(&json!({}), &json!({"conditions": [{"type": "Complete", "status": "True"}]}));
        assert_eq!(job(&done), None);
        let bad = live(
            &json!({}),
            &json!({"conditions": [{"type": "Failed", "status": "True", "message": "Job has reached the specified backoff limit"}]}),
        );
        assert_eq!(job(&bad).as_deref(), Some("failed: Job has reached the specified backoff limit"));
    }

    #[test]
    fn a_condition_of_the_object_itself() {
        let waiting = json!({"status": {"conditions": [{"type": "Available", "status": "False", "reason": "MissingEndpoints", "message": "no addresses"}]}});
        assert_eq!(told(Some(&waiting), "Available").as_deref(), Some("MissingEndpoints: no addresses"));
        assert_eq!(told(None, "Available").as_deref(), Some("not there yet"));
    }
}
