//! The Kubernetes API: objects by address, there as long as an API server and its etcd run. Kubelets register their nodes.

use super::host::Operator;
use crate::world::World;
use futures::future::BoxFuture;
use homectl::exec::{ApiLane, Unseated};
use homectl::kube::{CORDONED, Condition};
use homectl::want::{Object, Seats, Seen, node_patch};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// What etcd holds.
pub(crate) type Store = BTreeMap<String, Value>;

/// Where a member's data says which content it has.
const CONTENT: &str = "var/lib/etcd/member/content";

/// Where a run loses the API: at its so-manieth change, from 0, and from then on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ApiFault {
    /// The request never arrives.
    Before(usize),
    /// It is done, the answer is lost.
    After(usize),
}

pub(crate) struct Api {
    machines: PathBuf,
    planes: Vec<String>,
    pub(crate) store: Mutex<Store>,
    /// Which content of etcd `store` is, and others by name: what snapshots hold.
    content: Mutex<String>,
    pub(crate) snapshots: BTreeMap<String, Store>,
    operator: Mutex<Operator>,
    fault: Mutex<Option<ApiFault>>,
    changes: Mutex<usize>,
}

impl Api {
    pub(crate) fn new(machines: &Path, planes: Vec<String>, store: Store) -> Self {
        Self {
            machines: machines.to_owned(),
            planes,
            store: Mutex::new(store),
            content: Mutex::default(),
            snapshots: BTreeMap::new(),
            operator: Mutex::default(),
            fault: Mutex::default(),
            changes: Mutex::default(),
        }
    }

    /// The same, of the machines in `dir`, with the control planes of `world`.
    pub(crate) fn at(&self, dir: &Path, world: &World) -> Self {
        let planes = world.cluster.control_planes().map(|n| n.name.clone()).collect();
        let mut api = Self::new(&dir.join("machines"), planes, self.store.lock().unwrap().clone());
        api.snapshots.clone_from(&self.snapshots);
        api.content = Mutex::new(self.content.lock().unwrap().clone());
        api
    }

    /// Nobody is heard any more once this operator is dead.
    pub(crate) fn serves(&self, operator: &Operator) {
        self.operator.lock().unwrap().clone_from(operator);
    }

    fn runs(&self, node: &str, unit: &str) -> bool {
        fs::read_to_string(self.machines.join(node).join("sim/units").join(unit).join("state")).is_ok_and(|s| s.trim() == "active")
    }

    /// Some API server runs, and the majority of etcd's members.
    pub(crate) fn up(&self) -> bool {
        self.follow();
        let voters = self.voters();
        let etcds = voters.iter().filter(|n| self.runs(n, "etcd.service")).count();
        etcds * 2 > voters.len() && self.planes.iter().any(|n| self.runs(n, "kube-apiserver.service"))
    }

    /// Where the members were made anew from a snapshot, that is what there is now.
    fn follow(&self) {
        let mut running = self.planes.iter().filter(|n| self.runs(n, "etcd.service"));
        let told = running.find_map(|n| fs::read_to_string(self.machines.join(n).join(CONTENT)).ok());
        let Some(told) = told.map(|text| text.trim().to_owned()) else { return };
        let mut content = self.content.lock().unwrap();
        if *content != told {
            if let Some(store) = told.lines().next().and_then(|name| self.snapshots.get(name)) {
                self.store.lock().unwrap().clone_from(store);
            }
            *content = told;
        }
    }

    /// Members of etcd that vote, as any of them has it.
    fn voters(&self) -> Vec<String> {
        let table = |n: &String| fs::read_to_string(self.machines.join(n).join("var/lib/etcd/member/members")).ok();
        let text = self.planes.iter().find_map(table).unwrap_or_default();
        text.lines().filter(|l| l.ends_with(" voter")).filter_map(|l| l.split(' ').nth(1).map(str::to_owned)).collect()
    }

    /// A reset takes what etcd holds with the machines.
    pub(crate) fn forget_the_dead(&self) {
        let lives = self.planes.iter().any(|n| self.machines.join(n).join("var/lib/etcd/member").exists());
        if !lives {
            self.store.lock().unwrap().clear();
        }
    }

