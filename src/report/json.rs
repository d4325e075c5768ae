//! Plans, runs and events as JSON, made from the same values as the text. Documented in `docs/plan-json.md`.

use super::plan::lanes;
use super::tally::Tally;
use crate::exec::Event;
use crate::plan::{Counts, Item, Plan, PlannedStep};
use crate::steps::{Lane, Mode};
use crate::want::{Change, Verdict};
use serde_json::{Value, json};

/// Raised when a field changes its meaning or goes away; new fields may come without.
pub(super) const FORMAT: u32 = 1;

/// The whole plan.
#[must_use]
pub fn plan(plan: &Plan) -> Value {
    json!({
        "format": FORMAT,
        "cluster": plan.cluster,
        "mode": match plan.mode { Mode::Present => "present", Mode::Absent => "absent" },
        "counts": counts(&plan.counts()),
        "lanes": lanes(plan).into_iter().map(|lane| self::lane(plan, lane)).collect::<Vec<_>>(),
        "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
        "offline": plan.offline.iter().map(|(node, seen)| json!({ "node": node, "seen": seen })).collect::<Vec<_>>(),
        "warnings": plan.warnings,
        "not_compared": plan.not_compared,
    })
}

/// The plan as one line of `--events`.
pub(super) fn plan_event(plan: &Plan) -> Value {
    json!({ "type": "plan", "plan": self::plan(plan) })
}

/// The plan that ran and what became of it.
pub(super) fn run(plan: &Plan, tally: &Tally) -> Value {
    json!({ "format": FORMAT, "plan": self::plan(plan), "run": tally })
}

/// One event; a serialisation that fails says so instead of vanishing.
pub(super) fn event(event: &Event) -> Value {
    serde_json::to_value(event).unwrap_or_else(|error| json!({ "at": event.at, "type": "unserialisable", "error": error.to_string() }))
}

fn lane(plan: &Plan, lane: &Lane) -> Value {
    let mut sum = Counts::default();
    for item in plan.steps.iter().filter(|s| s.id.lane == *lane).flat_map(|s| &s.items) {
        sum.add(&item.verdict);
    }
    json!({ "lane": lane, "counts": counts(&sum) })
}

pub(super) fn counts(c: &Counts) -> Value {
    json!({
        "create": c.create, "update": c.update, "delete": c.delete, "run": c.run,
        "deferred": c.deferred, "blocked": c.blocked, "settled": c.settled,
        "changes": c.changes(),
    })
}

fn step(step: &PlannedStep) -> Value {
    json!({
        "id": step.id,
        "title": step.title,
        "after": step.after,
        "rolling": step.rolling,
        "ready": step.ready.as_ref().map(|r| json!({ "what": r.what, "deadline": r.deadline })),
        "items": step.items.iter().map(item).collect::<Vec<_>>(),
    })
}

fn item(item: &Item) -> Value {
    let addr = &item.addr;
    match &item.verdict {
        Verdict::Settled(why) => json!({ "addr": addr, "verdict": "settled", "why": why }),
        Verdict::Blocked { why, help } => json!({ "addr": addr, "verdict": "blocked", "why": why, "help": help }),
        Verdict::Change(change) => with_change(json!({ "addr": addr, "verdict": "change" }), change),
        Verdict::Deferred { why, change } => with_change(json!({ "addr": addr, "verdict": "deferred", "until": why }), change),
    }
}

fn with_change(mut value: Value, change: &Change) -> Value {
    value["act"] = json!(change.act);
    value["why"] = json!(change.why);
    value["lines"] = json!(change.lines);
    value["impact"] = json!(change.impact);
    value
}
