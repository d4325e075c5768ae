//! Looking at the API: one list a kind, a request of its own only for what is missing or may differ.

use super::apply::words;
use super::bundle::bundles;
use super::label::ADDON;
use super::memory::{Kind, Memory, recall};
use crate::cluster::Cluster;
use crate::error::{Failure, Result};
use crate::kube::{Api, ApiError, Resource, split};
use crate::secrets::Secrets;
use crate::want::{BUILTIN_NAMESPACES, Object, Seen, Verdict, Want, is_ours};
use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

const DEFINITION: &str = "CustomResourceDefinition";
/// Requests at a time.
const WIDTH: usize = 8;
/// How often a trial is made again on an object that somebody else writes to.
const RETRIALS: usize = 3;

/// What homectl made in the API.
#[derive(Debug, Clone, Default)]
pub struct Owned {
    /// Kinds it ever made.
    pub memory: Memory,
    /// Objects that bear our label and our hand, each wanted gone, contents left out.
    pub objects: Vec<Object>,
}

/// A look at everything in the API that concerns homectl.
#[derive(Debug)]
pub struct Survey {
    /// By address of the object.
    pub seen: BTreeMap<String, Seen>,
    pub owned: Owned,
    /// What stands for every object that was not looked at.
    otherwise: Seen,
}

impl Survey {
    /// There is no API yet, because this run makes it (`why`).
    #[must_use]
    pub fn no_api(why: impl Into<String>) -> Self {
        Self { seen: BTreeMap::new(), owned: Owned::default(), otherwise: Seen::NoApi(why.into()) }
    }

    /// There should be an API and it could not be asked (`why`).
    #[must_use]
    pub fn failed(why: impl Into<String>) -> Self {
        Self { seen: BTreeMap::new(), owned: Owned::default(), otherwise: Seen::Unknown(why.into()) }
    }

    /// What was seen of the object at this address.
    #[must_use]
    pub fn of(&self, addr: &str) -> &Seen {
        self.seen.get(addr).unwrap_or(&self.otherwise)
    }
}

/// Looks at everything that is wanted and everything that is owned. With `since` (Unix seconds) a certificate that was made
/// before is not what is wanted.
///
/// # Errors
/// Manifests that cannot be read, or an API that does not answer.
pub async fn survey(api: &Api, cluster: &Cluster, secrets: &Secrets, since: Option<i64>) -> Result<Survey> {
    let failed = |e: ApiError| Failure::failed("the API could not be asked").on(api.node()).seen(e.to_string());
    let memory = recall(api).await.map_err(failed)?;
    let mut bundles = bundles(cluster, secrets, &memory)?;
    for certificate in bundles.iter_mut().flat_map(|b| &mut b.objects).filter_map(|o| o.certificate.as_mut()) {
        certificate.since = since;
    }
    let wanted: Vec<&Object> = bundles.iter().flat_map(|b| &b.objects).collect();
    let lists = Lists::read(api, &wanted, &memory).await.map_err(failed)?;
    let owned = lists.owned();
    let mut seen = observe(api, &wanted, &lists).await;
    for object in &owned {
        let live = lists.live(object).cloned();
        seen.entry(object.addr()).or_insert(Seen::Object(live));
    }
    let owned = Owned { memory, objects: owned };
    Ok(Survey { seen, owned, otherwise: Seen::Unknown("it was not looked at".into()) })
}

/// Looks at these objects only, in their order: for wants that could not be judged when the plan was made. What is not
/// there yet is not tried.
///
/// # Errors
/// The API does not answer.
pub async fn look(api: &Api, objects: &[&Object]) -> Result<Vec<Seen>, ApiError> {
    let mut seen = Vec::with_capacity(objects.len());
    for some in objects.chunks(WIDTH) {
        seen.extend(try_join_all(some.iter().map(|object| again(api, object))).await?);
    }
    Ok(seen)
}

async fn again(api: &Api, object: &Object) -> Result<Seen, ApiError> {
    let Some(resource) = api.resource(&object.api_version, &object.kind).await? else {
        return Ok(not_served(object));
    };
    match api.get(&resource, namespace(&resource, object), &object.name).await? {
        Some(live) => Ok(one(api, object, &resource, Some(&live), &[]).await),
        None => Ok(Seen::Object(None)),
    }
}

