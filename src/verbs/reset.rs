//! `reset`: the same wants, gone, edges reversed. Lists first; the operator types the cluster's name.

use super::fleet;
use super::world::World;
use super::{apply, planning};
use crate::cli::{Global, Target};
use crate::error::{Failure, Result, exit};
use crate::report::Reporter;
use crate::steps::Mode;

/// `homectl reset`.
pub(super) async fn run(args: &Target, global: &Global, out: &Reporter) -> Result<u8> {
    let mut world = World::open(&args.inventory, global, out).await?;
    let fleet = fleet::open(&world, global, out).await?;
    let foreign = fleet
        .facts
        .iter()
        .filter_map(|(node, f)| {
            let other = f.cluster.as_ref().filter(|c| **c != world.cluster.name)?;
            Some(
                Failure::refused(format!("the machine belongs to the cluster `{other}`"))
                    .on(node)
                    .help("check the address in the inventory"),
            )
        })
        .collect();
    fleet::all_told(foreign, out)?;
    let (plan, observed) = planning::make(&world, &fleet, Mode::Absent, global, out).await?;
    out.propose(&plan);
    if plan.counts().changes() == 0 {
        return Ok(exit::OK);
    }
    out.confirm(
        &format!("Everything above is removed from {} machine(s), the cluster's data with it.", fleet.hosts.len()),
        &world.cluster.name,
    )
    .await?;
    let report = apply::execute(&world, &fleet, &plan, &observed, out).await?;
    let whole = global.limit.is_empty() && fleet.offline.is_empty();
    if whole && report.failed.is_empty() && !report.interrupted {
        world.record_etcd(None)?;
        out.talk("The packages that were installed stay: other software may use them by now. `apt-get autoremove` knows more.");
    }
    Ok(apply::code(&report))
}
