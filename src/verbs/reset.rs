//! `reset`: the same wants, gone, edges reversed. Lists first; the operator types the cluster's name.

use super::execute::{Consent, code, execute};
use super::fleet::{self, Fleet};
use super::planning;
use super::world::World;
use crate::cli::{Global, Target};
use crate::error::{Failure, Result, exit};
use crate::report::Reporter;
use crate::steps::Mode;

/// `homectl reset`.
pub(super) async fn run(args: &Target, global: &Global, out: &Reporter) -> Result<u8> {
    let mut world = World::open(&args.inventory, global, out).await?;
    let mut fleet = fleet::open(&world, global, out).await?;
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
    Failure::together(foreign)?;
    quorum(&world, &fleet, global)?;
    let mut plan = planning::make(&world, &fleet, Mode::Absent, global, out).await?;
    out.propose(&plan);
    if plan.counts().changes() == 0 {
        return Ok(exit::OK);
    }
    let question = format!("Everything above is removed from {} machine(s), the cluster's data with it.", fleet.hosts.len());
    let consent = Consent { question, word: world.cluster.name.clone(), to_this_only: false };
    consent.ask(out).await?;
    let report = execute(&world, &mut fleet, &mut plan, &consent, global, out).await?;
    let whole = global.limit.is_empty() && fleet.offline.is_empty();
    if whole && report.failed.is_empty() && !report.interrupted {
        world.record_etcd(None)?;
        out.talk(
            "What stays: the packages that were installed (other software may use them by now), volumes below \
             /var/lib/homectl/local-storage and etcd's snapshots below /var/lib/homectl/snapshots, where there are any.",
        );
    }
    Ok(code(&report))
}

/// One member of etcd less without telling the others is how clusters lose their data: all control planes, or none.
fn quorum(world: &World, fleet: &Fleet, global: &Global) -> Result<()> {
    let (going, staying): (Vec<_>, Vec<_>) = world.cluster.control_planes().partition(|n| fleet.facts.contains_key(&n.name));
    let live = going.iter().any(|n| fleet.facts.get(&n.name).is_some_and(|f| f.etcd_data));
    if staying.is_empty() || !live {
        return Ok(());
    }
    let names = |nodes: &[&crate::cluster::Node]| nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ");
    let why = if global.limit.is_empty() { "some control planes do not answer" } else { "only some control planes are named" };
    Err(Failure::refused(format!("{why}: their etcd members would be gone without the others knowing"))
        .seen(format!("would go: {}; would stay: {}", names(&going), names(&staying)))
        .help(
            "reset all control planes together; a single one leaves the cluster by `homectl remove-node`, which takes it out of etcd first",
        ))
}
