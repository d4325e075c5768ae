//! The lane of one node: as few scripts as its edges allow, programs beside them, readiness proven where somebody
//! waits for it and at the end.

use super::batch::{Batch, Heard, Tag};
use super::board::{Board, Standing};
use super::install::{self, Supplied, Supply};
use super::run::{FailedStep, LOST, Tally};
use super::{EventKind, Outcome, Sink};
use crate::error::Failure;
use crate::plan::PlannedStep;
use crate::ssh::Connection;
use crate::steps::{Lane, StepId};
use crate::want::{Program, Run as Does};
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, select_all};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Everything the lane needs.
pub(super) struct Context<'a> {
    pub(super) node: &'a str,
    pub(super) host: &'a Connection,
    pub(super) supply: &'a dyn Supply,
    pub(super) board: Board,
    pub(super) sink: Sink,
    pub(super) stop: CancellationToken,
}

/// Files of programs that have come, by sum.
type Arrived = Arc<BTreeMap<String, Vec<Supplied>>>;
type Uploads<'a> = Shared<BoxFuture<'a, Result<Arrived, Arc<Failure>>>>;

/// Why a lane stopped, and at which of its steps.
struct Stopped {
    step: Option<usize>,
    outcome: Outcome,
}

struct Walk<'a> {
    cx: &'a Context<'a>,
    steps: &'a [&'a PlannedStep],
    batch: Batch,
    /// Steps whose work is in a script but whose readiness is not.
    unproven: BTreeSet<usize>,
    ended: BTreeSet<usize>,
    tally: Tally,
}

pub(super) async fn walk(cx: &Context<'_>, steps: &[&PlannedStep]) -> Tally {
    let programs: Vec<&Program> = steps.iter().flat_map(|s| &s.items).filter_map(|i| install_of(i.verdict.change())).collect();
    let mut walk = Walk { cx, steps, batch: Batch::new(), unproven: BTreeSet::new(), ended: BTreeSet::new(), tally: Tally::default() };
    let done = walk.with(&programs).await;
    if let Err(stopped) = done {
        walk.stop(&stopped);
    }
    walk.tally
}

fn install_of(change: Option<&crate::want::Change>) -> Option<&Program> {
    if let Some(Does::Install(program)) = change.map(|c| &c.run) { Some(program) } else { None }
}

