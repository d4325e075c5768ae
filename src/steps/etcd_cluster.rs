//! Which etcd cluster a control plane belongs to: recorded on the machine once the cluster is founded, compared ever after.

use super::etcd::{RECORDED_ID, ctl};
use super::{Ctx, Step};
use crate::error::Result;
use crate::want::{Guard, Want, quote};

/// The record.
#[expect(clippy::unnecessary_wraps, reason = "one shape for all steps")]
pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    // A restore records the new ID with the data itself: until then what runs is the cluster before.
    if !ctx.node.is_control_plane() || ctx.restore.is_some() {
        return Ok(None);
    }
    let known = ctx.cluster.etcd_cluster_id.as_deref().unwrap_or_default();
    let guard = Guard::new("etcd-cluster", "the etcd cluster's ID is recorded", ok(ctx, known), run(ctx))
        .undo(format!("rm -f {RECORDED_ID}"))
        .writes(&[RECORDED_ID]);
    Ok(Some(Step {
        id: ctx.id("etcd-cluster"),
        title: "etcd cluster ID".into(),
        after: vec![ctx.id("etcd")],
        wants: vec![Want::Guard(guard)],
        ready: None,
        rolling: None,
        aside: false,
    }))
}

/// sh that sets `live` to 16 hex digits, or leaves it empty.
fn live(ctx: &Ctx) -> String {
    format!(
        "live=\nn=$({} endpoint status -w json 2>/dev/null | sed -n 's/.*\"cluster_id\":\\([0-9]*\\).*/\\1/p') || n=\n\
         [ -z \"$n\" ] || live=$(printf '%016x' \"$n\")\n",
        ctl(ctx)
    )
}

/// Holds: recorded and live are the same. Two different IDs are never mended by a machine: the test fails.
fn ok(ctx: &Ctx, known: &str) -> String {
    format!(
        "{live}recorded=$(cat {RECORDED_ID} 2>/dev/null) || recorded=\nknown={known}\n\
         if [ -z \"$live\" ]; then echo 'etcd does not answer yet'; exit 75; fi\n\
         if [ -n \"$known\" ] && [ \"$live\" != \"$known\" ]; then echo \"etcd says it is cluster $live, the inventory's lock says $known\"; exit 2; fi\n\
         if [ -z \"$recorded\" ]; then echo \"cluster $live is not recorded\"; exit 1; fi\n\
         if [ \"$live\" != \"$recorded\" ]; then echo \"etcd says it is cluster $live, {RECORDED_ID} says $recorded\"; exit 2; fi\n\
         echo \"cluster $live\"\n",
        live = live(ctx),
        known = quote(known),
    )
}

fn run(ctx: &Ctx) -> String {
    format!(
        "{live}if [ -z \"$live\" ]; then echo 'etcd does not answer' >&2; exit 1; fi\n\
         umask 022\nmkdir -p /var/lib/homectl\n\
         printf '%s\\n' \"$live\" >{RECORDED_ID}.new\nsync {RECORDED_ID}.new\nmv -T {RECORDED_ID}.new {RECORDED_ID}\nsync /var/lib/homectl\n\
         echo \"etcd cluster $live\"\n",
        live = live(ctx),
    )
}
