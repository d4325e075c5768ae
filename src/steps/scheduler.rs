//! The scheduler of a control plane, on its own API server; one of them leads.

use super::apiserver::CIPHER_SUITES;
use super::controller_manager::healthy;
use super::identity::kubeconfig;
use super::programs::links;
use super::{Ctx, Ready, Step};
use crate::cluster::Component;
use crate::error::Result;
use crate::pki::name;
use crate::template::{context, render};
use crate::want::{Account, File, Unit, Want};

/// The unit.
pub(super) const UNIT: &str = "kube-scheduler.service";
/// Its port on the loopback address.
const PORT: u16 = 10259;

/// The scheduler.
pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    if !ctx.node.is_control_plane() {
        return Ok(None);
    }
    let unit = render("scheduler/kube-scheduler.service.j2", context! { port => PORT, cipher_suites => CIPHER_SUITES })?;
    let mut wants = vec![Want::Account(Account::new("kube-scheduler"))];
    wants.extend(links(ctx, Component::KubeScheduler)?);
    wants.extend([
        kubeconfig(ctx, name::SCHEDULER, "/etc/kubernetes/scheduler.conf", Some(UNIT))?,
        Want::File(File::text(format!("/etc/systemd/system/{UNIT}"), unit).mode(0o600).restarts(UNIT)),
        Want::Unit(Unit::running(UNIT)),
    ]);
    Ok(Some(Step {
        id: ctx.id("scheduler"),
        title: "scheduler".into(),
        after: Vec::new(),
        wants,
        ready: Some(Ready { units: vec![UNIT.into()], ..Ready::node("the scheduler is healthy", healthy(PORT)) }),
        rolling: Some("controllers"),
        aside: false,
    }))
}
