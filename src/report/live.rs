//! Bars: one line a node with what it does or waits for, and for how long.

use super::style::{clean, megabytes};
use super::tally::Tally;
use crate::exec::{Event, EventKind, Outcome};
use crate::steps::{Lane, StepId};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::time::Instant;

/// The row for what happens on the operator's machine.
const HERE: &str = "downloads";

/// Nodes (`false`) before what is not a node (`true`); then by name.
type Label = (bool, String);

/// All rows, by label.
pub(super) struct Live {
    bars: MultiProgress,
    rows: BTreeMap<Label, Row>,
}

/// One row: what is known about a node now.
struct Row {
    bar: ProgressBar,
    doing: Doing,
}

/// What a node does; kept apart from the bar so that it can be told in tests.
#[derive(Debug, Default)]
struct Doing {
    /// What to say when no step runs: `connected`.
    idle: String,
    running: Option<(StepId, String, Instant)>,
    waits: BTreeMap<StepId, Wait>,
    /// Name, bytes so far, bytes in all.
    transfer: Option<(String, u64, Option<u64>)>,
}

#[derive(Debug)]
struct Wait {
    title: String,
    what: String,
    seen: String,
    since: Instant,
}

impl Live {
    pub(super) fn new() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    pub(super) fn on(target: ProgressDrawTarget) -> Self {
        Self { bars: MultiProgress::with_draw_target(target), rows: BTreeMap::new() }
    }

    pub(super) fn bars(&self) -> MultiProgress {
        self.bars.clone()
    }

    pub(super) fn shown(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Moves the row that an event belongs to; a new row may widen the first column of all.
    pub(super) fn hear(&mut self, event: &Event, tally: &Tally) {
        let Some(label) = label(&event.kind) else { return };
        let now = Instant::now();
        let position = self.rows.range(..label.clone()).count();
        let fresh = !self.rows.contains_key(&label);
        let bars = &self.bars;
        let make = || Row { bar: bars.insert(position, ProgressBar::new_spinner().with_style(style())), doing: Doing::default() };
        let row = self.rows.entry(label).or_insert_with(make);
        row.doing.hear(&event.kind, tally, now);
        if fresh {
            self.redraw();
        } else {
            row.draw(now);
        }
    }

    /// Draws every row anew: seconds go on.
    pub(super) fn redraw(&mut self) {
        let now = Instant::now();
        let width = self.rows.keys().map(|(_, name)| name.chars().count()).max().unwrap_or(0);
        for ((_, name), row) in &self.rows {
            row.bar.set_prefix(format!("{name:width$}"));
            row.draw(now);
        }
    }

    /// Takes all rows away.
    pub(super) fn clear(&mut self) {
        for row in self.rows.values() {
            row.bar.finish_and_clear();
            self.bars.remove(&row.bar);
        }
        self.rows.clear();
    }
}

impl Row {
    fn draw(&self, now: Instant) {
        self.bar.set_message(self.doing.text(now));
        self.bar.tick();
    }
}

impl Doing {
    fn hear(&mut self, kind: &EventKind, tally: &Tally, now: Instant) {
        match kind {
            EventKind::Connecting { target, .. } => self.idle = format!("connecting to {target}"),
            EventKind::Connected { .. } => "connected".clone_into(&mut self.idle),
            EventKind::Probing { .. } => "looking".clone_into(&mut self.idle),
            EventKind::Unreachable { .. } => "unreachable".clone_into(&mut self.idle),
            EventKind::Fetching { what, bytes, total } => self.transfer(what, *bytes, *total),
            EventKind::Uploading { what, bytes, total, .. } => self.transfer(what, *bytes, Some(*total)),
            EventKind::StepBegan { step, title } => self.running = Some((step.clone(), title.clone(), now)),
            EventKind::Waiting { step, what, seen, .. } => self.waits(step, tally.title(step), what, seen, now),
            EventKind::StepEnded { step, outcome } => self.ended(step, tally.title(step), outcome),
            _ => {}
        }
    }

    fn transfer(&mut self, what: &str, bytes: u64, total: Option<u64>) {
        self.transfer = (total != Some(bytes)).then(|| (what.to_owned(), bytes, total));
    }

    /// The step no longer runs, it waits; from its first wait on the seconds are counted here.
    fn waits(&mut self, step: &StepId, title: &str, what: &str, seen: &str, now: Instant) {
        self.running.take_if(|(id, ..)| id == step);
        let (title, what) = (title.to_owned(), what.to_owned());
        let wait = self.waits.entry(step.clone()).or_insert_with(|| Wait { title, what, seen: String::new(), since: now });
        seen.clone_into(&mut wait.seen);
    }

    fn ended(&mut self, step: &StepId, title: &str, outcome: &Outcome) {
        self.running.take_if(|(id, ..)| id == step);
        self.waits.remove(step);
        let how = match outcome {
            Outcome::Done => "done",
            Outcome::Failed { .. } => "failed",
            Outcome::Skipped { .. } => "skipped",
        };
        self.idle = format!("{title}: {how}");
    }

    /// One line.
    fn text(&self, now: Instant) -> String {
        let age = |since: &Instant| now.saturating_duration_since(*since).as_secs();
        let moved = self.transfer.as_ref().map(|(what, bytes, total)| match total {
            Some(total) => format!("{what} {} of {}", megabytes(*bytes), megabytes(*total)),
            None => format!("{what} {}", megabytes(*bytes)),
        });
        match (&self.running, moved, self.waits.values().next()) {
            (Some((_, title, _)), Some(moved), _) => format!("{title}: {moved}"),
            (Some((_, title, since)), None, _) => format!("{title} ({} s)", age(since)),
            (None, Some(moved), _) => moved,
            (None, None, Some(wait)) => wait.text(age(&wait.since)),
            (None, None, None) => self.idle.clone(),
        }
    }
}

impl Wait {
    fn text(&self, seconds: u64) -> String {
        let seen = if self.seen.is_empty() { String::new() } else { format!("; last seen: {}", clean(&self.seen)) };
        format!("{}: waiting until {} ({seconds} s{seen})", self.title, self.what)
    }
}

/// The row of an event; the API comes after all nodes.
fn label(kind: &EventKind) -> Option<Label> {
    match kind {
        EventKind::Connecting { node, .. }
        | EventKind::Connected { node }
        | EventKind::Unreachable { node, .. }
        | EventKind::Probing { node }
        | EventKind::Uploading { node, .. } => Some((false, node.clone())),
        EventKind::StepBegan { step, .. } | EventKind::Waiting { step, .. } | EventKind::StepEnded { step, .. } => {
            Some((step.lane == Lane::Cluster, step.lane.to_string()))
        }
        EventKind::Fetching { .. } => Some((true, HERE.to_owned())),
        EventKind::HostKeyRecorded { .. } | EventKind::ItemDone { .. } | EventKind::Warning { .. } | EventKind::Finished { .. } => None,
    }
}

fn style() -> ProgressStyle {
    // The template is a constant: a mistake in it shows in every test that draws.
    let style = ProgressStyle::with_template("{spinner} {prefix}  {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    style.tick_chars("|/-\\ ")
}
