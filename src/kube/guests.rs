//! Pods that would have to leave a node, and what each would lose by it: told before anything is drained.

use super::{Api, ApiError, Resource};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// A pod that a drain moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    pub namespace: String,
    pub pod: String,
    /// Kind and name of what would make it anew; nothing for a bare pod.
    pub owner: Option<(String, String)>,
    /// It is ending already.
    pub leaving: bool,
    /// What it may take to end.
    pub grace: Duration,
    /// Its `emptyDir` volumes on disk.
    pub scratch: Vec<String>,
    /// Its claims of volumes.
    pub claims: Vec<String>,
    /// Its labels, which budgets select by.
    pub labels: BTreeMap<String, String>,
}

/// For how long a node is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// It comes back with its disk.
    ForAWhile,
    ForGood,
}

/// What a drain of one node would mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaving {
    /// For people, a line each: `media/jellyfin-0: its only replica, away until it runs elsewhere`.
    pub losses: Vec<String>,
    /// Pods that nothing would make anew.
    pub bare: Vec<String>,
    /// How many pods leave.
    pub pods: usize,
}

impl Guest {
    /// `namespace/pod`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.namespace, self.pod)
    }
}

/// The pod as a guest; nothing where a drain leaves it alone (of a `DaemonSet`, the kubelet's own, or ended).
pub(super) fn guest(pod: &Value) -> Option<Guest> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let (metadata, spec) = (&pod["metadata"], &pod["spec"]);
    let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
    let owner = owners.filter(|o| o["controller"] == true).map(|o| (text(&o["kind"]), text(&o["name"]))).next();
    let ended = ["Succeeded", "Failed"].iter().any(|phase| pod["status"]["phase"] == *phase);
    let mirror = !metadata["annotations"]["kubernetes.io/config.mirror"].is_null();
    if ended || mirror || owner.as_ref().is_some_and(|(kind, _)| kind == "DaemonSet") {
        return None;
    }
    let volumes: Vec<&Value> = spec["volumes"].as_array().into_iter().flatten().collect();
    let on_disk = |v: &&&Value| v["emptyDir"].is_object() && v["emptyDir"]["medium"] != "Memory";
    Some(Guest {
        namespace: text(&metadata["namespace"]),
        pod: text(&metadata["name"]),
        owner,
        leaving: !metadata["deletionTimestamp"].is_null(),
        grace: Duration::from_secs(spec["terminationGracePeriodSeconds"].as_u64().unwrap_or(30)),
        scratch: volumes.iter().filter(on_disk).map(|v| text(&v["name"])).collect(),
        claims: volumes.iter().filter_map(|v| v["persistentVolumeClaim"]["claimName"].as_str().map(str::to_owned)).collect(),
        labels: metadata["labels"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), text(v))).collect(),
    })
}

/// Everything in the API that tells what pods would lose.
struct Means {
    replica_sets: Vec<Value>,
    stateful_sets: Vec<Value>,
    budgets: Vec<Value>,
    claims: Vec<Value>,
    volumes: Vec<Value>,
}

impl Api {
    /// What draining each of these nodes would mean, by their names, where they are `away` afterwards.
    ///
    /// # Errors
    /// The API does not answer.
    pub async fn leaving(&self, nodes: &[&str], away: Away) -> Result<BTreeMap<String, Leaving>, ApiError> {
        let (replica_sets, stateful_sets, budgets, claims, volumes) = tokio::try_join!(
            self.all("apps/v1", "ReplicaSet"),
            self.all("apps/v1", "StatefulSet"),
            self.all("policy/v1", "PodDisruptionBudget"),
            self.all("v1", "PersistentVolumeClaim"),
            self.all("v1", "PersistentVolume"),
        )?;
        let means = Means { replica_sets, stateful_sets, budgets, claims, volumes };
        let mut all = BTreeMap::new();
        for node in nodes {
            let guests: Vec<Guest> = self.pods_on(node).await?.iter().filter_map(guest).collect();
            all.insert((*node).to_owned(), means.judge(&guests, away));
        }
        Ok(all)
    }

    async fn all(&self, api_version: &str, kind: &str) -> Result<Vec<Value>, ApiError> {
        match Resource::builtin(api_version, kind) {
            Some(resource) => self.list(&resource, "", "").await,
            None => Ok(Vec::new()),
        }
    }
}

impl Means {
    fn judge(&self, guests: &[Guest], away: Away) -> Leaving {
        let mut leaving = Leaving { pods: guests.len(), ..Leaving::default() };
        for guest in guests {
            if guest.owner.is_none() {
                leaving.bare.push(guest.name());
            }
            let losses = [self.alone(guest), self.bound(guest, away), scratch(guest), self.budget(guest)];
            leaving.losses.extend(losses.into_iter().flatten().map(|loss| format!("{}: {loss}", guest.name())));
        }
        leaving
    }

    fn alone(&self, guest: &Guest) -> Option<String> {
        let (kind, name) = guest.owner.as_ref()?;
        let sets = match kind.as_str() {
            "ReplicaSet" => &self.replica_sets,
            "StatefulSet" => &self.stateful_sets,
            _ => return None,
        };
        let set = sets.iter().find(|s| s["metadata"]["name"] == *name && s["metadata"]["namespace"] == *guest.namespace)?;
        (set["spec"]["replicas"].as_i64().unwrap_or(1) <= 1).then(|| "its only replica, away until it runs elsewhere".to_owned())
    }

