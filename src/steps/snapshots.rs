//! The timer that takes snapshots of etcd and keeps the last ones on the machine.

use super::{Ctx, Step};
use crate::error::Result;
use crate::template::{context, render};
use crate::want::{Dir, File, Unit, Want};

const TIMER: &str = "homectl-etcd-snapshot.timer";
const SERVICE: &str = "homectl-etcd-snapshot.service";
/// Where they lie.
const FOLDER: &str = "/var/lib/homectl/snapshots";
/// Hours between two.
const EVERY: u16 = 6;

/// The timer, its service and its script.
pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    if !ctx.node.is_control_plane() {
        return Ok(None);
    }
    let service =
        render("snapshots/homectl-etcd-snapshot.service.j2", context! { overlay => ctx.node.overlay.to_string(), folder => FOLDER })?;
    let timer = render(
        "snapshots/homectl-etcd-snapshot.timer.j2",
        context! { hour => format!("{:02}", (ctx.node.number * 2) % EVERY), every => EVERY },
    )?;
    let wants = vec![
        Want::Dir(Dir::new(FOLDER).mode(0o700)),
        Want::File(File::text("/opt/homectl/lib/etcd-snapshot", include_str!("../../templates/snapshots/etcd-snapshot")).mode(0o755)),
        Want::File(File::text(format!("/etc/systemd/system/{SERVICE}"), service).restarts(TIMER)),
        Want::File(File::text(format!("/etc/systemd/system/{TIMER}"), timer).restarts(TIMER)),
        Want::Unit(Unit::running(TIMER)),
    ];
    Ok(Some(Step { id: ctx.id("snapshots"), title: "etcd snapshots".into(), after: Vec::new(), wants, ready: None, rolling: None }))
}
