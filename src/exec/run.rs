//! One run of one plan: a task a lane, a board between them.

use super::board::{Board, Standing};
use super::{ApiLane, EventKind, Outcome, Sink, Supply, api_lane, lane};
use crate::plan::{Plan, PlannedStep};
use crate::ssh::Connection;
use crate::steps::{Lane, StepId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a run needs besides the plan.
pub struct Run<'a> {
    pub plan: &'a Plan,
    /// Open sessions by node name.
    pub hosts: &'a BTreeMap<String, Connection>,
    pub supply: &'a dyn Supply,
    pub api: &'a dyn ApiLane,
    pub sink: Sink,
    /// Cancelled: no further script is sent; those that run come to their end.
    pub stop: CancellationToken,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Items that changed something.
    pub changed: usize,
    pub failed: Vec<FailedStep>,
    /// Steps that were not begun.
    pub skipped: usize,
    pub interrupted: bool,
    pub seconds: f64,
}

/// What is told of a step whose machine was lost in the middle.
pub const LOST: &str = "the connection failed in the middle: the outcome of this step is not known";
/// What is told of a step that could not be begun begins so.
pub const BLOCKED: &str = "blocked: ";

/// A step that failed, with the evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedStep {
    pub lane: Lane,
    /// The step's name within its lane.
    pub name: String,
    /// The step's title.
    pub step: String,
    pub what: String,
    pub evidence: Vec<String>,
    pub help: String,
}

/// What one lane counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) changed: usize,
    pub(super) failed: Vec<FailedStep>,
    pub(super) skipped: usize,
}

impl Tally {
    pub(super) fn count(&mut self, _id: &StepId, outcome: &Outcome) {
        if matches!(outcome, Outcome::Skipped { .. }) {
            self.skipped += 1;
        }
    }
}

impl Run<'_> {
    /// Runs exactly the plan. A machine with something blocked on it is not touched at all; in the API only what needs
    /// the blocked step waits.
    pub async fn go(self) -> Report {
        let began = Instant::now();
        let board = Board::new();
        let mut lanes: BTreeMap<&Lane, Vec<&PlannedStep>> = BTreeMap::new();
        let asked = self.asked_anew();
        for step in &self.plan.steps {
            if step.acts() || step.blocked().is_some() || asked.contains(&step.id) {
                lanes.entry(&step.id.lane).or_default().push(step);
            } else {
                board.post(&step.id, Standing::Good);
            }
        }
        let walks = lanes.into_iter().map(|(lane, steps)| self.walk(lane, steps, board.clone()));
        let tallies = futures::future::join_all(walks).await;
        let mut report = Report { interrupted: self.stop.is_cancelled(), seconds: began.elapsed().as_secs_f64(), ..Report::default() };
        for tally in tallies {
            report.changed += tally.changed;
            report.skipped += tally.skipped;
            report.failed.extend(tally.failed);
        }
        self.sink.tell(EventKind::Finished {
            changed: report.changed,
            failed: report.failed.len(),
            skipped: report.skipped,
            seconds: report.seconds,
        });
        report
    }

    /// Steps that have nothing to do and are proven all the same, since one that stands aside says of them that they came up: systemd
    /// calls a program active that ends and begins again and again.
    fn asked_anew(&self) -> BTreeSet<&StepId> {
        let aside = self.plan.steps.iter().filter(|s| s.aside && s.acts());
        aside.flat_map(|s| s.after.iter().filter(|id| id.lane == s.id.lane)).collect()
    }

    async fn walk(&self, at: &Lane, steps: Vec<&PlannedStep>, board: Board) -> Tally {
        match at {
            Lane::Cluster => {
                let cx = api_lane::Context { steps, api: self.api, board, sink: self.sink.clone(), stop: self.stop.clone() };
                api_lane::walk(cx).await
            }
            Lane::Node(_) if steps.iter().any(|s| s.blocked().is_some()) => self.leave_alone(&steps, &board),
            Lane::Node(name) => {
                let Some(host) = self.hosts.get(name) else { return self.leave_alone(&steps, &board) };
                let cx = lane::Context { node: name, host, supply: self.supply, board, sink: self.sink.clone(), stop: self.stop.clone() };
                lane::walk(&cx, &steps).await
            }
        }
    }

    /// Reports what blocks a lane; nothing runs there.
    fn leave_alone(&self, steps: &[&PlannedStep], board: &Board) -> Tally {
        use crate::want::Verdict;
        let mut tally = Tally::default();
        for step in steps {
            board.post(&step.id, Standing::Bad("was not begun: something on its machine is blocked".into()));
            let mut blocked =
                step.all_blocked().filter_map(|i| if let Verdict::Blocked { why, help } = &i.verdict { Some((why, help)) } else { None });
            let outcome = if let Some((why, help)) = blocked.next() {
                let evidence: Vec<String> = blocked.map(|(why, _)| format!("also: {why}")).collect();
                tally.failed.push(FailedStep {
                    lane: step.id.lane.clone(),
                    name: step.id.name.clone(),
                    step: step.title.clone(),
                    what: format!("{BLOCKED}{why}"),
                    evidence: evidence.clone(),
                    help: help.clone(),
                });
                Outcome::Failed { what: why.clone(), evidence, help: help.clone() }
            } else {
                tally.skipped += 1;
                Outcome::Skipped { why: "something on this machine is blocked, so nothing was done to it".into() }
            };
            self.sink.tell(EventKind::StepEnded { step: step.id.clone(), outcome });
        }
        tally
    }
}