    /// Its data lies on this node, so it cannot run on another.
    fn bound(&self, guest: &Guest, away: Away) -> Option<String> {
        let of = |claim: &&String| {
            let claim = self.claims.iter().find(|c| c["metadata"]["name"] == **claim && c["metadata"]["namespace"] == *guest.namespace)?;
            let name = claim["spec"]["volumeName"].as_str()?;
            let volume = self.volumes.iter().find(|v| v["metadata"]["name"] == name)?;
            (!volume["spec"]["nodeAffinity"].is_null()).then(|| name.to_owned())
        };
        let here: Vec<String> = guest.claims.iter().filter_map(|c| of(&c)).collect();
        let then = match away {
            Away::ForAWhile => "away until the node is back",
            Away::ForGood => "it runs nowhere again, unless its data is brought to a new volume",
        };
        (!here.is_empty()).then(|| format!("its volume lies on this node ({}): {then}", here.join(", ")))
    }

    fn budget(&self, guest: &Guest) -> Option<String> {
        let hold = |b: &&Value| {
            b["metadata"]["namespace"] == *guest.namespace
                && b["status"]["disruptionsAllowed"].as_i64() == Some(0)
                && selects(&b["spec"]["selector"], &guest.labels)
        };
        let budget = self.budgets.iter().find(hold)?;
        let name = budget["metadata"]["name"].as_str().unwrap_or_default();
        Some(format!("the PodDisruptionBudget {name} allows no disruption now: it is waited for, then given up"))
    }
}

fn scratch(guest: &Guest) -> Option<String> {
    (!guest.scratch.is_empty()).then(|| format!("what its emptyDir holds is lost ({})", guest.scratch.join(", ")))
}

/// Whether a label selector matches; an empty one matches all.
fn selects(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let exact = selector["matchLabels"].as_object().into_iter().flatten();
    let sets = selector["matchExpressions"].as_array().into_iter().flatten();
    let held = |e: &Value| {
        let value = e["key"].as_str().and_then(|k| labels.get(k));
        let among = || value.is_some_and(|v| e["values"].as_array().into_iter().flatten().any(|w| w == v.as_str()));
        match e["operator"].as_str().unwrap_or_default() {
            "In" => among(),
            "NotIn" => !among(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    };
    exact.into_iter().all(|(k, v)| labels.get(k).is_some_and(|l| v == l.as_str())) && sets.into_iter().all(held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, owner: Option<&str>, more: &Value) -> Value {
        let owners = owner.map(|kind| json!([{"kind": kind, "name": "set", "controller": true}]));
        let mut pod = json!({"metadata": {"name": name, "namespace": "media", "labels": {"app": "x"}, "ownerReferences": owners},
            "spec": {}, "status": {"phase": "Running"}});
        for (key, value) in more.as_object().into_iter().flatten() {
            pod[key] = value.clone();
        }
        pod
    }

    #[test]
    fn who_has_to_leave() {
        assert!(guest(&pod("a", Some("ReplicaSet"), &json!({}))).is_some());
        assert!(guest(&pod("a", None, &json!({}))).is_some());
        assert!(guest(&pod("a", Some("DaemonSet"), &json!({}))).is_none());
        assert!(guest(&pod("a", Some("Job"), &json!({"status": {"phase": "Succeeded"}}))).is_none());
    }

    #[test]
    fn what_each_would_lose() {
        let volumes = json!([{"name": "cache", "emptyDir": {}}, {"name": "run", "emptyDir": {"medium": "Memory"}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "films"}}]);
        let guests: Vec<Guest> = [pod("alone", Some("ReplicaSet"), &json!({"spec": {"volumes": volumes}})), pod("bare", None, &json!({}))]
            .iter()
            .filter_map(guest)
            .collect();
        let named = |name: &str| json!({"name": name, "namespace": "media"});
        let means = Means {
            replica_sets: vec![json!({"metadata": named("set"), "spec": {"replicas": 1}})],
            stateful_sets: Vec::new(),
            budgets: vec![
                json!({"metadata": named("keep"), "spec": {"selector": {"matchLabels": {"app": "x"}}}, "status": {"disruptionsAllowed": 0}}),
                json!({"metadata": named("other"), "spec": {"selector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]}},
                    "status": {"disruptionsAllowed": 0}}),
            ],
            claims: vec![json!({"metadata": named("films"), "spec": {"volumeName": "pv1"}})],
            volumes: vec![json!({"metadata": {"name": "pv1"}, "spec": {"nodeAffinity": {}}})],
        };
        let leaving = means.judge(&guests, Away::ForAWhile);
        assert_eq!((leaving.pods, leaving.bare), (2, vec!["media/bare".to_owned()]));
        assert_eq!(
            leaving.losses,
            [
                "media/alone: its only replica, away until it runs elsewhere",
                "media/alone: its volume lies on this node (pv1): away until the node is back",
                "media/alone: what its emptyDir holds is lost (cache)",
                "media/alone: the PodDisruptionBudget keep allows no disruption now: it is waited for, then given up",
                "media/bare: the PodDisruptionBudget keep allows no disruption now: it is waited for, then given up",
            ]
        );
        let gone = means.judge(&guests, Away::ForGood).losses;
        assert_eq!(
            gone[1],
            "media/alone: its volume lies on this node (pv1): it runs nowhere again, unless its data is brought to a new volume"
        );
    }
}
