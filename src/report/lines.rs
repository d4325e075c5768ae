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
    tally: Tally,
    /// When a wait was last spoken of.
    spoken: BTreeMap<StepId, f64>,
}

impl Lines {
    pub(super) fn new(level: Level, paint: Paint) -> Self {
        Self { level, paint, tally: Tally::default(), spoken: BTreeMap::new() }
    }

    /// The lines for one event, each ended; empty when there is nothing to say.
    pub(super) fn of(&mut self, event: &Event) -> String {
        self.tally.hear(event);
        let line = self.important(event).or_else(|| self.step(event)).or_else(|| self.item(event));
        line.map(|l| format!("{l}\n")).unwrap_or_default()
    }

    fn important(&self, event: &Event) -> Option<String> {
        match &event.kind {
            EventKind::Unreachable { node, seen } => Some(format!("{node}  {}: {}", self.paint.yellow("unreachable"), clean(seen))),
            EventKind::HostKeyRecorded { node, fingerprint } => Some(format!("{node}  host key recorded: {}", clean(fingerprint))),
            EventKind::Warning { lane, text } => {
                let place = lane.as_ref().map(|l| format!("{l}  ")).unwrap_or_default();
                Some(format!("{place}{}: {}", self.paint.yellow("warning"), clean(text)))
            }
            EventKind::StepEnded { step, outcome: Outcome::Failed { what, evidence, help } } => {
                Some(self.failed(step, what, evidence, help))
            }
            _ => None,
        }
    }

    fn failed(&self, step: &StepId, what: &str, evidence: &[String], help: &str) -> String {
        let because = because(evidence, help, self.paint);
        format!("{}  {} … {}: {}{because}", step.lane, self.tally.title(step), self.paint.red("failed"), clean(what))
    }

    fn step(&mut self, event: &Event) -> Option<String> {
        if self.level < Level::Steps {
            return None;
        }
        match &event.kind {
            EventKind::StepEnded { step, outcome: Outcome::Done } => {
                let seconds = self.tally.began_at(step).map_or(0.0, |at| event.at - at);
                Some(format!("{}  {} … {} ({seconds:.1} s)", step.lane, self.tally.title(step), self.paint.green("done")))
            }
            EventKind::StepEnded { step, outcome: Outcome::Skipped { why } } => {
                Some(format!("{}  {} … {}: {}", step.lane, self.tally.title(step), self.paint.yellow("skipped"), clean(why)))
            }
            EventKind::Waiting { step, what, seen, seconds } => {
                let due = self.spoken.get(step).copied().or(self.tally.began_at(step)).is_none_or(|at| event.at - at >= PATIENCE);
                due.then(|| {
                    self.spoken.insert(step.clone(), event.at);
                    let seen = if seen.is_empty() { String::new() } else { format!("; last seen: {}", clean(seen)) };
                    format!("{}  {} … waiting until {what} ({seconds} s{seen})", step.lane, self.tally.title(step))
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

    fn item(&self, event: &Event) -> Option<String> {
        if self.level < Level::Items {
            return None;
        }
        match &event.kind {
            EventKind::Connecting { node, target } => Some(format!("{node}  connecting to {target}")),
            EventKind::Connected { node } => Some(format!("{node}  connected")),
            EventKind::Probing { node } => Some(format!("{node}  looking")),
            EventKind::StepBegan { step, title } => Some(format!("{}  {title} …", step.lane)),
            EventKind::ItemDone { step, addr, changed: true } => Some(format!("{}  {}: changed {addr}", step.lane, self.tally.title(step))),
            _ => None,
        }
    }
}
