//! The timer that renews a control plane's certificates, without the laptop.

use super::etcd::UNIT as ETCD;
use super::pki::{PKI, stem};
use super::{Ctx, Step};
use crate::cluster::AddonSource;
use crate::error::Result;
use crate::pki::Ca;
use crate::template::{context, render};
use crate::want::{File, Unit, Want};
use std::fmt::Write as _;

const TIMER: &str = "homectl-renewal.timer";
const SERVICE: &str = "homectl-renewal.service";
const SCRIPT: &str = "/opt/homectl/lib/renew-certificates";
/// Read by the script and by whoever wants to know which certificates a control plane has.
const LIST: &str = "/etc/homectl/certificates.list";

/// The serving certificate of the metrics add-on, which reads it anew by itself.
const METRICS_SERVER: &str = "kube-system/metrics-server-serving";

/// Percent of its life that a certificate has left when the first control plane renews it. Others follow days before it,
/// by number, so that no two members of etcd restart on one day; all come before the third at which a plan would.
const DUE: u16 = 35;
const DAYS_APART: u16 = 5;

/// The timer, its service, its script and the list of certificates.
pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    if !ctx.node.is_control_plane() {
        return Ok(None);
    }
    let peers: Vec<String> =
        ctx.cluster.control_planes().filter(|n| n.name != ctx.node.name).map(|n| format!("https://{}:2379", n.overlay)).collect();
    let service =
        render("renewal/homectl-renewal.service.j2", context! { due => DUE + ctx.node.number % DAYS_APART, peers => peers.join(",") })?;
    let wants = vec![
        Want::File(File::text(LIST, list(ctx))),
        Want::File(File::text(SCRIPT, include_str!("../../templates/renewal/renew-certificates")).mode(0o755)),
        Want::File(File::text(format!("/etc/systemd/system/{SERVICE}"), service).restarts(TIMER)),
        Want::File(
            File::text(format!("/etc/systemd/system/{TIMER}"), include_str!("../../templates/renewal/homectl-renewal.timer"))
                .restarts(TIMER),
        ),
        Want::Unit(Unit::running(TIMER)),
    ];
    Ok(Some(Step {
        id: ctx.id("renewal"),
        title: "certificate renewal".into(),
        after: Vec::new(),
        wants,
        ready: None,
        rolling: None,
        aside: false,
    }))
}

/// One certificate: where it lies, who signs it, who shows it where.
struct Entry {
    form: &'static str,
    path: String,
    ca: Ca,
    unit: Option<&'static str>,
    served: Option<String>,
}

/// Every leaf of a control plane, and of the add-ons, but the kubelet's own, which the kubelet rotates.
fn entries(ctx: &Ctx) -> Vec<Entry> {
    let api = "kube-apiserver.service";
    let at = |port: u16| Some(format!("{}:{port}", ctx.node.overlay));
    let pem = |stem: &str, ca, unit, served| Entry { form: "pem", path: format!("{PKI}/{stem}.crt"), ca, unit, served };
    let kubeconfig = |path: &str, unit| Entry { form: "kubeconfig", path: path.into(), ca: Ca::Cluster, unit, served: None };
    let mut all = vec![
        pem("etcd/server", Ca::Etcd, Some(ETCD), at(2379)),
        pem("etcd/peer", Ca::Etcd, Some(ETCD), at(2380)),
        pem("etcd/healthcheck-client", Ca::Etcd, None, None),
        pem("apiserver", Ca::Cluster, Some(api), at(6443)),
        pem("apiserver-kubelet-client", Ca::Cluster, Some(api), None),
        pem("apiserver-etcd-client", Ca::Etcd, Some(api), None),
        pem("front-proxy-client", Ca::FrontProxy, Some(api), None),
        kubeconfig(super::apiserver::ADMIN, None),
        kubeconfig("/etc/kubernetes/controller-manager.conf", Some("kube-controller-manager.service")),
        kubeconfig("/etc/kubernetes/scheduler.conf", Some("kube-scheduler.service")),
        kubeconfig(super::approver::KUBECONFIG, None),
    ];
    if ctx.cluster.addons.iter().any(|a| a.name == "metrics-server" && matches!(a.source, AddonSource::Catalogue)) {
        all.push(Entry { form: "secret", path: METRICS_SERVER.into(), ca: Ca::Cluster, unit: None, served: None });
    }
    all
}

fn list(ctx: &Ctx) -> String {
    let mut text = String::from("# FORM PATH CA UNIT SERVED: see /opt/homectl/lib/renew-certificates\n");
    for e in entries(ctx) {
        let served = e.served.as_deref().unwrap_or("-");
        let _ = writeln!(text, "{} {} {PKI}/{} {} {served}", e.form, e.path, stem(e.ca), e.unit.unwrap_or("-"));
    }
    text
}
