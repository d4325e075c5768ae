//! `rollback`: one node goes back to the programs and files it had before versions moved. The same steps, made from the release
//! before, for one node alone.

use super::execute::{Consent, code, execute};
use super::fleet;
use super::planning;
use super::ran;
use super::world::World;
use crate::cli::{Global, Rollback};
use crate::cluster::Ran;
use crate::error::{Failure, Result, exit};
use crate::report::Reporter;
use crate::steps::Mode;
use std::path::Path;

/// `homectl rollback`.
pub(super) async fn run(args: &Rollback, global: &Global, out: &Reporter) -> Result<u8> {
    let [name] = global.limit.as_slice() else {
        return Err(Failure::new(exit::USAGE, "one node goes back at a time").help("name it: homectl rollback --node NODE"));
    };
    // The others are connected to, too: the API is asked through them.
    let all = Global { limit: Vec::new(), ..global.clone() };
    node(&args.target.inventory, &Back { node: name, to: To::Chosen { servers: args.servers } }, &all, out).await
}

/// Who goes back, and to what.
pub(super) struct Back<'a> {
    pub(super) node: &'a str,
    pub(super) to: To<'a>,
}

/// What it goes back to.
pub(super) enum To<'a> {
    /// What the machine says, its control plane's own services, too, where it is `servers` that do not come up.
    Chosen { servers: bool },
    /// What is known already.
    Known(&'a Ran),
}

/// Puts one node back.
pub(super) async fn node(inventory: &Path, back: &Back<'_>, global: &Global, out: &Reporter) -> Result<u8> {
    let node = back.node;
    let mut world = World::open(inventory, global, out).await?;
    known(&world, node)?;
    let mut fleet = fleet::open(&world, global, out).await?;
    if let Some((_, seen)) = fleet.offline.iter().find(|(name, _)| name == node) {
        return Err(Failure::failed("the machine does not answer; nothing was changed")
            .on(node)
            .seen(seen)
            .help("switch it on, then run it again"));
    }
    let ran = match back.to {
        To::Known(ran) => ran.clone(),
        To::Chosen { servers } => ran::chosen(&world.lock, &fleet.facts, node, servers)?,
    };
    let (ran, linked) = ran::permitted(&world.lock, &fleet.facts, node, ran)?;
    world.turn_back(node, &ran, &linked)?;
    let mut plan = planning::make(&world, &fleet, Mode::Present, global, out).await?;
    out.propose(&plan);
    if plan.counts().changes() == 0 {
        return Ok(if plan.counts().blocked > 0 { exit::FAILED } else { exit::OK });
    }
    let question = format!("{node} goes back to Kubernetes {}; nothing else is touched.", world.cluster.kubernetes);
    let consent = Consent { question, word: "yes".into(), to_this_only: false };
    consent.ask(out).await?;
    let report = execute(&world, &mut fleet, &mut plan, &consent, global, out).await?;
    Ok(code(&report))
}

/// The node is one of this cluster's, and the lock knows of another release than its own.
fn known(world: &World, node: &str) -> Result<()> {
    if world.cluster.node(node).is_none() {
        return Err(Failure::new(exit::USAGE, format!("--node names `{node}`, which is no node")).help("the nodes are in the inventory"));
    }
    if world.lock.releases().len() > 1 {
        return Ok(());
    }
    Err(Failure::refused("there is nothing to go back to: no version is on its way")
        .seen(format!("the lock knows no release but that of Kubernetes {}", world.lock.kubernetes))
        .help("nothing is downgraded; homectl restore brings back what a backup holds"))
}
