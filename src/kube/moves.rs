//! Where pods are, and where those went that had to leave a node.

use super::guests::{Guest, guest};
use super::{Api, ApiError, Resource};
use serde_json::Value;

/// A pod and the node that it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lodged {
    pub guest: Guest,
    pub uid: String,
    /// Empty where it has none yet.
    pub node: String,
}

/// A pod that left, and what came in its place.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// `namespace/pod`.
    pub pod: String,
    /// Its successor, which may have the same name; none where nobody made one.
    pub became: Option<String>,
    /// Where that is; none where it waits for a node.
    pub node: Option<String>,
}

impl Api {
    /// Every pod that a drain would move, wherever it is.
    ///
    /// # Errors
    /// The API does not answer.
    pub async fn lodged(&self) -> Result<Vec<Lodged>, ApiError> {
        let Some(pods) = Resource::builtin("v1", "Pod") else { return Ok(Vec::new()) };
        Ok(self.list(&pods, "", "").await?.iter().filter_map(lodged).collect())
    }
}

fn lodged(pod: &Value) -> Option<Lodged> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    Some(Lodged { guest: guest(pod)?, uid: text(&pod["metadata"]["uid"]), node: text(&pod["spec"]["nodeName"]) })
}

/// What became of the pods that `node` had `before`: each gets one of those that its owner has made since.
#[must_use]
pub fn moved(before: &[Lodged], after: &[Lodged], node: &str) -> Vec<Moved> {
    let is_known = |one: &Lodged| before.iter().any(|b| b.uid == one.uid);
    let mut fresh: Vec<&Lodged> = after.iter().filter(|one| !is_known(one) && !one.guest.leaving).collect();
    let left = before.iter().filter(|one| one.node == node && !after.iter().any(|a| a.uid == one.uid && a.node == node));
    left.map(|one| {
        let same = |f: &&Lodged| f.guest.owner.is_some() && f.guest.owner == one.guest.owner && f.guest.namespace == one.guest.namespace;
        let heir = fresh.iter().position(same).map(|at| fresh.remove(at));
        Moved {
            pod: one.guest.name(),
            became: heir.map(|h| h.guest.name()),
            node: heir.map(|h| h.node.clone()).filter(|node| !node.is_empty()),
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, uid: &str, owner: &str, node: &str) -> Lodged {
        let pod = json!({"metadata": {"name": name, "namespace": "media", "uid": uid, "ownerReferences": [{"kind": "ReplicaSet", "name": owner, "controller": true}]},
            "spec": {"nodeName": node}, "status": {"phase": "Running"}});
        lodged(&pod).unwrap()
    }

    #[test]
    fn who_left_is_told_with_its_heir() {
        let before = [
            pod("page-a", "1", "page", "shed"),
            pod("page-b", "2", "page", "attic"),
            pod("film-0", "3", "film", "shed"),
            pod("gone", "4", "job", "shed"),
        ];
        let after = [pod("page-b", "2", "page", "attic"), pod("page-c", "5", "page", "cellar"), pod("film-0", "6", "film", "")];
        let told = |moved: &Moved| {
            format!("{} -> {} on {}", moved.pod, moved.became.as_deref().unwrap_or("-"), moved.node.as_deref().unwrap_or("-"))
        };
        let told: Vec<String> = moved(&before, &after, "shed").iter().map(told).collect();
        assert_eq!(told, ["media/page-a -> media/page-c on cellar", "media/film-0 -> media/film-0 on -", "media/gone -> - on -"]);
        assert!(moved(&before, &before, "shed").is_empty());
    }
}