fn not_served(object: &Object) -> Seen {
    Seen::NoApi(format!("the API does not serve {} {} yet", object.api_version, object.kind))
}

/// Whether both are the same object in the API, whatever the version. An unknown scope means the default namespace.
pub(super) fn same_object(a: &Object, b: &Object) -> bool {
    fn place(o: &Object) -> &str {
        if o.namespace == "default" { "" } else { &o.namespace }
    }
    a.kind == b.kind && a.name == b.name && split(&a.api_version).0 == split(&b.api_version).0 && place(a) == place(b)
}

/// Where an object's request goes: namespaced kinds without a namespace live in `default`.
pub(super) fn namespace<'a>(resource: &Resource, object: &'a Object) -> &'a str {
    match (resource.namespaced, object.namespace.as_str()) {
        (false, _) => "",
        (true, "") => "default",
        (true, given) => given,
    }
}

/// What the lists said.
struct Lists {
    /// By `(apiVersion, kind)`; `None`: the API does not serve it.
    resources: BTreeMap<(String, String), Option<Resource>>,
    live: BTreeMap<Resource, Vec<Value>>,
}

impl Lists {
    async fn read(api: &Api, objects: &[&Object], memory: &Memory) -> Result<Self, ApiError> {
        let mut resources = BTreeMap::new();
        for object in objects {
            if let Entry::Vacant(entry) = resources.entry((object.api_version.clone(), object.kind.clone())) {
                entry.insert(api.resource(&object.api_version, &object.kind).await?);
            }
        }
        let mut all: Vec<Resource> = resources.values().flatten().cloned().collect();
        let known = |k: &Kind, all: &[Resource]| all.iter().any(|r| r.kind == k.kind && r.group == k.group);
        for kind in memory {
            if !known(kind, &all) {
                all.extend(api.resource_of_group(&kind.group, &kind.kind).await?);
            }
        }
        all.sort();
        all.dedup();
        let live = stream::iter(all).map(|r| list(api, r)).buffer_unordered(WIDTH).try_collect().await?;
        Ok(Self { resources, live })
    }

    fn resource(&self, object: &Object) -> Option<&Resource> {
        self.resources.get(&(object.api_version.clone(), object.kind.clone()))?.as_ref()
    }

    /// The listed live object that `object` means.
    fn live(&self, object: &Object) -> Option<&Value> {
        let group = split(&object.api_version).0;
        let lists = self.live.iter().filter(|(r, _)| r.group == group && r.kind == object.kind);
        lists.flat_map(|(_, all)| all).find(|live| same_object(&of_live(live), object))
    }

    /// Every object that we made and that may be pruned, by address.
    fn owned(&self) -> Vec<Object> {
        let all = self.live.iter().filter(|(r, _)| r.kind != "Node").flat_map(|(_, all)| all);
        let mut owned: Vec<Object> = all.filter(|live| prunable(live)).map(of_live).collect();
        owned.sort_by_key(Object::addr);
        owned
    }
}

async fn list(api: &Api, resource: Resource) -> Result<(Resource, Vec<Value>), ApiError> {
    // Nodes are their kubelets'; they bear no label of ours.
    let selector = if resource.kind == "Node" { "" } else { ADDON };
    let all = api.list(&resource, "", selector).await?;
    Ok((resource, all))
}

/// Whether a labelled object is really ours and still there. Controllers copy labels (a Service's to its
/// `EndpointSlices`, a `DaemonSet`'s to its revisions): those have an owner and were never applied by us.
fn prunable(live: &Value) -> bool {
    let owner = live["metadata"]["ownerReferences"].as_array().is_some_and(|o| !o.is_empty());
    let builtin = live["kind"] == "Namespace" && live["metadata"]["name"].as_str().is_some_and(|n| BUILTIN_NAMESPACES.contains(&n));
    is_ours(live) && !owner && !builtin && live["metadata"]["deletionTimestamp"].is_null()
}

/// A live object as one that is wanted gone.
fn of_live(live: &Value) -> Object {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let metadata = &live["metadata"];
    Object {
        addon: text(&metadata["labels"][ADDON]),
        api_version: text(&live["apiVersion"]),
        kind: text(&live["kind"]),
        namespace: text(&metadata["namespace"]),
        name: text(&metadata["name"]),
        manifest: Value::Null,
        present: false,
        certificate: None,
    }
}

