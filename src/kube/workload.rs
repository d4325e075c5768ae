//! Why a workload is not up: its pods' own words, else the latest warning about it.

use super::nodes::condition;
use super::{Api, Resource};
use serde_json::Value;

/// The most telling thing there is to say about a workload's pods; `None` where nothing is amiss (yet).
pub(super) async fn why_not(api: &Api, workload: &Value) -> Option<String> {
    let namespace = workload["metadata"]["namespace"].as_str()?;
    let selector = selector(&workload["spec"]["selector"]);
    if selector.is_empty() {
        return None;
    }
    let pods = api.list(&Resource::builtin("v1", "Pod")?, namespace, &selector).await.ok()?;
    if let Some(reason) = pods.iter().find_map(pod_trouble) {
        return Some(reason);
    }
    if pods.iter().any(|p| p["metadata"]["deletionTimestamp"].is_null()) {
        return None;
    }
    // No pods at all: quota, admission and missing accounts speak through events only.
    warning(api, namespace, workload["metadata"]["name"].as_str()?).await
}

/// A label selector as a query string.
fn selector(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut terms: Vec<String> = labels.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    for e in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = e["key"].as_str().unwrap_or_default();
        let values: Vec<&str> = e["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        match e["operator"].as_str() {
            Some("In") => terms.push(format!("{key} in ({})", values.join(","))),
            Some("NotIn") => terms.push(format!("{key} notin ({})", values.join(","))),
            Some("Exists") => terms.push(key.into()),
            Some("DoesNotExist") => terms.push(format!("!{key}")),
            _ => {}
        }
    }
    terms.join(",")
}

/// What is wrong with one pod: not placed, not pulled, crashed, not ready.
fn pod_trouble(pod: &Value) -> Option<String> {
    let name = pod["metadata"]["name"].as_str().unwrap_or("a pod");
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    if let Some(c) = condition(pod, "PodScheduled").filter(|c| c["status"] == "False") {
        return Some(format!("{name} is not placed: {}", text(&c["message"])));
    }
    let statuses = ["initContainerStatuses", "containerStatuses"];
    for container in statuses.iter().flat_map(|s| pod["status"][*s].as_array().into_iter().flatten()) {
        let (reason, message) = (text(&container["state"]["waiting"]["reason"]), text(&container["state"]["waiting"]["message"]));
        // These two are how every start looks.
        if !reason.is_empty() && reason != "ContainerCreating" && reason != "PodInitializing" {
            let ended = &container["lastState"]["terminated"];
            let last = if ended.is_null() {
                String::new()
            } else {
                format!("; its last end: {} (exit {}) {}", text(&ended["reason"]), ended["exitCode"], words(&ended["message"]))
            };
            return Some(format!("{name} {reason}: {message}{}", last.trim_end()));
        }
        let ended = &container["state"]["terminated"];
        if ended["exitCode"].as_i64().is_some_and(|code| code != 0) {
            return Some(format!("{name} {} (exit {}) {}", text(&ended["reason"]), ended["exitCode"], words(&ended["message"])));
        }
    }
    if pod["status"]["phase"] == "Failed" {
        return Some(format!("{name} {}: {}", text(&pod["status"]["reason"]), text(&pod["status"]["message"])));
    }
    let starting = condition(pod, "ContainersReady").is_some_and(|c| c["status"] == "False") && pod["status"]["phase"] == "Running";
    starting.then(|| format!("{name} runs but its readiness probe does not pass yet"))
}

/// The latest warning in the namespace about something whose name begins with `name`.
async fn warning(api: &Api, namespace: &str, name: &str) -> Option<String> {
    let events = Resource { group: String::new(), version: "v1".into(), kind: "Event".into(), plural: "events".into(), namespaced: true };
    let all = api.list_by(&events, namespace, &[("fieldSelector", "type=Warning")]).await.ok()?;
    let about = all.iter().filter(|e| e["involvedObject"]["name"].as_str().is_some_and(|n| n.starts_with(name)));
    // Older recorders write one time, newer ones the other.
    let time = |e: &Value| e["lastTimestamp"].as_str().or_else(|| e["eventTime"].as_str()).unwrap_or_default().to_owned();
    let latest = about.max_by_key(|e| time(e))?;
    Some(format!("{}: {}", latest["reason"].as_str().unwrap_or_default(), latest["message"].as_str().unwrap_or_default()))
}

/// What a container said at its end: often many lines of log, of which the first and the last tell most.
fn words(message: &Value) -> String {
    let mut lines = message.as_str().unwrap_or_default().lines().map(str::trim).filter(|l| !l.is_empty());
    match (lines.next(), lines.next_back()) {
        (Some(first), Some(last)) => format!("{first} … {last}"),
        (Some(only), None) => only.to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_pods_say() {
        let table = [
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]}),
                Some("x-1 is not placed: 0/1 nodes are available"),
            ),
            (
                json!({"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"a:1\""}}}]}),
                Some("x-1 ImagePullBackOff: Back-off pulling image \"a:1\""),
            ),
            (
                json!({"containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
                    "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "panic: Loop\n\nat a\n  b.go:7\n"}}}]}),
                Some("x-1 CrashLoopBackOff: back-off 10s; its last end: Error (exit 1) panic: Loop … b.go:7"),
            ),
            (json!({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}), None),
            (
                json!({"phase": "Running", "conditions": [{"type": "ContainersReady", "status": "False"}]}),
                Some("x-1 runs but its readiness probe does not pass yet"),
            ),
        ];
        for (status, said) in table {
            assert_eq!(pod_trouble(&json!({"metadata": {"name": "x-1"}, "status": status})).as_deref(), said);
        }
    }

    #[test]
    fn selectors() {
        let s = json!({"matchLabels": {"a": "b"}, "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["d", "e"]}, {"key": "f", "operator": "DoesNotExist"}]});
        assert_eq!(selector(&s), "a=b,c in (d,e),!f");
    }
}
