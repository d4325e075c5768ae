//! Leaves on a node, as PEM files or in kubeconfigs: each belongs to the step of the unit that shows it.

use super::Ctx;
use super::pki::cert_path;
use crate::error::{Failure, Result};
use crate::pki::{Ca, LeafSpec, leaves};
use crate::secrets::{Pair, SecretText};
use crate::template::{context, render};
use crate::want::{File, Leaf, LeafForm, Measure, Want};
use data_encoding::BASE64;

/// The node's leaf `name` as `<stem>.crt` and `<stem>.key`, which `unit` (if any) reads at its start.
pub(super) fn pair(ctx: &Ctx, name: &str, stem: &str, unit: Option<&str>) -> Result<[Want; 2]> {
    let (spec, pair) = held(ctx, name)?;
    let leaf = leaf(ctx, spec, format!("{stem}.crt"), LeafForm::Pem, 0o644, SecretText::new(pair.cert.clone()));
    let key = File::secret(format!("{stem}.key"), pair.key.clone());
    Ok(match unit {
        Some(unit) => [Want::File(key.restarts(unit)), Want::Leaf(leaf.restarts(unit))],
        None => [Want::File(key), Want::Leaf(leaf)],
    })
}

/// The node's leaf `name` in a kubeconfig at `path`, for this control plane's own API server.
pub(super) fn kubeconfig(ctx: &Ctx, name: &str, path: &str, unit: Option<&str>) -> Result<Want> {
    let (spec, pair) = held(ctx, name)?;
    let values = context! {
        cluster => &ctx.cluster.name, server => local_api(ctx), user => &spec.common_name,
        ca => BASE64.encode(ctx.secrets.trusted(Ca::Cluster).as_bytes()),
        certificate => BASE64.encode(pair.cert.as_bytes()),
        key => BASE64.encode(pair.key.expose().as_bytes()),
    };
    let body = render("kubeconfig/kubeconfig.yaml.j2", values).map(SecretText::new)?;
    let leaf = leaf(ctx, spec, path.to_owned(), LeafForm::Kubeconfig, 0o600, body);
    Ok(Want::Leaf(match unit {
        Some(unit) => leaf.restarts(unit),
        None => leaf,
    }))
}

/// This control plane's own API server.
pub(super) fn local_api(ctx: &Ctx) -> String {
    format!("https://{}:6443", ctx.node.overlay)
}

fn leaf(ctx: &Ctx, spec: LeafSpec, path: String, form: LeafForm, mode: u32, file: SecretText) -> Leaf {
    let measure = Some(Measure::Ours { ca: ctx.secrets.authority(spec.ca).cert.clone(), file });
    let ca_path = cert_path(spec.ca);
    Leaf { path, form, mode, owner: "root:root".into(), spec, ca_path, measure, now: ctx.now, since: None, notify: Vec::new() }
}

/// What a leaf of this node must say, and the pair that the secrets hold.
fn held<'a>(ctx: &Ctx<'a>, name: &str) -> Result<(LeafSpec, &'a Pair)> {
    let node = &ctx.node.name;
    let spec = leaves(ctx.cluster).into_iter().find(|l| l.owner == *node && l.name == name).map(|l| l.spec);
    let pair = ctx.secrets.leaf(node, name);
    spec.zip(pair).ok_or_else(|| Failure::bug(format!("no leaf called {name} was made")).on(node))
}
