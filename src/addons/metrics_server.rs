//! CPU and memory of pods and nodes, with a serving certificate that the API server verifies.

use super::Entry;
use crate::cluster::Cluster;
use crate::error::{Failure, Result};
use crate::pki::{CLUSTER, Ca, name};
use crate::secrets::Secrets;
use crate::template::{context, render};
use data_encoding::BASE64;

const IMAGE: &str = "registry.k8s.io/metrics-server/metrics-server:v0.9.0";

pub(super) const ENTRY: Entry =
    Entry { name: "metrics-server", title: "resource metrics", serving: Some(name::METRICS_SERVER), render: yaml };

fn yaml(_: &Cluster, secrets: &Secrets) -> Result<String> {
    let pair = secrets.leaf(CLUSTER, name::METRICS_SERVER).ok_or_else(|| {
        Failure::bug("the secrets have no serving certificate for metrics-server").seen("looked for the leaf `metrics-server` of `cluster`")
    })?;
    let values = context! {
        image => IMAGE,
        cert => BASE64.encode(pair.cert.as_bytes()),
        key => BASE64.encode(pair.key.expose().as_bytes()),
        ca => BASE64.encode(secrets.trusted(Ca::Cluster).as_bytes()),
    };
    render("addons/metrics-server/metrics-server.yaml", values)
}
