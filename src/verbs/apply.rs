//! `apply`: plan, ask, run exactly that plan, record what was founded.

use super::execute::{Consent, code, execute};
use super::fleet::{self, Fleet};
use super::plan_file::PlanFile;
use super::put_back::put_back;
use super::world::World;
use super::{planning, preflight};
use crate::cli::{Apply, Global};
use crate::cluster::{Node, Ran};
use crate::error::{Failure, Result, exit};
use crate::exec::FailedStep;
use crate::plan::Plan;
use crate::report::Reporter;
use crate::steps::{self, Mode};
use std::collections::BTreeMap;
use std::path::Path;

/// `homectl apply`.
pub(super) async fn run(args: &Apply, global: &Global, out: &Reporter) -> Result<u8> {
    let Some((file, inventory)) = PlanFile::read(&args.inventory)? else {
        return Box::pin(converge(&args.inventory, None, global, out)).await;
    };
    if !global.limit.is_empty() {
        return Err(Failure::new(exit::USAGE, "a plan has its own --limit").help("leave --limit out; it was given when the plan was made"));
    }
    let global = Global { limit: file.limit.clone(), locked: true, ..global.clone() };
    Box::pin(converge(&inventory, Some(&file), &global, out)).await
}

/// How a run of [`within`] ended.
pub(super) struct Done {
    pub(super) code: u8,
    /// Steps that failed; nothing where no plan ran.
    pub(super) failed: Vec<FailedStep>,
    /// What nodes go back to that did not come up.
    pub(super) ran: BTreeMap<String, Ran>,
}

/// Makes the machines what the inventory says: by the plan of `file`, or by one made now. A node that does not come up while
/// versions move is put back to what it ran before. The exit code.
pub(super) async fn converge(inventory: &Path, file: Option<&PlanFile>, global: &Global, out: &Reporter) -> Result<u8> {
    let mut world = World::open(inventory, global, out).await?;
    onward(&mut world, file, &|_| Ok(()), global, out).await
}

/// The same for a world that may be a draft: `agreed` keeps it, once the operator has said yes.
pub(super) async fn onward(world: &mut World, file: Option<&PlanFile>, agreed: Agreed<'_>, global: &Global, out: &Reporter) -> Result<u8> {
    let done = once(world, file, agreed, global, out).await?;
    if done.code == exit::FAILED {
        put_back(&world.inventory.path, &done.failed, &done.ran, global, out).await;
    }
    Ok(done.code)
}

/// The same for a world that is open; nobody is put back.
pub(super) async fn within(world: &mut World, file: Option<&PlanFile>, global: &Global, out: &Reporter) -> Result<Done> {
    once(world, file, &|_| Ok(()), global, out).await
}

/// What is done when the operator has said yes, before anything else is.
type Agreed<'a> = &'a dyn Fn(&World) -> Result<()>;

async fn once(world: &mut World, file: Option<&PlanFile>, agreed: Agreed<'_>, global: &Global, out: &Reporter) -> Result<Done> {
    if let Some(file) = file {
        file.same_inputs(&world.inventory)?;
    }
    let mut fleet = fleet::open(world, global, out).await?;
    offline(world, &fleet, global).await?;
    let warnings = newcomers(world, &fleet).await?;
    let mut plan = planning::make(world, &fleet, Mode::Present, global, out).await?;
    plan.warnings.extend(warnings);
    if let Some(file) = file {
        file.same_plan(&plan)?;
    }
    let consent = Consent { question: "These changes will be made.".into(), word: "yes".into(), to_this_only: file.is_some() };
    carry_out(world, &mut fleet, plan, &consent, agreed, global, out).await
}

/// Shows a plan, asks, runs it, records what was founded. `agreed` is done in between, when the operator has said yes.
pub(super) async fn carry_out(
    world: &mut World,
    fleet: &mut Fleet,
    mut plan: Plan,
    consent: &Consent,
    agreed: Agreed<'_>,
    global: &Global,
    out: &Reporter,
) -> Result<Done> {
    out.propose(&plan);
    if plan.counts().changes() == 0 {
        let code = if plan.counts().blocked > 0 { exit::FAILED } else { whole(fleet) };
        if code != exit::FAILED {
            agreed(world)?;
        }
        record(world, fleet)?;
        fleet.tell_traffic(global, out);
        arrived(world, global, code)?;
        return Ok(Done { code, failed: Vec::new(), ran: BTreeMap::new() });
    }
    consent.ask(out).await?;
    agreed(world)?;
    let report = execute(world, fleet, &mut plan, consent, global, out).await?;
    if !report.interrupted {
        learn(world, fleet).await?;
    }
    fleet.tell_traffic(global, out);
    let code = match code(&report) {
        exit::OK => whole(fleet),
        other => other,
    };
    arrived(world, global, code)?;
    // Of the plan that ran: another run may have moved versions since the one that was shown.
    Ok(Done { code, failed: report.failed, ran: plan.ran })
}

