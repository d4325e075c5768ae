//! From a plan to its run: programs at hand, every lock taken, the plan still true under them, then the run.

use super::fleet::Fleet;
use super::plan_file::stale;
use super::planning;
use super::signals::{UnderWay, Words, interrupts};
use super::supply::Cache;
use super::tap::Tap;
use super::world::World;
use crate::cli::Global;
use crate::error::{Failure, Result, exit};
use crate::exec::{Report, Run, Sink, Supply};
use crate::plan::{self, Plan};
use crate::report::{Journal, Reporter};
use crate::ssh;
use crate::want::{Program, Run as Does};
use futures::future::try_join_all;
use std::collections::BTreeMap;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// How often a person is asked about a plan that moved while they read it.
const PLANS: usize = 3;

/// What the operator is asked before a plan runs; `--yes` answers.
pub(super) struct Consent {
    pub(super) question: String,
    /// What is to be typed.
    pub(super) word: String,
    /// Whether it is given to one plan, so that a changed one may not take its place.
    pub(super) to_this_only: bool,
}

impl Consent {
    pub(super) async fn ask(&self, out: &Reporter) -> Result<()> {
        out.confirm(&self.question, &self.word).await
    }
}

/// Takes the locks and runs the plan that was consented to. Where machines changed since it was made, the new one is
/// shown and consented to first; it takes the place of `plan`.
pub(super) async fn execute(
    world: &World,
    fleet: &mut Fleet,
    plan: &mut Plan,
    consent: &Consent,
    global: &Global,
    out: &Reporter,
) -> Result<Report> {
    let supply = Cache::new(&world.inventory, out.sink())?;
    fetched(plan, &supply).await?;
    let id = format!("{:08x}", rand::random::<u32>());
    if global.break_lock {
        broken(fleet, out).await?;
    }
    let _locks = hold(fleet, &id).await?;
    agreed(world, fleet, plan, consent, global, out).await?;
    let plan = &*plan;
    fetched(plan, &supply).await?;
    if let Some(restoring) = &world.restoring {
        restoring.deliver(&fleet.hosts, plan, &out.sink()).await?;
    }
    let under_way = UnderWay::begin();
    let stop = CancellationToken::new();
    let watch = tokio::spawn(interrupts(stop.clone(), out.clone(), WORDS));
    let tap = Tap { cluster: &world.cluster, secrets: world.opened()?, hosts: &fleet.hosts, api: OnceCell::new() };
    let run = Run { plan, hosts: &fleet.hosts, supply: &supply, api: &tap, sink: noted(&id, &global.verb, world, plan, out), stop };
    let report = run.go().await;
    watch.abort();
    drop(under_way);
    out.finish(plan);
    Ok(report)
}

/// Makes the plan what it is under the locks, where nobody else of us works. Machines move by themselves, too: what a run that was
/// cut off has started goes on coming up.
async fn agreed(world: &World, fleet: &mut Fleet, plan: &mut Plan, consent: &Consent, global: &Global, out: &Reporter) -> Result<()> {
    let mut moved = Vec::new();
    for again in 0..=PLANS {
        fleet.ask_again(world).await?;
        let now = planning::make(world, fleet, plan.mode, global, out).await?;
        moved = plan::moved(&plan.footings(), &now.footings());
        if moved.is_empty() || now.counts().changes() == 0 {
            *plan = now;
            return Ok(());
        }
        if consent.to_this_only {
            return Err(stale("the machines are no longer as this plan saw them").seen(moved.join("\n")));
        }
        if again == PLANS {
            break;
        }
        out.talk(&format!("The machines changed since this plan was made. It is now (other than before: {}):", moved.join("; ")));
        out.propose(&now);
        *plan = now;
        if global.yes {
            return Ok(());
        }
        consent.ask(out).await?;
    }
    Err(Failure::refused("the machines go on changing; nothing was done")
        .seen(moved.join("\n"))
        .help("find out who else works on them, or wait until they have come up, then run the command again"))
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

/// Ends whoever holds a lock, and says who that was.
async fn broken(fleet: &Fleet, out: &Reporter) -> Result<()> {
    let asks = fleet.hosts.iter().map(|(node, host)| async move {
        let reply = host.run(include_str!("break-lock.sh"), &mut |_| ()).await.map_err(|e| e.into_failure(node))?;
        Ok::<_, Failure>((node, reply.output.trim().to_owned()))
    });
    for (node, who) in try_join_all(asks).await?.into_iter().filter(|(_, who)| !who.is_empty()) {
        out.talk(&format!("{node}: took the lock away from {who}"));
    }
    Ok(())
}

/// Every machine's lock, or none: who holds it is told.
pub(super) async fn hold(fleet: &Fleet, id: &str) -> Result<Vec<Box<dyn Send + Sync>>> {
    let who = format!(
        "{}@{} (pid {}, run {id})",
        std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "somebody".into()),
        std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "another computer".into()).trim(),
        std::process::id()
    );
    ssh::lock_all(&fleet.hosts, &who).await.map_err(|(node, e)| e.into_failure(&node))
}

/// Everything goes to the terminal and into the journal.
fn noted(id: &str, verb: &str, world: &World, plan: &Plan, out: &Reporter) -> Sink {
    let journal = Journal::begin(id, verb, &world.inventory.path, plan);
    let sink = out.sink();
    Sink::new(move |kind| {
        if let Some(journal) = &journal {
            journal.tell(&kind);
        }
        sink.tell(kind);
    })
}

/// Those of a plan that runs.
const WORDS: Words = [
    "Interrupted: what runs on the machines now comes to its end, nothing new is begun. Once more stops at once.",
    "Stopped. Run apply again: it finds out what was done and continues.",
];

/// The exit code of a run.
pub(super) fn code(report: &Report) -> u8 {
    match report {
        Report { interrupted: true, .. } => exit::INTERRUPTED,
        Report { failed, .. } if !failed.is_empty() => exit::FAILED,
        _ => exit::OK,
    }
}
