//! A plan as text: per node and step, what would change, why, and with which lines.

use super::style::{Paint, clean, count, table};
use crate::plan::{Counts, Item, Plan, PlannedStep};
use crate::steps::{Lane, Mode, StepId};
use crate::want::{Act, Change, Impact, Lines, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// Machines that are named one by one.
const NAMED: usize = 6;

/// The steps that do something, by their names.
type Acting<'a> = BTreeMap<&'a StepId, &'a PlannedStep>;

/// The plan for people. `verbose` adds what is settled and why, and every line of what is new.
/// The same plan gives the same bytes.
#[must_use]
pub fn plan_text(plan: &Plan, verbose: bool, colour: bool) -> String {
    let mut page = Page { text: String::new(), paint: Paint(colour), verbose };
    if plan.steps.iter().any(|s| page.shows(s)) {
        page.head(plan);
        let acting: Acting = plan.steps.iter().filter(|s| s.acts()).map(|s| (&s.id, s)).collect();
        for lane in lanes(plan) {
            page.lane(plan, &acting, lane);
        }
        page.restarts(plan);
    }
    page.list("Offline, so nothing is planned there:", plan.offline.iter().map(|(node, seen)| format!("{node}: {}", clean(seen))));
    page.list("Warnings:", warnings(plan).into_iter());
    page.text += &page.paint.bold(&closing(plan));
    page.text.push('\n');
    page.text
}

/// Lanes in the order in which the plan names them, the API last.
pub(super) fn lanes(plan: &Plan) -> Vec<&Lane> {
    let mut seen = BTreeSet::new();
    let mut lanes: Vec<&Lane> = plan.steps.iter().map(|s| &s.id.lane).filter(|l| seen.insert(*l)).collect();
    lanes.sort_by_key(|l| **l == Lane::Cluster);
    lanes
}

/// What holds of several nodes is said once, where it came first.
fn warnings(plan: &Plan) -> Vec<String> {
    let nodes: BTreeSet<String> = plan.steps.iter().map(|s| s.id.lane.to_string()).collect();
    let mut all: Vec<(Vec<&str>, &str)> = Vec::new();
    for warning in &plan.warnings {
        let (node, text) = match warning.split_once(": ") {
            Some((node, text)) if nodes.contains(node) => (Some(node), text),
            _ => (None, warning.as_str()),
        };
        match all.iter_mut().find(|(_, other)| *other == text) {
            Some((who, _)) => who.extend(node),
            None => all.push((node.into_iter().collect(), text)),
        }
    }
    let line = |(who, text): &(Vec<&str>, &str)| if who.is_empty() { (*text).to_owned() } else { format!("{}: {text}", who.join(", ")) };
    all.iter().map(|w| clean(&line(w)).into_owned()).collect()
}

/// The last line: the tally, or that there is nothing to do.
fn closing(plan: &Plan) -> String {
    let counts = plan.counts();
    if plan.steps.is_empty() && !plan.offline.is_empty() {
        return "Plan: nothing, as no machine answered.".into();
    }
    if counts.changes() > 0 || counts.blocked > 0 {
        return tally(&counts);
    }
    let all = match (plan.mode, plan.offline.is_empty()) {
        (Mode::Present, true) => "Every machine is as the inventory says.",
        (Mode::Present, false) => "Every machine that answered is as the inventory says.",
        (Mode::Absent, true) => "Nothing that homectl made is left.",
        (Mode::Absent, false) => "Nothing that homectl made is left on the machines that answered.",
    };
    if plan.not_compared.is_some() {
        return format!("No changes. {}, as far as it can be told without the age identity.", all.trim_end_matches('.'));
    }
    format!("No changes. {all}")
}

/// `Plan: 3 to create, 1 to update; 12 settled.`
fn tally(c: &Counts) -> String {
    let all = [
        (c.create, "to create"),
        (c.update, "to update"),
        (c.delete, "to delete"),
        (c.run, "to run"),
        (c.deferred, "deferred"),
        (c.blocked, "blocked"),
    ];
    let some: Vec<String> = all.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    format!("Plan: {}; {} settled.", some.join(", "), c.settled)
}

struct Page {
    text: String,
    paint: Paint,
    verbose: bool,
}

impl Page {
    fn line(&mut self, indent: usize, text: &str) {
        self.text += &" ".repeat(indent);
        self.text += text;
        self.text.push('\n');
    }

    fn shows(&self, step: &PlannedStep) -> bool {
        step.items.iter().any(|i| self.verbose || !matches!(i.verdict, Verdict::Settled(_)))
    }

    /// What it is about, and the signs that occur.
    fn head(&mut self, plan: &Plan) {
        let what = match plan.mode {
            Mode::Present => "what apply does",
            Mode::Absent => "what reset removes",
        };
        self.line(0, &self.paint.bold(&format!("Cluster {}: {what}", plan.cluster)));
        let items = || plan.steps.iter().flat_map(|s| &s.items);
        let acts: [(Act, &str); 6] = [
            (Act::Create, "create"),
            (Act::Update, "update"),
            (Act::Delete, "delete"),
            (Act::Run, "run"),
            (Act::Start, "start"),
            (Act::Restart, "restart"),
        ];
        let used = |act: Act| items().any(|i| i.verdict.change().is_some_and(|c| c.act == act));
        let mut signs: Vec<String> =
            acts.iter().filter(|(act, _)| used(*act)).map(|(act, word)| format!("{} {word}", act.glyph())).collect();
        if items().any(|i| matches!(i.verdict, Verdict::Deferred { .. })) {
            signs.push("? looked at again when its turn comes".into());
        }
        if items().any(|i| matches!(i.verdict, Verdict::Blocked { .. })) {
            signs.push("x blocked".into());
        }
        if self.verbose && items().any(|i| matches!(i.verdict, Verdict::Settled(_))) {
            signs.push("= settled".into());
        }
        self.line(2, &self.paint.dim(&signs.join("   ")));
        let busy: BTreeSet<&Lane> = plan.steps.iter().filter(|s| s.acts()).map(|s| &s.id.lane).collect();
        if busy.len() > 1 {
            self.line(
                2,
                &self.paint.dim("All machines at the same time, each in this order; \"after\" names what is waited for elsewhere."),
            );
        }
        self.line(0, "");
    }

    fn lane(&mut self, plan: &Plan, acting: &Acting, lane: &Lane) {
        let steps: Vec<&PlannedStep> = plan.steps.iter().filter(|s| s.id.lane == *lane && self.shows(s)).collect();
        if steps.is_empty() {
            return;
        }
        self.line(0, &self.paint.bold(&lane.to_string()));
        for step in steps {
            self.step(acting, step);
        }
        self.line(0, "");
    }

    fn step(&mut self, acting: &Acting, step: &PlannedStep) {
        let rolling = if step.rolling.is_some() && step.acts() { " (one node at a time)" } else { "" };
        self.line(2, &format!("{}{rolling}", step.title));
        let awaited = awaited(acting, step);
        if !awaited.is_empty() {
            self.line(4, &self.paint.dim(&format!("after {}", awaited.join("; "))));
        }
        let shown: Vec<&Item> = step.items.iter().filter(|i| self.verbose || !matches!(i.verdict, Verdict::Settled(_))).collect();
        // Long addresses do not push the others' reasons away.
        let width = shown.iter().map(|i| i.addr.chars().count()).filter(|w| *w <= 48).max().unwrap_or(0);
        for item in shown {
            self.item(item, width);
        }
        if let (Some(ready), true) = (&step.ready, step.acts()) {
            self.line(4, &self.paint.dim(&format!("then waits until {} (at most {} s)", ready.what, ready.deadline)));
        }
    }

    fn item(&mut self, item: &Item, width: usize) {
        let addr = clean(&item.addr);
        match &item.verdict {
            Verdict::Settled(why) => self.line(4, &self.paint.dim(&format!(" = {addr:width$}  {}", clean(why)))),
            Verdict::Change(change) => self.change(' ', &addr, width, change, ""),
            Verdict::Deferred { why, change } => self.change('?', &addr, width, change, &format!("; {}", clean(why))),
            Verdict::Blocked { why, help } => {
                let sign = self.paint.red(" x");
                self.line(4, &format!("{sign} {addr:width$}  {}", clean(why)));
                if !help.is_empty() {
                    self.line(7, &format!("help: {}", clean(help)));
                }
            }
        }
    }

    fn change(&mut self, mark: char, addr: &str, width: usize, change: &Change, deferred: &str) {
        let sign = format!("{mark}{}", change.act.glyph());
        let sign = match change.act {
            Act::Create | Act::Start => self.paint.green(&sign),
            Act::Update | Act::Run | Act::Restart => self.paint.yellow(&sign),
            Act::Delete => self.paint.red(&sign),
        };
        let open = self.verbose || change.act == Act::Update;
        let size = if open { String::new() } else { size(&change.lines) };
        let text = format!("{sign} {addr:width$}  {}{size}{deferred}{}", clean(&change.why), impact(&change.impact));
        self.line(4, text.trim_end());
        if open {
            for line in change.lines.iter() {
                let line = self.diff_line(line);
                self.line(10, &line);
            }
        }
    }

    fn diff_line(&self, line: &str) -> String {
        let line = clean(line);
        match line.as_bytes().first() {
            Some(b'+') => self.paint.green(&line),
            Some(b'-') => self.paint.red(&line),
            Some(b'@') => self.paint.cyan(&line),
            _ => line.into_owned(),
        }
    }

    /// Which running units will be felt, per node.
    fn restarts(&mut self, plan: &Plan) {
        let mut units: BTreeMap<&Lane, BTreeSet<String>> = BTreeMap::new();
        for step in &plan.steps {
            for item in &step.items {
                let Some(change) = item.verdict.change() else { continue };
                let felt = units.entry(&step.id.lane).or_default();
                if let Impact::Restart(names) = &change.impact {
                    felt.extend(names.iter().cloned());
                }
                if change.act == Act::Restart {
                    felt.insert(item.addr.strip_prefix("unit:").unwrap_or(&item.addr).to_owned());
                }
            }
        }
        let row = |(lane, names): (&&Lane, &BTreeSet<String>)| {
            vec![lane.to_string(), names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")]
        };
        let rows: Vec<Vec<String>> = units.iter().filter(|(_, names)| !names.is_empty()).map(row).collect();
        self.list("Restarts:", table(&rows).into_iter());
    }

    /// A headed list; nothing when it is empty.
    fn list(&mut self, head: &str, lines: impl Iterator<Item = String>) {
        let mut lines = lines.peekable();
        if lines.peek().is_none() {
            return;
        }
        self.line(0, &self.paint.bold(head));
        for line in lines {
            self.line(2, &line);
        }
        self.line(0, "");
    }
}

/// What a step waits for in other lanes: `API server (cellar, garage)`.
fn awaited(acting: &Acting, step: &PlannedStep) -> Vec<String> {
    let mut all: Vec<(&str, BTreeSet<String>)> = Vec::new();
    let elsewhere = step.after.iter().filter(|id| id.lane != step.id.lane).filter_map(|id| acting.get(id));
    for other in elsewhere.filter(|_| step.acts()) {
        let lane = other.id.lane.to_string();
        match all.iter_mut().find(|(title, _)| *title == other.title) {
            Some((_, lanes)) => drop(lanes.insert(lane)),
            None => all.push((&other.title, BTreeSet::from([lane]))),
        }
    }
    let told = |(title, lanes): (&str, BTreeSet<String>)| {
        let who = if lanes.len() > NAMED { count(lanes.len(), "machine") } else { lanes.into_iter().collect::<Vec<_>>().join(", ") };
        format!("{} ({who})", clean(title))
    };
    all.into_iter().map(told).collect()
}

/// How much is not shown: lines added or removed of a diff, or all lines. A single remark is not worth a word.
fn size(lines: &Lines) -> String {
    match lines.size() {
        (0, 0 | 1) => String::new(),
        (0, all) => format!(" ({})", count(all, "line")),
        (moved, _) => format!(" ({})", count(moved, "line")),
    }
}

fn impact(impact: &Impact) -> String {
    match impact {
        Impact::Safe => String::new(),
        Impact::Restart(units) => format!(" [restarts {}]", units.join(", ")),
        Impact::Disruptive => " [pods move or stop]".into(),
        Impact::Irreversible => " [cannot be taken back]".into(),
    }
}
