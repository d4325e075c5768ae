//! Add-ons: the catalogue, the user's own manifests, and how both get into the API and out of it again.
//!
//! [`bundles`] is pure: the cluster and its secrets in, objects out. [`survey`] looks at the API (one list a kind);
//! [`steps()`] makes steps of the [`Lane::Cluster`](crate::steps::Lane) from both; [`apply()`] does one change of a plan.
//!
//! A new add-on is one file here, one line in [`CATALOGUE`] and one folder below `templates/addons/`.

mod apply;
mod bootstrap;
mod bundle;
mod coredns;
mod departure;
mod label;
mod local_storage;
mod look;
mod manifest;
mod memory;
mod metrics_server;
mod node;
mod order;
mod steps;
mod yaml;

use crate::cluster::Cluster;
use crate::error::Result;
use crate::secrets::Secrets;

pub use apply::apply;
pub use bundle::{Bundle, bundles, check};
pub use departure::{farewell, farewell_step};
pub use label::{ADDON, MANAGED_BY};
pub use look::{Owned, Survey, look, survey};
pub use memory::{INVENTORY, Kind, Memory};
pub use steps::{BOOTSTRAP, PRUNE, catalogue_is_up, steps};

/// One add-on of the catalogue.
struct Entry {
    name: &'static str,
    /// For people.
    title: &'static str,
    /// Leaf (of the cluster) that its Secret of type `kubernetes.io/tls` holds.
    serving: Option<&'static str>,
    /// Its manifests, as multi-document YAML.
    render: fn(&Cluster, &Secrets) -> Result<String>,
}

/// What can be named in the inventory without manifests.
const CATALOGUE: [Entry; 3] = [coredns::ENTRY, local_storage::ENTRY, metrics_server::ENTRY];

/// Names of the catalogue, sorted.
#[must_use]
pub fn catalogue() -> Vec<&'static str> {
    CATALOGUE.iter().map(|e| e.name).collect()
}
