//! The end of a run: what was done where, and every failure once more with what helps.

use super::style::{Paint, because, clean, count, table};
use super::tally::{Failed, Tally};
use crate::plan::Plan;
use crate::steps::Lane;
use std::collections::BTreeMap;

/// The closing lines, without an end of line.
pub(super) fn summary_text(plan: &Plan, tally: &Tally, colour: bool) -> String {
    let paint = Paint(colour);
    let mut lines = Vec::new();
    for failed in &tally.failures {
        lines.push(failure(failed, paint));
        lines.push(String::new());
    }
    lines.extend(skipped(tally, paint));
    lines.extend(nodes(plan, tally));
    lines.push(closing(plan, tally, paint));
    lines.join("\n")
}

fn failure(f: &Failed, paint: Paint) -> String {
    let because = because(&f.evidence, &f.help, paint);
    format!("{} {}: {}: {}{because}", paint.red("failed:"), f.step.lane, f.title, clean(&f.what))
}

/// Steps that were not begun, together where the reason is the same.
fn skipped(tally: &Tally, paint: Paint) -> Vec<String> {
    let mut why: BTreeMap<(&Lane, &str), usize> = BTreeMap::new();
    for s in &tally.skipped {
        *why.entry((&s.step.lane, &s.why)).or_default() += 1;
    }
    let line =
        |((lane, why), n): (&(&Lane, &str), &usize)| format!("{} {lane}: {}: {}", paint.yellow("skipped:"), count(*n, "step"), clean(why));
    let mut lines: Vec<String> = why.iter().map(line).collect();
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

/// A row for each node that took part, and for those that were offline.
fn nodes(plan: &Plan, tally: &Tally) -> Vec<String> {
    let mut rows = vec![["", "changed", "failed", "skipped", "seconds"].map(String::from).to_vec()];
    for lane in &tally.lanes {
        rows.push(vec![
            lane.lane.to_string(),
            lane.changed.to_string(),
            lane.failed.to_string(),
            lane.skipped.to_string(),
            format!("{:.1}", lane.seconds),
        ]);
    }
    rows.extend(plan.offline.iter().map(|(node, _)| vec![node.clone(), "offline".into()]));
    if rows.len() == 1 {
        return Vec::new();
    }
    let mut lines = table(&rows);
    lines.push(String::new());
    lines
}

/// The last line.
fn closing(plan: &Plan, tally: &Tally, paint: Paint) -> String {
    let Some(end) = tally.finished else {
        return paint.yellow("Stopped before the end. Run the same command again: it goes on where it was.");
    };
    let changed = format!("{} changed in {:.1} s", count(end.changed, "item"), end.seconds);
    if end.failed > 0 || end.skipped > 0 {
        let text = format!(
            "Not done: {} failed, {} skipped; {changed}. What was done stays; run the same command again once the cause is gone.",
            count(end.failed, "step"),
            end.skipped
        );
        return paint.red(&text);
    }
    if !plan.offline.is_empty() {
        let text = format!("Done, except on {} that did not answer: {changed}.", count(plan.offline.len(), "node"));
        return paint.yellow(&text);
    }
    paint.green(&format!("Done: {changed}."))
}
