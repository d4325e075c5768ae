//! What the API holds when a plan is made, as the verbs find it out.

use super::api::Api;
use homectl::addons::{ADDON, INVENTORY, Kind, Owned};
use homectl::plan::Observed;
use homectl::steps::Step;
use homectl::verbs::Ground;
use homectl::want::{Object, Seen, Want};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The steps in the API, and what was seen for each of their wants.
pub(crate) struct Survey {
    pub(crate) steps: Vec<Step>,
    pub(crate) seen: Observed,
    /// Nodes that homectl keeps pods away from.
    pub(crate) cordoned: BTreeSet<String>,
}

pub(crate) fn survey(ground: &Ground, api: &Api, nodes: &[Step], observed: &Observed) -> Survey {
    let founded = ground.facts.values().any(|f| f.etcd_data) && ground.restoring.is_none();
    let up = founded && api.up();
    let owned = if up { owned(api) } else { Owned::default() };
    let steps = ground.api_steps(&owned).unwrap();
    let mends = || ground.mends_control_plane(nodes, observed).unwrap();
    let otherwise = match () {
        () if !founded => Seen::NoApi("there is no API yet: an earlier step makes it".into()),
        () if !up && mends() => Seen::NoApi("the API does not answer yet: an earlier step mends a control plane".into()),
        () => Seen::Unknown("the API does not answer".into()),
    };
    let seen = |want: &Want| match want {
        Want::Object(o) if up => api.live(o),
        _ => otherwise.clone(),
    };
    let objects: BTreeMap<String, Seen> = steps.iter().flat_map(|s| &s.wants).map(|want| (want.addr(), seen(want))).collect();
    let (cordoned, _) = ground.cordoned(objects.iter());
    let seen = steps.iter().map(|s| (s.id.clone(), s.wants.iter().map(|w| objects[&w.addr()].clone()).collect())).collect();
    Survey { steps, seen, cordoned }
}

fn owned(api: &Api) -> Owned {
    let store = api.store.lock().unwrap();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let kinds = store.values().find(|v| v["metadata"]["name"] == INVENTORY).map(|v| text(&v["data"]["kinds"])).unwrap_or_default();
    let kind = |line: &str| {
        let (kind, group) = line.split_once('.').unwrap_or((line, ""));
        Kind { kind: kind.into(), group: group.into() }
    };
    let objects = store.values().filter(|v| !v["metadata"]["labels"][ADDON].is_null() && v["kind"] != "Node").map(|v| Object {
        addon: text(&v["metadata"]["labels"][ADDON]),
        api_version: text(&v["apiVersion"]),
        kind: text(&v["kind"]),
        namespace: text(&v["metadata"]["namespace"]),
        name: text(&v["metadata"]["name"]),
        manifest: Value::Null,
        present: false,
        certificate: None,
    });
    Owned { memory: kinds.lines().map(kind).collect(), objects: objects.collect() }
}
