//! What a run came to, counted from its events.

use crate::exec::{Event, EventKind, Outcome};
use crate::steps::{Lane, StepId};
use serde::Serialize;
use std::collections::BTreeMap;

/// The sum of a run's events.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Tally {
    /// Totals, once the run ended.
    pub(super) finished: Option<Finished>,
    pub(super) lanes: Vec<LaneTally>,
    pub(super) failures: Vec<Failed>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) warnings: Vec<String>,
    /// What the plan calls its steps.
    #[serde(skip)]
    pub(super) titles: BTreeMap<StepId, String>,
    #[serde(skip)]
    began: BTreeMap<StepId, f64>,
}

/// Totals as the run itself counted them.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Finished {
    pub(super) changed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
    pub(super) seconds: f64,
}

/// One node's (or the API's) part.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LaneTally {
    pub(super) lane: Lane,
    /// Items changed.
    pub(super) changed: usize,
    /// Steps failed and skipped.
    pub(super) failed: usize,
    pub(super) skipped: usize,
    /// From the lane's first step to the end of its last.
    pub(super) seconds: f64,
    #[serde(skip)]
    first: f64,
}

/// A step that failed, with its evidence.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Failed {
    pub(super) step: StepId,
    pub(super) title: String,
    pub(super) what: String,
    pub(super) evidence: Vec<String>,
    pub(super) help: String,
}

/// A step that was not begun.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Skipped {
    pub(super) step: StepId,
    pub(super) why: String,
}

impl Tally {
    /// Counts one event.
    pub(super) fn hear(&mut self, event: &Event) {
        match &event.kind {
            EventKind::StepBegan { step, title } => {
                self.lane(&step.lane, event.at);
                self.titles.entry(step.clone()).or_insert_with(|| title.clone());
                self.began.insert(step.clone(), event.at);
            }
            EventKind::ItemDone { step, changed: true, .. } => self.lane(&step.lane, event.at).changed += 1,
            EventKind::StepEnded { step, outcome } => self.ended(step, outcome, event.at),
            EventKind::Warning { lane, text } => {
                let place = lane.as_ref().map(|l| format!("{l}: ")).unwrap_or_default();
                self.warnings.push(format!("{place}{text}"));
            }
            EventKind::Finished { changed, failed, skipped, seconds } => {
                self.finished = Some(Finished { changed: *changed, failed: *failed, skipped: *skipped, seconds: *seconds });
            }
            _ => {}
        }
    }

    /// The title of a step; its name when nobody told.
    pub(super) fn title<'a>(&'a self, step: &'a StepId) -> &'a str {
        self.titles.get(step).unwrap_or(&step.name)
    }

    /// When a step began.
    pub(super) fn began(&self, step: &StepId) -> Option<f64> {
        self.began.get(step).copied()
    }

    fn ended(&mut self, step: &StepId, outcome: &Outcome, at: f64) {
        let title = self.title(step).to_owned();
        let lane = self.lane(&step.lane, at);
        match outcome {
            Outcome::Done => {}
            Outcome::Failed { what, evidence, help } => {
                lane.failed += 1;
                let (what, evidence, help) = (what.clone(), evidence.clone(), help.clone());
                self.failures.push(Failed { step: step.clone(), title, what, evidence, help });
            }
            Outcome::Skipped { why } => {
                lane.skipped += 1;
                self.skipped.push(Skipped { step: step.clone(), why: why.clone() });
            }
        }
    }

    /// The lane's entry, its clock moved on to `at`. Sorted by name, the API last.
    fn lane(&mut self, lane: &Lane, at: f64) -> &mut LaneTally {
        let index = match self.lanes.binary_search_by(|l| l.lane.cmp(lane)) {
            Ok(index) => index,
            Err(index) => {
                let fresh = LaneTally { lane: lane.clone(), changed: 0, failed: 0, skipped: 0, seconds: 0.0, first: at };
                self.lanes.insert(index, fresh);
                index
            }
        };
        let entry = &mut self.lanes[index];
        entry.seconds = at - entry.first;
        entry
    }
}
