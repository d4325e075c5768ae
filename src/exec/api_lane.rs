//! The lane of the Kubernetes API: objects are applied in order, readiness is awaited where somebody needs it.

use super::board::{Board, Standing};
use super::run::{FailedStep, Tally};
use super::{EventKind, Outcome, Sink};
use crate::kube::Condition;
use crate::plan::PlannedStep;
use crate::steps::{Lane, Ready, Test};
use crate::want::{Change, Object, Run as Does, Seats, Seen, Verdict, Want};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What the engine asks of the Kubernetes API.
pub trait ApiLane: Send + Sync {
    /// Looks at these objects, in their order, writing nothing. The error says what the API answered.
    fn look<'a>(&'a self, objects: &'a [&'a Object]) -> BoxFuture<'a, Result<Vec<Seen>, String>>;

    /// Applies (`true`) or deletes (`false`) an object. The error says what the API answered.
    fn apply<'a>(&'a self, object: &'a Object, present: bool) -> BoxFuture<'a, Result<(), String>>;

    /// Empties a node, or gives it back; `told` hears what is waited for. The error says what kept it from coming true.
    fn seat<'a>(&'a self, seats: &'a Seats, told: &'a (dyn Fn(&str) + Sync)) -> BoxFuture<'a, Result<(), Unseated>>;

    /// Whether all conditions hold; otherwise what was seen.
    fn check<'a>(&'a self, conditions: &'a [Condition]) -> BoxFuture<'a, Result<(), String>>;

    /// Why there is no way to the API any more, where every connection that led to it has ended.
    fn lost(&self) -> BoxFuture<'_, Option<String>>;
}

/// Why a node was not emptied or given back: what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unseated {
    /// It lies with the node, or with its pods.
    Node(String),
    /// The API did not answer, or refused: nothing is known of the node.
    Api(String),
}

/// How a failure ends that says nothing of the node: the API could not be asked.
pub const UNSEEN: &str = ": the API could not be asked";

/// Time between two looks at whether there still is a way to the API.
const LOOK: Duration = Duration::from_secs(5);

/// Everything the lane needs.
pub(super) struct Context<'a> {
    pub(super) steps: Vec<&'a PlannedStep>,
    pub(super) api: &'a dyn ApiLane,
    pub(super) board: Board,
    pub(super) sink: Sink,
    pub(super) stop: CancellationToken,
}

pub(super) async fn walk(cx: Context<'_>) -> Tally {
    let mut tally = Tally::default();
    let mut waiting: Vec<&PlannedStep> = Vec::new();
    for step in &cx.steps {
        let unproven: Vec<&PlannedStep> = waiting.extract_if(.., |w| step.after.contains(&w.id)).collect();
        prove_all(&cx, unproven, &mut tally).await;
        let outcome = match cx.board.wait(&step.after).await {
            Err(why) => Err(Outcome::Skipped { why }),
            Ok(()) if cx.stop.is_cancelled() => Err(Outcome::Skipped { why: "interrupted".into() }),
            Ok(()) => work(&cx, step, &mut tally).await,
        };
        match outcome {
            Ok(()) if step.ready.is_some() => waiting.push(step),
            Ok(()) => end(&cx, step, Outcome::Done, &mut tally),
            Err(outcome) => end(&cx, step, outcome, &mut tally),
        }
    }
    prove_all(&cx, waiting, &mut tally).await;
    tally
}

async fn work(cx: &Context<'_>, step: &PlannedStep, tally: &mut Tally) -> Result<(), Outcome> {
    if let Some(Verdict::Blocked { why, help }) = step.blocked().map(|i| &i.verdict) {
        return Err(Outcome::Failed { what: format!("blocked: {why}"), evidence: Vec::new(), help: help.clone() });
    }
    cx.sink.tell(EventKind::StepBegan { step: step.id.clone(), title: step.title.clone() });
    let needless = second_look(cx, step).await?;
    for (i, item) in step.items.iter().enumerate() {
        let (object, present) = match item.verdict.change().map(|c| &c.run) {
            Some(Does::Api(object, present)) => (object, present),
            Some(Does::Seats(seats)) => {
                seat(cx, step, seats).await?;
                tally.changed += 1;
                cx.sink.tell(EventKind::ItemDone { step: step.id.clone(), addr: item.addr.clone(), changed: true });
                continue;
            }
            _ => continue,
        };
        if needless.contains(&i) {
            cx.sink.tell(EventKind::ItemDone { step: step.id.clone(), addr: item.addr.clone(), changed: false });
            continue;
        }
        if let Err(seen) = cx.api.apply(object, *present).await {
            return Err(Outcome::Failed {
                what: format!("{} was not accepted by the API", item.addr),
                evidence: seen.lines().map(str::to_owned).collect(),
                help: "mend the manifest (or what the API names), then run apply again".into(),
            });
        }
        tally.changed += 1;
        cx.sink.tell(EventKind::ItemDone { step: step.id.clone(), addr: item.addr.clone(), changed: true });
    }
    Ok(())
}

