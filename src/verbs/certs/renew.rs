//! `certs renew`: every certificate of ours anew, while the cluster works.

use super::super::apply;
use super::super::kept::Kept;
use super::super::world::{World, secrets_beside};
use crate::cli::{Global, Target};
use crate::cluster::Lock;
use crate::error::Result;
use crate::report::Reporter;

/// Seconds: a certificate that is not older was made by this renewal, before it was cut off.
const FRESH: i64 = 3600;

/// `homectl certs renew`.
pub(super) async fn run(args: &Target, global: &Global, out: &Reporter) -> Result<u8> {
    let path = &args.inventory;
    let kept = Kept::of([secrets_beside(path), Lock::path(path)])?;
    let mut world = World::open(path, global, out).await?;
    let since = world.now - FRESH;
    let made = world.change(|secrets, cluster, now| secrets.reissue(cluster, since, now))?;
    if made > 0 {
        out.talk(&format!("Made {made} certificates anew; the machines get them by this plan."));
    }
    world.pace.since = Some(since);
    let done = Box::pin(apply::within(&mut world, None, global, out)).await?;
    kept.settle();
    Ok(done.code)
}