    /// Every kubelet that runs makes its node known.
    fn register(&self) {
        for entry in fs::read_dir(&self.machines).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !self.runs(&name, "kubelet.service") {
                continue;
            }
            let text = fs::read_to_string(self.machines.join(&name).join("etc/homectl/kubelet-labels")).unwrap_or_default();
            let given = text.lines().find_map(|l| l.strip_prefix("NODE_LABELS=")).unwrap_or_default();
            let labels: Map<String, Value> =
                given.split(',').filter_map(|l| l.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}});
            self.store.lock().unwrap().entry(format!("object:v1:Node:{name}")).or_insert(node);
        }
    }

    /// What is there, as far as it can be asked.
    pub(crate) fn live(&self, object: &Object) -> Seen {
        self.register();
        Seen::Object(self.store.lock().unwrap().get(&object.addr()).cloned())
    }

    fn put(&self, object: &Object) {
        let mut store = self.store.lock().unwrap();
        let live = store.entry(object.addr()).or_insert_with(|| json!({}));
        let mut now = if object.kind == "Node" { live.clone() } else { json!({}) };
        if let Some(patch) = node_patch(&object.manifest, live).filter(|_| object.kind == "Node") {
            merge(&mut now, &patch);
        }
        merge(&mut now, &object.manifest);
        now["metadata"]["managedFields"] = json!([{"manager": "homectl", "operation": "Apply", "fieldsV1": fields(&object.manifest)}]);
        *live = now;
    }

    /// Cordoned, or given back where it was cordoned by us.
    fn seat(&self, seats: &Seats) {
        let mut store = self.store.lock().unwrap();
        let (Seats::Drain { node } | Seats::Uncordon { node, .. }) = seats;
        let Some(live) = store.get_mut(&format!("object:v1:Node:{node}")) else { return };
        let drains = matches!(seats, Seats::Drain { .. });
        if drains && live["spec"]["unschedulable"] != true {
            merge(live, &json!({"metadata": {"annotations": {CORDONED: "homectl"}}, "spec": {"unschedulable": true}}));
        } else if !drains && homectl::kube::is_cordoned_by_us(live) {
            merge(live, &json!({"metadata": {"annotations": {CORDONED: null}}, "spec": {"unschedulable": null}}));
        }
    }

    /// What happens to the changes to come.
    pub(crate) fn spoil(&self, fault: Option<ApiFault>) {
        *self.fault.lock().unwrap() = fault;
        *self.changes.lock().unwrap() = 0;
    }

    /// Counts a change; whether it is done, and whether the answer arrives.
    fn count(&self) -> (bool, bool) {
        let mut changes = self.changes.lock().unwrap();
        let number = *changes;
        *changes += 1;
        let fault = *self.fault.lock().unwrap();
        if !self.operator.lock().unwrap().load(Ordering::Relaxed) {
            return (false, false);
        }
        match fault {
            None => (true, true),
            Some(ApiFault::Before(last)) => (number < last, number < last),
            Some(ApiFault::After(last)) => (number <= last, number < last),
        }
    }
}

/// A JSON merge patch.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key.as_str()], value);
        }
    }
}

/// The fields of an apply as the API keeps them; lists as one.
fn fields(value: &Value) -> Value {
    let Value::Object(map) = value else { return json!({}) };
    Value::Object(
        map.iter()
            .filter(|(k, _)| !["apiVersion", "kind", "name", "namespace"].contains(&k.as_str()))
            .map(|(k, v)| (format!("f:{k}"), fields(v)))
            .collect(),
    )
}

const DOWN: &str = "connection refused";

impl ApiLane for Api {
    fn look<'a>(&'a self, objects: &'a [&'a Object]) -> BoxFuture<'a, Result<Vec<Seen>, String>> {
        Box::pin(async { if self.up() { Ok(objects.iter().map(|o| self.live(o)).collect()) } else { Err(DOWN.into()) } })
    }

    fn apply<'a>(&'a self, object: &'a Object, present: bool) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if !self.up() {
                return Err(DOWN.into());
            }
            self.register();
            if present && object.kind == "Node" && !self.store.lock().unwrap().contains_key(&object.addr()) {
                return Err("the node has not registered: is its kubelet up?".into());
            }
            let (done, told) = self.count();
            if done && present {
                self.put(object);
            } else if done {
                self.store.lock().unwrap().remove(&object.addr());
            }
            if done && told { Ok(()) } else { Err("connection reset by peer".into()) }
        })
    }

    fn seat<'a>(&'a self, seats: &'a Seats, _: &'a (dyn Fn(&str) + Sync)) -> BoxFuture<'a, Result<(), Unseated>> {
        Box::pin(async move {
            if !self.up() {
                return Err(Unseated::Api(DOWN.into()));
            }
            if let Seats::Uncordon { node, .. } = seats
                && !self.runs(node, "kubelet.service")
            {
                return Err(Unseated::Node(format!("{node} is not Ready")));
            }
            let (done, told) = self.count();
            if done {
                self.seat(seats);
            }
            if done && told { Ok(()) } else { Err(Unseated::Api("connection reset by peer".into())) }
        })
    }

    fn check<'a>(&'a self, conditions: &'a [Condition]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if !self.up() {
                return Err(DOWN.into());
            }
            let lacks = |c: &&Condition| matches!(c, Condition::NodesReady { names } if !names.iter().all(|n| self.runs(n, "kubelet.service") && self.runs(n, "containerd.service")));
            conditions.iter().find(lacks).map_or(Ok(()), |c| Err(c.to_string()))
        })
    }

    fn lost(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async { None })
    }
}
