//! Events as lines for people: `attic  etcd member … done (3.2 s)`. Used where there is no terminal, and above the bars.

use super::style::{Paint, because, clean, megabytes};
use super::tally::Tally;
use crate::exec::{Event, EventKind, Outcome};
use crate::steps::StepId;
use std::collections::BTreeMap;

/// A line about a wait at most this often, in seconds.
const PATIENCE: f64 = 10.0;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// What a person must not miss; bars show the rest.
    Important,
    /// Also each step's end, transfers and long waits.
    Steps,
    /// Also each connection and each item that changed.
    Items,
}

/// Turns events into lines.
pub(super) struct Lines {
    level: Level,
    paint: Paint,
    /// When a wait was last spoken of.
    spoken: BTreeMap<StepId, f64>,
}

impl Lines {
    pub(super) fn new(level: Level, paint: Paint) -> Self {
        Self { level, paint, spoken: BTreeMap::new() }
    }

    /// The lines for one event that was counted already, each ended; empty when there is nothing to say.
    pub(super) fn of(&mut self, event: &Event, tally: &Tally) -> String {
        let line = self.important(event, tally).or_else(|| self.step(event, tally)).or_else(|| self.item(event, tally));
        line.map(|l| format!("{l}\n")).unwrap_or_default()
    }

    fn important(&self, event: &Event, tally: &Tally) -> Option<String> {
        match &event.kind {
            EventKind::Unreachable { node, seen } => Some(format!("{node}  {}: {}", self.paint.yellow("unreachable"), clean(seen))),
            EventKind::HostKeyRecorded { node, fingerprint } => Some(format!("{node}  host key recorded: {}", clean(fingerprint))),
            EventKind::Warning { lane, text } => {
                let place = lane.as_ref().map(|l| format!("{l}  ")).unwrap_or_default();
                Some(format!("{place}{}: {}", self.paint.yellow("warning"), clean(text)))
            }
            EventKind::StepEnded { step, outcome: Outcome::Failed { what, evidence, help } } => {
                Some(self.failed(&place(step, tally), what, evidence, help))
            }
            _ => None,
        }
    }

    fn failed(&self, place: &str, what: &str, evidence: &[String], help: &str) -> String {
        format!("{place} … {}: {}{}", self.paint.red("failed"), clean(what), because(evidence, help, self.paint))
    }

    fn step(&mut self, event: &Event, tally: &Tally) -> Option<String> {
        if self.level < Level::Steps {
            return None;
        }
        match &event.kind {
            EventKind::StepEnded { step, outcome: Outcome::Done } => {
                let seconds = tally.began(step).map_or(0.0, |at| event.at - at);
                Some(format!("{} … {} ({seconds:.1} s)", place(step, tally), self.paint.green("done")))
            }
            EventKind::Waiting { step, what, seen, seconds } => {
                let due = self.spoken.get(step).copied().or(tally.began(step)).is_none_or(|at| event.at - at >= PATIENCE);
                due.then(|| {
                    self.spoken.insert(step.clone(), event.at);
                    let seen = if seen.is_empty() { String::new() } else { format!("; last seen: {}", clean(seen)) };
                    format!("{} … waiting until {what} ({seconds} s{seen})", place(step, tally))
                })
            }
            EventKind::Fetching { what, bytes, total: Some(total) } if bytes == total => {
                Some(format!("fetched {what} ({})", megabytes(*bytes)))
            }
            EventKind::Uploading { node, what, bytes, total } if bytes == total => {
                Some(format!("{node}  {what} sent ({})", megabytes(*bytes)))
            }
            _ => None,
        }
    }

    fn item(&self, event: &Event, tally: &Tally) -> Option<String> {
        if self.level < Level::Items {
            return None;
        }
        match &event.kind {
            EventKind::Connecting { node, target } => Some(format!("{node}  connecting to {target}")),
            EventKind::Connected { node } => Some(format!("{node}  connected")),
            EventKind::Probing { node } => Some(format!("{node}  looking")),
            EventKind::StepBegan { step, .. } => Some(format!("{} …", place(step, tally))),
            EventKind::StepEnded { step, outcome: Outcome::Skipped { why } } => {
                Some(format!("{} … {}: {}", place(step, tally), self.paint.yellow("skipped"), clean(why)))
            }
            EventKind::ItemDone { step, addr, changed: true } => Some(format!("{}: changed {addr}", place(step, tally))),
            _ => None,
        }
    }
}

/// `attic  etcd member`.
fn place(step: &StepId, tally: &Tally) -> String {
    format!("{}  {}", step.lane, tally.title(step))
}
