//! The timer that takes snapshots of etcd and keeps the last ones on the machine.

use super::{Ctx, Step};
use crate::error::Result;
use crate::template::{context, render};
use crate::want::{Act, Change, Dir, File, Unit, Want};

const TIMER: &str = "homectl-etcd-snapshot.timer";
const SERVICE: &str = "homectl-etcd-snapshot.service";
/// Where they lie.
pub const FOLDER: &str = "/var/lib/homectl/snapshots";
/// Hours between two.
const EVERY: u16 = 6;

/// A snapshot now, verified like those of the timer: what is taken before something that cannot be taken back.
#[must_use]
pub fn before(why: &str) -> Change {
    // A unit that ran a moment ago runs again; what it says is in the journal since then.
    let script = format!(
        "since=$(date +%s)\nif systemctl start {SERVICE} 2>&1; then :; else\n    journalctl -u {SERVICE} --since \"@$since\" -o cat --no-pager 2>/dev/null | tail -n 5\n    exit 1\nfi\n\
         newest=$(find {FOLDER} -maxdepth 1 -type f -name 'etcd-*.db' -newermt \"@$((since - 1))\" | sort | tail -n 1)\n\
         if [ -z \"$newest\" ]; then echo 'no snapshot was taken' >&2; exit 1; fi\n\
         /opt/homectl/bin/etcdutl snapshot status \"$newest\" -w json\n"
    );
    Change::script(Act::Run, why, script).unheard()
}

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
    Ok(Some(Step {
        id: ctx.id("snapshots"),
        title: "etcd snapshots".into(),
        after: Vec::new(),
        wants,
        ready: None,
        rolling: None,
        aside: false,
    }))
}

#[cfg(test)]
#[path = "snapshots_tests.rs"]
mod tests;
