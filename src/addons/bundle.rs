//! All objects that a cluster should have, by add-on.

use super::memory::{Kind, Memory};
use super::steps::{apiserver_steps, kubelet_step};
use super::yaml::{Document, documents};
use super::{BOOTSTRAP, CATALOGUE, Entry, bootstrap, manifest, node, order};
use crate::cluster::{Addon, AddonSource, Cluster};
use crate::error::{Failure, Result, exit};
use crate::kube::Resource;
use crate::pki::{CLUSTER, leaves};
use crate::secrets::Secrets;
use crate::steps::StepId;
use crate::want::{Certificate, Object};
use std::collections::BTreeMap;
use std::path::Path;

/// One add-on's objects (or bootstrap's, or a node's own), in the order in which they are made.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Unique: the add-on's name, `bootstrap`, or `node-NAME`.
    pub name: String,
    /// For people.
    pub title: String,
    /// Bundles that must be ready first.
    pub needs: Vec<String>,
    /// Steps of nodes that must be ready first.
    pub after: Vec<StepId>,
    pub objects: Vec<Object>,
}

/// A parsed file of the user's.
struct Source<'a> {
    addon: &'a Addon,
    file: String,
    docs: Vec<Document>,
}

/// Everything that belongs into the API: bootstrap first, then the add-ons in the cluster's order, then each node's
/// labels (a kubelet registers with its taints, so nothing is placed wrongly meanwhile; and no add-on waits for a slow node). `memory` is what the API remembers (empty on a new cluster).
///
/// # Errors
/// Manifests that cannot be read (file, document, line), an object wanted twice, a name that the catalogue lacks.
pub fn bundles(cluster: &Cluster, secrets: &Secrets, memory: &Memory) -> Result<Vec<Bundle>> {
    let sources = sources(&cluster.addons, &cluster.home)?;
    let custom = defined(&sources);
    let mut addons = Vec::new();
    for addon in &cluster.addons {
        addons.push(of_addon(cluster, secrets, addon, &sources, &custom)?);
    }
    distinct(&addons)?;
    let mut memory = memory.clone();
    memory.extend(addons.iter().flat_map(|b| &b.objects).map(Kind::of));
    let mut first = bootstrap::bundle(cluster, &Memory::new())?;
    memory.extend(first.objects.iter().map(Kind::of));
    first = bootstrap::bundle(cluster, &memory)?;
    first.after = apiserver_steps(cluster);
    let nodes = cluster.nodes.iter().map(|n| Bundle {
        name: node::step_name(n),
        title: format!("labels and taints of {}", n.name),
        needs: vec![BOOTSTRAP.into()],
        after: vec![kubelet_step(n)],
        objects: vec![node::object(&node::step_name(n), n)],
    });
    Ok([first].into_iter().chain(addons).chain(nodes).collect())
}

/// Whether the user's own manifests can be read and say nothing twice, without any cluster.
///
/// # Errors
/// As [`bundles`].
pub fn check(addons: &[Addon], home: &Path) -> Result<()> {
    let sources = sources(addons, home)?;
    let custom = defined(&sources);
    let own = addons.iter().filter(|a| matches!(a.source, AddonSource::Manifests(_)));
    distinct(&own.map(|a| Ok(bundle(a, "", of_manifests(a, &sources, &custom)?))).collect::<Result<Vec<_>>>()?)
}

/// The custom resources that the user's own manifests define.
fn defined(sources: &[Source]) -> Vec<Resource> {
    let all = sources.iter().flat_map(|s| &s.docs).filter(|d| d.value["kind"] == "CustomResourceDefinition");
    all.flat_map(|d| Resource::defined_by(&d.value)).collect()
}

fn sources<'a>(addons: &'a [Addon], home: &Path) -> Result<Vec<Source<'a>>> {
    let mut all = Vec::new();
    for addon in addons {
        if let AddonSource::Manifests(files) = &addon.source {
            for (path, text) in files {
                let file = path.strip_prefix(home).unwrap_or(path).display().to_string();
                let docs = documents(&file, text).map_err(|e| e.seen(format!("add-on {}", addon.name)))?;
                all.push(Source { addon, file, docs });
            }
        }
    }
    Ok(all)
}

fn of_addon(cluster: &Cluster, secrets: &Secrets, addon: &Addon, sources: &[Source], custom: &[Resource]) -> Result<Bundle> {
    if [BOOTSTRAP, super::PRUNE].contains(&addon.name.as_str()) || node::is_step_of(cluster, &addon.name) {
        return Err(Failure::new(exit::INVENTORY, format!("an add-on may not be called {}: homectl uses that name itself", addon.name)));
    }
    match &addon.source {
        AddonSource::Catalogue => {
            let entry = CATALOGUE.iter().find(|e| e.name == addon.name).ok_or_else(|| {
                Failure::new(exit::INVENTORY, format!("the catalogue has no add-on {}", addon.name))
                    .help(format!("it has {}; anything else needs manifests = […]", super::catalogue().join(", ")))
            })?;
            Ok(bundle(addon, entry.title, of_catalogue(cluster, secrets, entry)?))
        }
        AddonSource::Manifests(_) => Ok(bundle(addon, "manifests of the inventory", of_manifests(addon, sources, custom)?)),
    }
}

fn bundle(addon: &Addon, title: &str, mut objects: Vec<Object>) -> Bundle {
    order::sort(&mut objects);
    let needs = [BOOTSTRAP.to_owned()].into_iter().chain(addon.needs.iter().cloned()).collect();
    Bundle { name: addon.name.clone(), title: title.into(), needs, after: Vec::new(), objects }
}

fn of_manifests(addon: &Addon, sources: &[Source], custom: &[Resource]) -> Result<Vec<Object>> {
    let own = sources.iter().filter(|s| s.addon.name == addon.name);
    let parts: Vec<Vec<Object>> = own.map(|s| manifest::file(&addon.name, &s.file, &s.docs, custom)).collect::<Result<_>>()?;
    Ok(parts.concat())
}

fn of_catalogue(cluster: &Cluster, secrets: &Secrets, entry: &Entry) -> Result<Vec<Object>> {
    let mut objects = manifest::catalogue(entry.name, &(entry.render)(cluster, secrets)?)?;
    let leaf = leaves(cluster).into_iter().find(|l| l.owner == CLUSTER && Some(l.name) == entry.serving);
    if let Some(leaf) = leaf {
        let ca = &secrets.authority(leaf.spec.ca).cert;
        for object in objects.iter_mut().filter(|o| o.kind == "Secret" && o.manifest["type"] == "kubernetes.io/tls") {
            object.certificate = Some(Certificate { spec: leaf.spec.clone(), ca: ca.clone(), since: None });
        }
    }
    Ok(objects)
}

/// Refuses an object that is wanted twice: the second apply would undo the first, for ever.
fn distinct(bundles: &[Bundle]) -> Result<()> {
    let mut seen: BTreeMap<(Kind, &str, &str), &str> = BTreeMap::new();
    for (bundle, object) in bundles.iter().flat_map(|b| b.objects.iter().map(move |o| (b, o))) {
        if let Some(other) = seen.insert((Kind::of(object), &object.namespace, &object.name), &bundle.name) {
            let whose = if other == bundle.name { format!("twice in {other}") } else { format!("in {other} and in {}", bundle.name) };
            return Err(Failure::new(exit::INVENTORY, format!("{object} is {whose}")).help("keep one of the two"));
        }
    }
    Ok(())
}