/// All machines are as wanted, or all that answer: nobody goes back any more to what they ran before.
fn arrived(world: &mut World, global: &Global, code: u8) -> Result<()> {
    if matches!(code, exit::OK | exit::OFFLINE) && global.limit.is_empty() { world.arrived(code == exit::OK) } else { Ok(()) }
}

/// The closer look of `check` at all machines, where some of them are new: everything that stands in the way is told at once.
/// Gives back what is only worth a warning. A cluster that is complete is not troubled.
pub(super) async fn newcomers(world: &World, fleet: &Fleet) -> Result<Vec<String>> {
    if fleet.facts.values().all(|f| f.cluster.is_some()) {
        return Ok(Vec::new());
    }
    let closer = preflight::look(&world.cluster, &fleet.facts, &fleet.hosts, Some(world.opened()?.overlay_keys())).await;
    let (mut failures, _) = preflight::check(&world.cluster, &fleet.facts).sorted();
    let (more, warnings) = closer.findings.sorted();
    failures.extend(more);
    Failure::together(failures).map(|()| warnings)
}

/// Done, or done as far as machines answered.
fn whole(fleet: &Fleet) -> u8 {
    if fleet.offline.is_empty() { exit::OK } else { exit::OFFLINE }
}

/// Machines that do not answer: without `--allow-offline` nothing is begun; with it the others go on, as long as the
/// control plane has its majority (and a new one all its members).
pub(super) async fn offline(world: &World, fleet: &Fleet, global: &Global) -> Result<()> {
    // The lock knows it where no control plane is asked: `--limit` may name workers only.
    let founded = fleet.is_founded() || world.lock.etcd_cluster_id.is_some();
    let unnamed = |n: &&Node| !global.limit.is_empty() && !global.limit.contains(&n.name);
    if !founded && let Some(other) = world.cluster.control_planes().find(unnamed) {
        return Err(Failure::refused("a control plane begins with all its members")
            .seen(format!("--limit leaves out {}", other.name))
            .help("leave --limit out of the first apply, or name all control planes"));
    }
    let is_off = |n: &Node| fleet.offline.iter().find(|(name, _)| *name == n.name);
    // Who answers and has no data is no member of what was founded: it is about to become one.
    let counts = |n: &&Node| !founded || fleet.facts.get(&n.name).is_none_or(|f| f.etcd_data);
    let planes: Vec<&Node> = world.cluster.control_planes().filter(counts).collect();
    let missing: Vec<&(String, String)> = planes.iter().filter_map(|n| is_off(n)).collect();
    let needed = if founded { planes.len() / 2 + 1 } else { planes.len() };
    let short = !missing.is_empty() && planes.len() - missing.len() < needed;
    // Counting is a guess. What is left of a cluster that lost its majority goes on as one of fewer members: etcd says whether it has its own.
    let lost = short && !(founded && fleet.members(&world.cluster, true).await.iter().any(|(_, told)| told.is_ok()));
    if !(global.allow_offline || lost && fleet.is_founded()) {
        let failures = fleet.offline.iter().map(|(node, seen)| {
            Failure::failed("the machine does not answer; nothing was changed anywhere")
                .on(node)
                .seen(seen)
                .help("is it on, and is the address in the inventory right? Try: ssh to it by hand; or go on without it: --allow-offline")
        });
        return Failure::together(failures.collect());
    }
    if !lost {
        return Ok(());
    }
    let why = if founded { "etcd would have no majority" } else { "a control plane begins with all its members" };
    let off: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
    let refused = Failure::refused(format!("{} of {} control planes do not answer: {why}", missing.len(), planes.len()))
        .seen(format!("off: {}; needed: {needed}", off.join(", ")));
    let refused = missing.iter().fold(refused, |refused, (name, seen)| refused.seen(format!("{name}: {seen}")));
    Err(refused.help(if founded { steps::RUNBOOK } else { "switch them on, then run apply again" }))
}

/// The etcd cluster ID that the control planes recorded, into the lock and the secrets.
fn record(world: &mut World, fleet: &Fleet) -> Result<()> {
    let ids: Vec<String> = fleet.facts.values().filter_map(|f| f.etcd_cluster_id.clone()).collect();
    match ids.first() {
        Some(id) => world.record_etcd(Some(id)),
        None => Ok(()),
    }
}

/// Asks the machines what was founded, and records it. The run has ended: who does not answer any more is asked next time.
async fn learn(world: &mut World, fleet: &mut Fleet) -> Result<()> {
    match fleet.ask_again(world).await {
        Ok(()) => record(world, fleet),
        Err(_) => Ok(()),
    }
}
