//! The strict approver of kubelets' serving certificates: it knows from the inventory which names and addresses belong
//! to whom, runs on every control plane, and works between runs of homectl.

use super::identity::kubeconfig;
use super::{Ctx, Step};
use crate::error::Result;
use crate::pki::name;
use crate::template::{context, render};
use crate::want::{Account, File, Unit, Want};
use std::fmt::Write as _;

const TIMER: &str = "homectl-approver.timer";
/// The service; started by the timer, or by whoever cannot wait for it.
pub(super) const SERVICE: &str = "homectl-approver.service";
/// The approver's own identity; its rights are made by the bootstrap add-on.
pub(super) const KUBECONFIG: &str = "/etc/homectl/approver.conf";
const USER: &str = "homectl-approver";

/// The timer, its service, its script and the list of nodes.
pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    if !ctx.node.is_control_plane() {
        return Ok(None);
    }
    let service = render("approver/homectl-approver.service.j2", context! { kubeconfig => KUBECONFIG })?;
    let wants = vec![
        Want::Account(Account::new(USER)),
        kubeconfig(ctx, name::APPROVER, KUBECONFIG, None)?,
        Want::File(File::text("/etc/homectl/serving.list", list(ctx))),
        Want::File(File::text("/opt/homectl/lib/approve-serving", include_str!("../../templates/approver/approve-serving")).mode(0o755)),
        Want::File(File::text(format!("/etc/systemd/system/{SERVICE}"), service).restarts(TIMER)),
        Want::File(
            File::text(format!("/etc/systemd/system/{TIMER}"), include_str!("../../templates/approver/homectl-approver.timer"))
                .restarts(TIMER),
        ),
        Want::Unit(Unit::running(TIMER)),
    ];
    Ok(Some(Step { id: ctx.id("approver"), title: "approver".into(), after: Vec::new(), wants, ready: None, rolling: None, aside: false }))
}

/// Which address belongs to which node: the overlay's, and no other.
fn list(ctx: &Ctx) -> String {
    let mut text = String::from("# NAME ADDRESS…: what a kubelet's serving certificate may say\n");
    for node in &ctx.cluster.nodes {
        let _ = writeln!(text, "{} {}", node.name, node.overlay);
    }
    text
}
