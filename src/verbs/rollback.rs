//! `rollback`: one node goes back to the programs and files it had before versions moved. The same steps, made from the release
//! before, for one node alone.

use super::execute::{Consent, code, execute};
use super::fleet;
use super::planning;
use super::world::World;
use crate::cli::{Global, Rollback};
use crate::error::{Failure, Result, exit};
use crate::plan::Ran;
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
    node(&args.target.inventory, &Back { node: name, servers: args.servers, ran: None }, &all, out).await
}

/// Who goes back, and to what.
pub(super) struct Back<'a> {
    pub(super) node: &'a str,
    /// Its control plane's services, too: it is they that do not come up.
    pub(super) servers: bool,
    /// What it ran, where that is known.
    pub(super) ran: Option<Ran>,
}

/// Puts one node back.
pub(super) async fn node(inventory: &Path, back: &Back<'_>, global: &Global, out: &Reporter) -> Result<u8> {
    let node = back.node;
    let mut world = World::open(inventory, global, out).await?;
    world.turn_back(node, back.servers, back.ran.as_ref())?;
    let mut fleet = fleet::open(&world, global, out).await?;
    if let Some((_, seen)) = fleet.offline.iter().find(|(name, _)| name == node) {
        return Err(Failure::failed("the machine does not answer; nothing was changed")
            .on(node)
            .seen(seen)
            .help("switch it on, then run it again"));
    }
    let plan = planning::make(&world, &fleet, Mode::Present, global, out).await?;
    out.propose(&plan);
    if plan.counts().changes() == 0 {
        return Ok(if plan.counts().blocked > 0 { exit::FAILED } else { exit::OK });
    }
    let question = format!("{node} goes back to Kubernetes {}; nothing else is touched.", world.cluster.kubernetes);
    let consent = Consent { question, word: "yes".into(), to_this_only: false };
    consent.ask(out).await?;
    let report = execute(&world, &mut fleet, plan, &consent, global, out).await?;
    Ok(code(&report))
}
