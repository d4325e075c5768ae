//! `apply`: plan, ask, run exactly that plan, record what was founded.

use super::fleet::{self, Fleet};
use super::supply::Cache;
use super::tap::Tap;
use super::world::World;
use super::{look, planning};
use crate::cli::{Global, Target};
use crate::error::{Failure, Result, exit};
use crate::exec::{Report, Run, Supply};
use crate::facts;
use crate::plan::{Observed, Plan};
use crate::report::Reporter;
use crate::steps::{Lane, Mode, Step};
use crate::want::{Program, Run as Does};
use futures::future::try_join_all;
use std::collections::BTreeMap;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// `homectl apply`.
pub(super) async fn run(args: &Target, global: &Global, out: &Reporter) -> Result<u8> {
    let mut world = World::open(&args.inventory, global, out).await?;
    let fleet = fleet::open(&world, global, out).await?;
    offline(&world, &fleet, global, out)?;
    let (plan, observed) = planning::make(&world, &fleet, Mode::Present, global, out).await?;
    out.propose(&plan);
    if plan.counts().changes() == 0 {
        record(&mut world, &fleet)?;
        fleet.tell_traffic(global, out);
        return Ok(if plan.counts().blocked > 0 { exit::FAILED } else { whole(&fleet) });
    }
    out.confirm("These changes will be made.", "yes").await?;
    let report = execute(&world, &fleet, &plan, &observed, out).await?;
    if !report.interrupted {
        learn(&mut world, &fleet).await?;
    }
    fleet.tell_traffic(global, out);
    Ok(match code(&report) {
        exit::OK => whole(&fleet),
        other => other,
    })
}

/// Done, or done as far as machines answered.
fn whole(fleet: &Fleet) -> u8 {
    if fleet.offline.is_empty() { exit::OK } else { exit::OFFLINE }
}

/// The exit code of a run.
pub(super) fn code(report: &Report) -> u8 {
    match report {
        Report { interrupted: true, .. } => exit::INTERRUPTED,
        Report { failed, .. } if !failed.is_empty() => exit::FAILED,
        _ => exit::OK,
    }
}

/// Machines that do not answer: without `--allow-offline` nothing is begun; with it the others go on, as long as the
/// control plane has its majority (and a new one all its members).
fn offline(world: &World, fleet: &Fleet, global: &Global, out: &Reporter) -> Result<()> {
    if !global.allow_offline {
        let failures = fleet.offline.iter().map(|(node, seen)| {
            Failure::failed("the machine does not answer; nothing was changed anywhere")
                .on(node)
                .seen(seen)
                .help("is it on, and is the address in the inventory right? Try: ssh to it by hand; or go on without it: --allow-offline")
        });
        return fleet::all_told(failures.collect(), out);
    }
    let planes = world.cluster.control_planes().count();
    let missing: Vec<&str> =
        world.cluster.control_planes().filter(|n| fleet.offline.iter().any(|(name, _)| *name == n.name)).map(|n| n.name.as_str()).collect();
    let founded = fleet.facts.values().any(|f| f.etcd_data);
    let majority = planes / 2 + 1;
    if missing.is_empty() || (founded && planes - missing.len() >= majority) {
        return Ok(());
    }
    let why = if founded { "etcd would have no majority" } else { "a control plane begins with all its members" };
    Err(Failure::refused(format!("{} of {planes} control planes do not answer: {why}", missing.len()))
        .seen(format!("off: {}; needed: {}", missing.join(", "), if founded { majority } else { planes }))
        .help("switch them on, then run apply again"))
}

/// Takes the locks, looks once more, runs the plan.
pub(super) async fn execute(world: &World, fleet: &Fleet, plan: &Plan, observed: &Observed, out: &Reporter) -> Result<Report> {
    let supply = Cache::new(&world.inventory, out.sink())?;
    fetched(plan, &supply).await?;
    let _locks = hold(fleet).await?;
    unmoved(fleet, plan, observed, out).await?;
    let stop = CancellationToken::new();
    let watch = tokio::spawn(interrupts(stop.clone(), out.clone()));
    let tap = Tap { cluster: &world.cluster, secrets: &world.secrets, hosts: &fleet.hosts, api: OnceCell::new() };
    let run = Run { plan, hosts: &fleet.hosts, supply: &supply, api: &tap, sink: out.sink(), stop };
    let report = run.go().await;
    watch.abort();
    out.finish(plan);
    Ok(report)
}