impl Walk<'_> {
    /// The uploads run while the first scripts do; whoever needs them first waits for them.
    async fn with(&mut self, programs: &[&Program]) -> Result<(), Stopped> {
        if programs.is_empty() {
            return self.all(None).await;
        }
        self.prepare().await?;
        let cx = self.cx;
        let uploads: Uploads<'_> =
            async { install::send_all(cx.node, cx.host, cx.supply, programs, &cx.sink).await.map(Arc::new).map_err(Arc::new) }
                .boxed()
                .shared();
        let travel = uploads.clone().then(|_| std::future::pending::<()>());
        tokio::select! {
            // Ended early, whatever still travels is given up.
            done = self.all(Some(uploads)) => done,
            () = travel => Ok(()),
        }
    }

    async fn prepare(&mut self) -> Result<(), Stopped> {
        let failed = |seen: String| Stopped { step: Some(0), outcome: failure("the machine could not be prepared", &seen) };
        let reply = self.cx.host.run(&format!("set -eu\n{}", install::prepare()), &mut |_| ()).await.map_err(|e| failed(e.to_string()))?;
        if reply.status == 0 { Ok(()) } else { Err(failed(reply.output)) }
    }

    async fn all(&mut self, uploads: Option<Uploads<'_>>) -> Result<(), Stopped> {
        let mut arrived = None;
        let (aside, all): (Vec<usize>, Vec<usize>) = (0..self.steps.len()).partition(|i| self.steps[*i].aside);
        for i in all {
            self.needs(i).await?;
            self.work(i, uploads.as_ref(), &mut arrived).await?;
        }
        self.prove_all();
        self.flush().await?;
        self.aside(aside, uploads.as_ref(), &mut arrived).await
    }

    /// Those that stand aside, each when what it waits for is ready: all else here is done and proven by then, so that nobody who has
    /// to be waited for waits for it.
    async fn aside(&mut self, mut left: Vec<usize>, uploads: Option<&Uploads<'_>>, arrived: &mut Option<Arrived>) -> Result<(), Stopped> {
        while !left.is_empty() {
            let board = self.cx.board.clone();
            let waits = left.iter().map(|i| board.wait(&self.steps[*i].after).boxed());
            let (waited, at, _) = select_all(waits).await;
            let i = left.remove(at);
            if let Err(why) = waited {
                self.end(i, Outcome::Skipped { why });
                continue;
            }
            self.work(i, uploads, arrived).await?;
            self.prove_all();
            match self.flush().await {
                Err(Stopped { step: Some(k), outcome }) if k == i && is_of_the_step(&outcome) => self.end(i, outcome),
                Err(stopped) => return Err(stopped),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// What a step does, into the next script.
    async fn work(&mut self, i: usize, uploads: Option<&Uploads<'_>>, arrived: &mut Option<Arrived>) -> Result<(), Stopped> {
        let step = self.steps[i];
        self.batch.step(&step.id.name);
        self.batch.push(Tag::Begin(i), "journal \"${hc_step-}: begins\"");
        for (k, item) in step.items.iter().enumerate() {
            match item.verdict.change().map(|c| &c.run) {
                Some(Does::Script(sh)) => self.batch.push(Tag::Item(i, k), sh.as_str()),
                Some(Does::Install(program)) => {
                    if arrived.is_none() {
                        // What is ready to run runs while the programs travel.
                        self.flush().await?;
                        *arrived = Some(self.receive(i, uploads.cloned()).await?);
                        self.batch.step(&step.id.name);
                    }
                    let files = arrived.as_ref().and_then(|a| a.get(&program.artifact.sha256)).cloned().unwrap_or_default();
                    self.batch.push(Tag::Item(i, k), &install::finish(program, &files));
                }
                Some(Does::Api(..) | Does::Seats(_)) | None => {}
            }
        }
        self.batch.push(Tag::Worked(i), "journal \"${hc_step-}: done\"");
        if step.ready.is_some() {
            self.unproven.insert(i);
        }
        Ok(())
    }

    /// Steps of other lanes are waited for; before that everything here is sent and proven, so that no two lanes
    /// can wait for each other. Steps of this lane are proven in the script itself.
    async fn needs(&mut self, i: usize) -> Result<(), Stopped> {
        let step = self.steps[i];
        let here = Lane::Node(self.cx.node.to_owned());
        let outside: Vec<StepId> =
            step.after.iter().filter(|id| id.lane != here && self.cx.board.get(id) != Some(Standing::Good)).cloned().collect();
        if !outside.is_empty() {
            self.prove_all();
            self.flush().await?;
            let waited = self.cx.board.wait(&outside).await;
            waited.map_err(|why| Stopped { step: Some(i), outcome: Outcome::Skipped { why } })?;
        }
        let inside: Vec<usize> = self.unproven.iter().copied().filter(|k| step.after.contains(&self.steps[*k].id)).collect();
        for k in inside {
            self.prove(k);
        }
        Ok(())
    }

    fn prove(&mut self, k: usize) {
        if self.unproven.remove(&k)
            && let Some(ready) = &self.steps[k].ready
        {
            self.batch.step(&self.steps[k].id.name);
            self.batch.wait(Tag::Ready(k), ready);
        }
    }

    fn prove_all(&mut self) {
        for k in self.unproven.clone() {
            self.prove(k);
        }
    }

    async fn receive(&mut self, i: usize, uploads: Option<Uploads<'_>>) -> Result<Arrived, Stopped> {
        let Some(uploads) = uploads else { return Ok(Arc::default()) };
        self.cx.sink.tell(EventKind::StepBegan { step: self.steps[i].id.clone(), title: self.steps[i].title.clone() });
        uploads.await.map_err(|f| Stopped {
            step: Some(i),
            outcome: Outcome::Failed {
                what: f.what().to_owned(),
                evidence: f.evidence().to_vec(),
                help: f.remedy().unwrap_or("run apply again: it continues where it stopped").to_owned(),
            },
        })
    }

    /// Sends what is gathered and hears it out.
    async fn flush(&mut self) -> Result<(), Stopped> {
        let batch = std::mem::replace(&mut self.batch, Batch::new());
        if batch.is_empty() {
            return Ok(());
        }
        if self.cx.stop.is_cancelled() {
            return Err(Stopped { step: None, outcome: Outcome::Skipped { why: "interrupted".into() } });
        }
        let mut printed = String::new();
        let mut current: Option<usize> = None;
        let mut stopped: Option<Stopped> = None;
        let reply = {
            let (host, stop) = (self.cx.host, self.cx.stop.clone());
            // The step whose readiness is being waited for.
            let (waits, waiting) = watch::channel(None);
            let (board, steps) = (self.cx.board.clone(), self.steps);
            let me = &mut *self;
            let mut sink = |line: &str| {
                let heard = batch.hear(line, &mut printed);
                match heard {
                    Heard::Began(Tag::Ready(i)) => _ = waits.send(Some(*i)),
                    Heard::Began(_) | Heard::Ended(..) => _ = waits.send(None),
                    Heard::Waiting(..) | Heard::Nothing => {}
                }
                me.hear(&heard, &mut current, &mut stopped);
            };
            tokio::select! {
                reply = host.run(batch.script(), &mut sink) => Ok(reply),
                // A wait changes nothing on the machine: whoever stops the run need not sit it out, nor what cannot come true.
                () = stopped_while(&stop, waiting.clone()) => Err((None, "interrupted while it was waited for".into())),
                (i, why) = hopeless(&board, steps, waiting) => Err((Some(i), why)),
            }
        };
        let reply = reply.map_err(|(step, why)| Stopped { step, outcome: Outcome::Skipped { why } })?;
        if let Some(stopped) = stopped {
            return Err(stopped);
        }
        match reply {
            Ok(reply) if reply.status == 0 => Ok(()),
            Ok(reply) => {
                Err(Stopped { step: current, outcome: failure("the script ended early", &format!("status {}\n{printed}", reply.status)) })
            }
            Err(e) => Err(Stopped { step: current, outcome: failure(LOST, &e.to_string()) }),
        }
    }

    fn hear(&mut self, heard: &Heard<'_>, current: &mut Option<usize>, stopped: &mut Option<Stopped>) {
        match heard {
            Heard::Began(Tag::Begin(i)) => {
                *current = Some(*i);
                let step = self.steps[*i];
                self.cx.sink.tell(EventKind::StepBegan { step: step.id.clone(), title: step.title.clone() });
            }
            Heard::Began(Tag::Item(i, _) | Tag::Worked(i) | Tag::Ready(i)) => *current = Some(*i),
            Heard::Ended(Tag::Item(i, k), 0, said) => {
                let changed = said.trim() != "holds already";
                self.tally.changed += usize::from(changed);
                let (step, addr) = (self.steps[*i].id.clone(), self.steps[*i].items[*k].addr.clone());
                self.cx.sink.tell(EventKind::ItemDone { step, addr, changed });
            }
            Heard::Ended(Tag::Item(i, k), rc, said) => {
                let what = format!("{} failed with status {rc}", self.steps[*i].items[*k].addr);
                *stopped = Some(Stopped { step: Some(*i), outcome: failure(&what, said) });
            }
            Heard::Ended(Tag::Worked(i), ..) if self.steps[*i].ready.is_none() => self.end(*i, Outcome::Done),
            Heard::Ended(Tag::Ready(i), 0, _) => self.end(*i, Outcome::Done),
            Heard::Ended(Tag::Ready(i), _, said) => {
                let ready = self.steps[*i].ready.as_ref();
                let what = ready.map_or_else(String::new, |r| format!("{} did not come true within {} s", r.what, r.deadline));
                *stopped = Some(Stopped { step: Some(*i), outcome: failure(&what, said) });
            }
            Heard::Waiting(Tag::Ready(i), seconds, seen) => {
                let what = self.steps[*i].ready.as_ref().map_or_else(String::new, |r| r.what.clone());
                self.cx.sink.tell(EventKind::Waiting { step: self.steps[*i].id.clone(), what, seen: seen.clone(), seconds: *seconds });
            }
            _ => {}
        }
    }

    fn end(&mut self, i: usize, outcome: Outcome) {
        if !self.ended.insert(i) {
            return;
        }
        let step = self.steps[i];
        let standing = match &outcome {
            Outcome::Done => Standing::Good,
            Outcome::Failed { .. } => Standing::Bad("failed".into()),
            Outcome::Skipped { .. } => Standing::Bad("was not done".into()),
        };
        self.cx.board.post(&step.id, standing);
        self.tally.count(&step.id, &outcome);
        if let Outcome::Failed { what, evidence, help } = &outcome {
            self.tally.failed.push(FailedStep {
                lane: step.id.lane.clone(),
                name: step.id.name.clone(),
                step: step.title.clone(),
                what: what.clone(),
                evidence: evidence.clone(),
                help: help.clone(),
            });
        }
        self.cx.sink.tell(EventKind::StepEnded { step: step.id.clone(), outcome });
    }

    /// Ends every step that has not ended: the culprit with its outcome, the others as skipped.
    fn stop(&mut self, stopped: &Stopped) {
        // A machine lost before any step of a script began fails the one that was to come: else nobody would have failed.
        let failed = matches!(stopped.outcome, Outcome::Failed { .. });
        let next = || (0..self.steps.len()).find(|i| failed && !self.ended.contains(i));
        let culprit = stopped.step.or_else(next);
        if let Some(i) = culprit {
            self.end(i, stopped.outcome.clone());
        }
        let why = match (&stopped.outcome, culprit) {
            (Outcome::Skipped { why }, _) => why.clone(),
            (_, Some(i)) => format!("{} on this machine failed", self.steps[i].title),
            (_, None) => "the machine was lost".into(),
        };
        for i in 0..self.steps.len() {
            self.end(i, Outcome::Skipped { why: why.clone() });
        }
    }
}

type Waiting = watch::Receiver<Option<usize>>;

/// Ends once the run is to stop and nothing but a wait is going on.
async fn stopped_while(stop: &CancellationToken, mut waiting: Waiting) {
    stop.cancelled().await;
    if waiting.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Ends once what is being waited for cannot come true any more: which step that is, and why.
async fn hopeless(board: &Board, steps: &[&PlannedStep], mut waiting: Waiting) -> (usize, String) {
    loop {
        let Ok(Some(i)) = waiting.wait_for(Option::is_some).await.map(|i| *i) else { std::future::pending().await };
        let through = steps[i].ready.as_ref().map_or(&[] as &[StepId], |ready| &ready.through);
        tokio::select! {
            why = board.hopeless(through) => return (i, why),
            _ = waiting.changed() => {}
        }
    }
}

/// Whether a step failed, and not the machine.
fn is_of_the_step(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed { what, .. } if what != LOST)
}

fn failure(what: &str, seen: &str) -> Outcome {
    Outcome::Failed {
        what: what.to_owned(),
        evidence: seen.lines().filter(|l| !l.trim().is_empty()).map(str::to_owned).collect(),
        help: "mend what the lines say, then run apply again: it continues where it stopped".into(),
    }
}