/// A node is emptied or given back. Whoever stops the run need not sit it out: the next run goes on from there.
async fn seat(cx: &Context<'_>, step: &PlannedStep, seats: &Seats) -> Result<(), Outcome> {
    let began = Instant::now();
    let (what, help) = match seats {
        Seats::Drain { node } => (
            format!("{node} could not be emptied"),
            "what keeps a pod is named above: give its budget room (more replicas, or another budget), or end the pod by hand; then run again",
        ),
        Seats::Uncordon { node, .. } => (format!("{node} did not come back"), "look at its kubelet: journalctl -u kubelet; then run again"),
    };
    let told = |seen: &str| {
        let seen = seen.lines().next().unwrap_or_default().to_owned();
        cx.sink.tell(EventKind::Waiting { step: step.id.clone(), what: step.title.clone(), seen, seconds: began.elapsed().as_secs() });
    };
    let done = tokio::select! {
        done = cx.api.seat(seats, &told) => done,
        why = lost(cx.api) => Err(Unseated::Api(why)),
        () = cx.stop.cancelled() => return Err(Outcome::Skipped { why: "interrupted while it was waited for".into() }),
    };
    done.map_err(|unseated| {
        let (what, seen, help) = match unseated {
            Unseated::Node(seen) => (what, seen, help),
            Unseated::Api(seen) => {
                (format!("{what}{UNSEEN}"), seen, "run the same again when the control plane can be reached: it continues")
            }
        };
        Outcome::Failed { what, evidence: seen.lines().map(str::to_owned).collect(), help: help.into() }
    })
}

/// Ends once there is no way to the API any more, with why.
async fn lost(api: &dyn ApiLane) -> String {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Some(why) = api.lost().await {
            return why;
        }
    }
}

/// Looks at what could not be judged when the plan was made. Returns the items that hold already.
///
/// What the plan said of the others may happen, and nothing more: an object of somebody else's, of which the plan could
/// not know, is not taken over unseen.
async fn second_look(cx: &Context<'_>, step: &PlannedStep) -> Result<BTreeSet<usize>, Outcome> {
    let deferred: Vec<(usize, &Object)> = step
        .items
        .iter()
        .enumerate()
        .filter_map(|(i, item)| match &item.verdict {
            Verdict::Deferred { change: Change { run: Does::Api(object, _), .. }, .. } => Some((i, &**object)),
            _ => None,
        })
        .collect();
    if deferred.is_empty() {
        return Ok(BTreeSet::new());
    }
    let objects: Vec<&Object> = deferred.iter().map(|(_, o)| *o).collect();
    let seen = cx.api.look(&objects).await.map_err(|seen| Outcome::Failed {
        what: "the API could not be asked what it holds".into(),
        evidence: seen.lines().map(str::to_owned).collect(),
        help: "run apply again: it continues where it stopped".into(),
    })?;
    let mut needless = BTreeSet::new();
    for ((i, object), seen) in deferred.into_iter().zip(seen) {
        if object.is_foreign(&seen) {
            return Err(Outcome::Failed {
                what: format!("{object} exists, but not by homectl"),
                evidence: vec!["when the plan was made, the API could not be asked for it".into()],
                help: "run apply again: its plan shows what taking it over would change".into(),
            });
        }
        match Want::Object(object.clone()).diff(&seen) {
            Verdict::Settled(_) => drop(needless.insert(i)),
            Verdict::Blocked { why, help } => return Err(Outcome::Failed { what: format!("blocked: {why}"), evidence: Vec::new(), help }),
            Verdict::Change(_) | Verdict::Deferred { .. } => {}
        }
    }
    Ok(needless)
}

/// All are waited for at once; each ends when its own evidence is there.
async fn prove_all(cx: &Context<'_>, steps: Vec<&PlannedStep>, tally: &mut Tally) {
    let polls = steps.into_iter().map(|step| async move {
        match &step.ready {
            Some(ready) => (step, poll(cx, step, ready).await),
            None => (step, Outcome::Done),
        }
    });
    let mut polls: FuturesUnordered<_> = polls.collect();
    while let Some((step, outcome)) = polls.next().await {
        end(cx, step, outcome, tally);
    }
}

/// Asks once a second until the conditions hold or the deadline passes.
async fn poll(cx: &Context<'_>, step: &PlannedStep, ready: &Ready) -> Outcome {
    let Test::Api(conditions) = &ready.test else { return Outcome::Done };
    let began = Instant::now();
    loop {
        let seen = match cx.api.check(conditions).await {
            Ok(()) => return Outcome::Done,
            Err(seen) => seen,
        };
        let seconds = began.elapsed().as_secs();
        if seconds >= ready.deadline {
            return Outcome::Failed {
                what: format!("{} did not come true within {} s", ready.what, ready.deadline),
                evidence: seen.lines().map(str::to_owned).collect(),
                help: "look at the pods named above (kubectl describe), then run apply again: it continues".into(),
            };
        }
        if let Some(why) = cx.api.lost().await {
            return Outcome::Failed {
                what: format!("{} was not seen: there is no way to the API any more", ready.what),
                evidence: vec![why],
                help: "run apply again when the control plane can be reached: it continues where it stopped".into(),
            };
        }
        let last = seen.lines().next().unwrap_or_default().to_owned();
        cx.sink.tell(EventKind::Waiting { step: step.id.clone(), what: ready.what.clone(), seen: last, seconds });
        tokio::select! {
            () = cx.stop.cancelled() => return Outcome::Skipped { why: "interrupted".into() },
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

fn end(cx: &Context<'_>, step: &PlannedStep, outcome: Outcome, tally: &mut Tally) {
    cx.board.post(&step.id, if outcome == Outcome::Done { Standing::Good } else { Standing::Bad("did not end well".into()) });
    tally.count(&step.id, &outcome);
    if let Outcome::Failed { what, evidence, help } = &outcome {
        tally.failed.push(FailedStep {
            lane: Lane::Cluster,
            name: step.id.name.clone(),
            step: step.title.clone(),
            what: what.clone(),
            evidence: evidence.clone(),
            help: help.clone(),
        });
    }
    cx.sink.tell(EventKind::StepEnded { step: step.id.clone(), outcome });
}