/// Everything the plan installs is in the cache and is what the lock says, before any machine is touched.
async fn fetched(plan: &Plan, supply: &Cache) -> Result<()> {
    let programs = plan.steps.iter().flat_map(|s| &s.items).filter_map(|i| match i.verdict.change().map(|c| &c.run) {
        Some(Does::Install(program)) => Some((program.artifact.sha256.as_str(), program)),
        _ => None,
    });
    let once: BTreeMap<&str, &Program> = programs.collect();
    try_join_all(once.into_values().map(|program| supply.get(program))).await.map(|_| ())
}

/// Every machine's lock, or none: who holds it is told.
async fn hold(fleet: &Fleet) -> Result<Vec<Box<dyn Send + Sync>>> {
    let who = format!(
        "{}@{} (pid {})",
        std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "somebody".into()),
        std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "another computer".into()).trim(),
        std::process::id()
    );
    let who = &who;
    try_join_all(fleet.hosts.iter().map(|(node, host)| async move { host.lock(who).await.map_err(|e| e.into_failure(node)) })).await
}

/// Between the plan and the lock somebody else may have worked: the plan's ground is looked at again.
async fn unmoved(fleet: &Fleet, plan: &Plan, observed: &Observed, out: &Reporter) -> Result<()> {
    let steps: Vec<Step> = plan
        .steps
        .iter()
        .filter(|s| matches!(s.id.lane, Lane::Node(_)))
        .map(|s| Step {
            id: s.id.clone(),
            title: s.title.clone(),
            after: Vec::new(),
            wants: s.items.iter().map(|i| i.want.clone()).collect(),
            ready: None,
            rolling: None,
        })
        .collect();
    let again = look::at_nodes(&steps, &fleet.hosts, out).await?;
    let moved: Vec<String> = again
        .iter()
        .filter(|(id, seen)| observed.get(id).is_some_and(|before| !super::look::same(before, seen)))
        .map(|(id, _)| id.to_string())
        .collect();
    if moved.is_empty() {
        return Ok(());
    }
    Err(Failure::refused("the machines changed between the plan and now; nothing was done")
        .seen(format!("other than planned: {}", moved.join(", ")))
        .help("run apply again: it plans anew"))
}

/// Ctrl-C once: stop at the next safe point; twice: now.
async fn interrupts(stop: CancellationToken, out: Reporter) {
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    stop.cancel();
    out.talk("Interrupted: what runs on the machines now comes to its end, nothing new is begun. Once more stops at once.");
    if tokio::signal::ctrl_c().await.is_ok() {
        out.last_words("Stopped. Run apply again: it finds out what was done and continues.");
        std::process::exit(i32::from(exit::INTERRUPTED));
    }
}

/// The etcd cluster ID that the control planes recorded, into the lock and the secrets.
fn record(world: &mut World, fleet: &Fleet) -> Result<()> {
    let ids: Vec<String> = fleet.facts.values().filter_map(|f| f.etcd_cluster_id.clone()).collect();
    match ids.first() {
        Some(id) => world.record_etcd(Some(id)),
        None => Ok(()),
    }
}

/// Asks the control planes what was founded, and records it.
async fn learn(world: &mut World, fleet: &Fleet) -> Result<()> {
    let mut fresh = Fleet { hosts: fleet.hosts.clone(), facts: fleet.facts.clone(), offline: Vec::new(), api: std::sync::OnceLock::new() };
    for node in world.cluster.control_planes() {
        let Some(host) = fleet.hosts.get(&node.name) else { continue };
        let Ok(reply) = host.run(&facts::script(), &mut |_| ()).await else { continue };
        if let Ok(facts) = facts::parse(&reply.output) {
            fresh.facts.insert(node.name.clone(), facts);
        }
    }
    record(world, &fresh)
}