/// What is seen of each object, by address. Definitions of custom resources are judged first: what an object of a kind
/// may hold is not known while its definition is still to change.
async fn observe(api: &Api, objects: &[&Object], lists: &Lists) -> BTreeMap<String, Seen> {
    let (definitions, others): (Vec<&Object>, Vec<&Object>) = objects.iter().partition(|o| o.kind == DEFINITION);
    let mut seen = observe_some(api, &definitions, lists, &[]).await;
    let unsettled = definitions.into_iter().filter(|d| !matches!(Want::Object((*d).clone()).diff(&seen[&d.addr()]), Verdict::Settled(_)));
    let changing: Vec<Resource> = unsettled.flat_map(|d| Resource::defined_by(&d.manifest)).collect();
    seen.extend(observe_some(api, &others, lists, &changing).await);
    seen
}

async fn observe_some(api: &Api, objects: &[&Object], lists: &Lists, changing: &[Resource]) -> BTreeMap<String, Seen> {
    let looks = objects.iter().map(|object| async move {
        let seen = match lists.resource(object) {
            None => not_served(object),
            Some(resource) => one(api, object, resource, lists.live(object), changing).await,
        };
        (object.addr(), seen)
    });
    stream::iter(looks).buffer_unordered(WIDTH).collect().await
}

async fn one(api: &Api, object: &Object, resource: &Resource, listed: Option<&Value>, changing: &[Resource]) -> Seen {
    let live = match listed {
        Some(live) => Some(live.clone()),
        None if object.kind == "Node" => None,
        // It may exist without our label.
        None => match api.get(resource, namespace(resource, object), &object.name).await {
            Ok(live) => live,
            Err(e) => return Seen::Unknown(e.to_string()),
        },
    };
    // A node's labels and taints are plain enough to judge here, and an apply tells only half of them.
    if !object.present || object.kind == "Node" {
        return Seen::Object(live);
    }
    let wanted = object.renewed(live.as_ref().unwrap_or(&Value::Null), clock());
    match live {
        Some(live) if wanted.suspects(&live) => dry_run(api, &wanted, resource, Some(live), changing).await,
        Some(_) if wanted != *object => Seen::Same,
        Some(live) => Seen::Object(Some(live)),
        None => dry_run(api, &wanted, resource, None, changing).await,
    }
}

/// What applying would make of a live object that may differ, and whether the API would take a new one.
async fn dry_run(api: &Api, object: &Object, resource: &Resource, mut live: Option<Value>, changing: &[Resource]) -> Seen {
    let mut manifest = object.manifest.clone();
    let place = namespace(resource, object);
    if resource.namespaced {
        manifest["metadata"]["namespace"] = place.into();
    }
    let mut tried = api.try_apply(resource, &manifest).await;
    // A controller may have written between the list and the trial: what it wrote is no difference of ours.
    for _ in 0..RETRIALS {
        let (Ok(after), Some(before)) = (&tried, &live) else { break };
        if after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"] {
            break;
        }
        match api.get(resource, place, &object.name).await {
            Ok(now) => live = now,
            Err(e) => return Seen::Unknown(e.to_string()),
        }
        tried = api.try_apply(resource, &manifest).await;
    }
    let in_flux = changing.iter().any(|r| r.group == resource.group && r.kind == resource.kind);
    match (tried, live) {
        (Ok(after), Some(live)) => Seen::Applied { live, after },
        (Err(e), live) if !in_flux && refused(&e, live.is_some()) => Seen::Refused(words(&e)),
        // A webhook that cannot be tried, a definition still to change: what we see ourselves has to do.
        (Err(e), Some(live)) if in_flux || e.to_string().contains("dry run") => Seen::Object(Some(live)),
        (Err(e), Some(_)) => Seen::Unknown(e.to_string()),
        // Of a new object, only what it says itself can be judged: its namespace, say, may come with it.
        (_, None) => Seen::Object(None),
    }
}

fn refused(e: &ApiError, exists: bool) -> bool {
    !e.to_string().contains("dry run") && if exists { e.is_refusal() } else { e.is_schema() }
}

/// Unix seconds.
pub(super) fn clock() -> i64 {
    jiff::Timestamp::now().as_second()
}
