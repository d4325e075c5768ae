//! What the API holds when a plan is made, as the verbs find it out.

use super::api::Api;
use crate::world::World;
use homectl::addons::{ADDON, INVENTORY, Kind, Owned};
use homectl::plan::{self, Observed};
use homectl::steps::{Lane, Mode, Step};
use homectl::want::{Object, Seen, Want};
use serde_json::Value;

/// The steps in the API and what was seen for each of their wants.
pub(crate) fn survey(world: &World, api: &Api, nodes: &[Step], observed: &Observed) -> (Vec<Step>, Observed) {
    let founded = world.facts.values().any(|f| f.etcd_data);
    let up = founded && api.up();
    let owned = if up { owned(api) } else { Owned::default() };
    let steps = world.api_steps(&owned);
    let seen = |want: &Want| match want {
        Want::Object(o) if up => api.live(o),
        _ if !founded => Seen::NoApi("there is no API yet: an earlier step makes it".into()),
        _ if mends(world, nodes, observed) => Seen::NoApi("the API does not answer yet: an earlier step mends a control plane".into()),
        _ => Seen::Unknown("the API does not answer".into()),
    };
    let observed = steps.iter().map(|s| (s.id.clone(), s.wants.iter().map(seen).collect())).collect();
    (steps, observed)
}

/// Whether any control plane has something to do.
fn mends(world: &World, steps: &[Step], observed: &Observed) -> bool {
    let plan = plan::diff("", Mode::Present, steps.to_vec(), observed).unwrap();
    let plane = |lane: &Lane| matches!(lane, Lane::Node(n) if world.cluster.node(n).unwrap().is_control_plane());
    plan.steps.iter().any(|s| s.acts() && plane(&s.id.lane))
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
