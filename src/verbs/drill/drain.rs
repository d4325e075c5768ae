//! `drill drain`: a node is emptied and given back, and every workload is counted all the time.

use super::super::signals::{UnderWay, Words, interrupts};
use super::stage::{Stage, unless};
use crate::cli::{DrillDrain, Global};
use crate::cluster::Node;
use crate::error::{Failure, Result, exit};
use crate::exec::EventKind;
use crate::kube::{Api, ApiError, Away, Leaving, Lodged, Replicas, Shortage, moved};
use crate::report::{Drill, Observed, Reporter};
use crate::steps::StepId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Between two counts.
const EVERY: Duration = Duration::from_millis(500);
/// For pods to run elsewhere while the node is empty; some cannot, and are back when it is.
const ELSEWHERE: Duration = Duration::from_secs(20);
/// For all of them to run again once the node is back.
const AGAIN: Duration = Duration::from_mins(2);

const WORDS: Words = [
    "Interrupted: the node is given back. Once more stops at once.",
    "Stopped. If the node is still kept away from pods, homectl apply gives it back.",
];

/// `homectl drill drain`.
pub(super) async fn run(args: &DrillDrain, global: &Global, out: &Reporter) -> Result<Drill> {
    let stage = Stage::open(&args.target.inventory, global, out).await?;
    let node = stage
        .node(global)?
        .ok_or_else(|| Failure::new(exit::USAGE, "which node is to be emptied?").help("name it: homectl drill drain --node NODE"))?;
    if stage.world.cluster.nodes.len() == 1 {
        return Err(Failure::refused(format!("{} is the only node: its pods have nowhere to go", node.name)).help("add a machine first"));
    }
    let asked = |e: ApiError| Failure::failed("the API could not be asked which pods would have to move").seen(e.to_string());
    let short = stage.api.replicas().await.map_err(asked)?.into_iter().filter(Replicas::is_short);
    let short = short.map(|r| format!("workloads: {} has {} of {} pods ready", r.workload, r.ready, r.wanted));
    stage.must_be_whole(short.collect()).await?;
    let leaving = stage.api.leaving(&[&node.name], Away::ForAWhile).await.map_err(asked)?.remove(&node.name).unwrap_or_default();
    safe(node, &leaving)?;
    for loss in &leaving.losses {
        out.talk(&format!("{} will be emptied; {loss}", node.name));
    }
    let before = stage.api.lodged().await.map_err(asked)?;
    let question = format!("{} is emptied ({} pods leave it), and given back.", node.name, leaving.pods);
    let _locks = stage.agreed(question, out).await?;
    let stop = CancellationToken::new();
    let _under_way = UnderWay::begin();
    let watch = tokio::spawn(interrupts(stop.clone(), out.clone(), WORDS));
    let drill = act(&stage, node, &before, &stop, out).await;
    watch.abort();
    drill
}

/// Refuses what could not be undone.
fn safe(node: &Node, leaving: &Leaving) -> Result<()> {
    if leaving.bare.is_empty() {
        return Ok(());
    }
    Err(Failure::refused("a drill must be undone by its end, and some pods would be gone for good: nothing makes them anew")
        .on(&node.name)
        .seen(leaving.bare.join("\n"))
        .help("give them an owner (a Deployment of one), or try another node"))
}

async fn act(stage: &Stage, node: &Node, before: &[Lodged], stop: &CancellationToken, out: &Reporter) -> Result<Drill> {
    let from = Instant::now();
    let (sink, place) = (out.sink(), StepId::cluster("drill"));
    let told = |seen: &str| {
        let seen = seen.lines().next().unwrap_or_default().to_owned();
        sink.tell(EventKind::Waiting {
            step: place.clone(),
            what: format!("{} is emptied", node.name),
            seen,
            seconds: from.elapsed().as_secs(),
        });
    };
    let count = Count::begin(stage.api.clone(), from);
    let mut wrong = Vec::new();
    let mut emptied = None;
    match unless(stop, stage.api.drain(&node.name, &told)).await {
        Some(Ok(())) => {
            emptied = Some(from.elapsed().as_secs_f64());
            unless(stop, count.full(ELSEWHERE)).await;
        }
        Some(Err(error)) => wrong.push(format!("it was not emptied: {error}")),
        None => {}
    }
    if let Err(error) = stage.api.uncordon(&node.name, None, &told).await {
        wrong.push(format!("it could not be given back: {error}; homectl apply does it"));
    }
    unless(stop, count.full(AGAIN)).await;
    let interrupted = stop.is_cancelled();
    let shortage = count.end();
    let left = shortage.now().into_iter().filter(|_| !interrupted);
    wrong.extend(left.map(|r| {
        format!("{} has {} of {} pods ready, {} s after the node was given back", r.workload, r.ready, r.wanted, AGAIN.as_secs())
    }));
    let after = stage.api.lodged().await.unwrap_or_default();
    let seconds = from.elapsed().as_secs_f64();
    wrong.extend(stage.lacks_at_last(stop).await);
    let observed = Observed::Drain { emptied, moved: moved(before, &after, &node.name), short: shortage.told() };
    Ok(Drill { name: "drain", cluster: stage.world.cluster.name.clone(), node: node.name.clone(), seconds, observed, wrong, interrupted })
}

/// Workloads that are being counted.
struct Count {
    seen: Arc<Mutex<(u64, Shortage)>>,
    task: tokio::task::JoinHandle<()>,
}

impl Count {
    fn begin(api: Api, from: Instant) -> Self {
        let seen = Arc::new(Mutex::new((0, Shortage::default())));
        let into = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                if let Ok(all) = api.replicas().await {
                    let mut seen = guard(&into);
                    seen.0 += 1;
                    seen.1.note(from.elapsed(), all);
                }
                tokio::time::sleep(EVERY).await;
            }
        });
        Self { seen, task }
    }

    /// Waits until nobody is short of pods, by two counts that began after this was asked; not for ever.
    async fn full(&self, patience: Duration) {
        let from = Instant::now();
        let looks = || guard(&self.seen).0;
        let mut good = looks() + 2;
        while from.elapsed() < patience {
            let seen = looks();
            if !guard(&self.seen).1.now().is_empty() {
                good = seen + 2;
            } else if seen >= good {
                return;
            }
            tokio::time::sleep(EVERY / 5).await;
        }
    }

    fn end(self) -> Shortage {
        self.task.abort();
        guard(&self.seen).1.clone()
    }
}

fn guard(seen: &Mutex<(u64, Shortage)>) -> MutexGuard<'_, (u64, Shortage)> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
