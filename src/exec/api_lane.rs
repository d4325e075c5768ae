//! The lane of the Kubernetes API: objects are applied in order, readiness is awaited where somebody needs it.

use super::board::{Board, Standing};
use super::run::{FailedStep, Tally};
use super::{EventKind, Outcome, Sink};
use crate::kube::Condition;
use crate::plan::PlannedStep;
use crate::steps::{Lane, Ready, Test};
use crate::want::{Object, Run as Does, Verdict};
use futures::future::BoxFuture;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What the engine asks of the Kubernetes API.
pub trait ApiLane: Send + Sync {
    /// Applies (`true`) or deletes (`false`) an object. The error says what the API answered.
    fn apply<'a>(&'a self, object: &'a Object, present: bool) -> BoxFuture<'a, Result<(), String>>;

    /// Whether all conditions hold; otherwise what was seen.
    fn check<'a>(&'a self, conditions: &'a [Condition]) -> BoxFuture<'a, Result<(), String>>;
}

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
        for w in unproven {
            prove(&cx, w, &mut tally).await;
        }
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
    for step in waiting {
        prove(&cx, step, &mut tally).await;
    }
    tally
}

async fn work(cx: &Context<'_>, step: &PlannedStep, tally: &mut Tally) -> Result<(), Outcome> {
    if let Some(Verdict::Blocked { why, help }) = step.blocked().map(|i| &i.verdict) {
        return Err(Outcome::Failed { what: format!("blocked: {why}"), evidence: Vec::new(), help: help.clone() });
    }
    cx.sink.tell(EventKind::StepBegan { step: step.id.clone(), title: step.title.clone() });
    for item in &step.items {
        let Some(Does::Api(object, present)) = item.verdict.change().map(|c| &c.run) else { continue };
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

async fn prove(cx: &Context<'_>, step: &PlannedStep, tally: &mut Tally) {
    let outcome = match &step.ready {
        Some(ready) => poll(cx, step, ready).await,
        None => Outcome::Done,
    };
    end(cx, step, outcome, tally);
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
            step: step.title.clone(),
            what: what.clone(),
            evidence: evidence.clone(),
            help: help.clone(),
        });
    }
    cx.sink.tell(EventKind::StepEnded { step: step.id.clone(), outcome });
}
