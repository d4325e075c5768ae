//! How a failure that ends a verb looks, as text and as JSON.

use super::json::FORMAT;
use super::style::{Paint, because, clean};
use crate::error::Failure;
use miette::{JSONReportHandler, MietteHandlerOpts};
use serde_json::{Value, json};

/// Reports with source positions follow the same decision on colours as everything else.
pub(super) fn install(colour: bool) {
    // Fails only when a hook is there already, with the same decision.
    miette::set_hook(Box::new(move |_| Box::new(MietteHandlerOpts::new().color(colour).terminal_links(false).build()))).ok();
}

/// The failure, and what failed besides, for people; without an end of line. What is the same on several machines is said
/// once, with their names.
pub(super) fn text(failure: &Failure, colour: bool) -> String {
    let mut told: Vec<(&Failure, Vec<&str>)> = Vec::new();
    for one in failure.all() {
        let nodes = one.node().into_iter();
        match told.iter_mut().find(|(other, names)| !names.is_empty() && same(one, other)) {
            Some((_, names)) => names.extend(nodes),
            None => told.push((one, nodes.collect())),
        }
    }
    told.into_iter().map(|(one, nodes)| of_nodes(one, &nodes, colour)).collect::<Vec<_>>().join("\n")
}

/// Whether two failures differ in their node at most.
fn same(one: &Failure, other: &Failure) -> bool {
    one.node().is_some()
        && one.diagnostic().is_none()
        && other.diagnostic().is_none()
        && (one.what(), one.evidence(), one.remedy()) == (other.what(), other.evidence(), other.remedy())
}

fn of_nodes(failure: &Failure, nodes: &[&str], colour: bool) -> String {
    if failure.diagnostic().is_some() {
        return failure.to_string().trim_end().to_owned();
    }
    let paint = Paint(colour);
    let place = if nodes.is_empty() { String::new() } else { format!("{}: ", nodes.join(", ")) };
    let because = because(failure.evidence(), failure.remedy().unwrap_or_default(), paint);
    format!("{} {place}{}{because}", paint.red("error:"), clean(failure.what()))
}

/// The failure as the document that `--json` promises.
pub(super) fn json(failure: &Failure) -> Value {
    let besides: Vec<Value> = failure.all().skip(1).map(body).collect();
    json!({ "format": FORMAT, "error": body(failure), "besides": besides })
}

/// The failure as one line of `--events`.
pub(super) fn event(failure: &Failure) -> Value {
    let besides: Vec<Value> = failure.all().skip(1).map(body).collect();
    json!({ "type": "error", "error": body(failure), "besides": besides })
}

fn body(failure: &Failure) -> Value {
    json!({
        "exit": failure.exit_code(),
        "node": failure.node(),
        "what": failure.what(),
        "evidence": failure.evidence(),
        "help": failure.remedy(),
        "diagnostic": failure.diagnostic().and_then(diagnostic),
    })
}

/// The report with its labels and spans.
fn diagnostic(report: &miette::Report) -> Option<Value> {
    let mut text = String::new();
    JSONReportHandler::new().render_report(&mut text, report.as_ref()).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_on_several_machines_is_said_once() {
        let full = |node: &str| Failure::failed("the disk is full").on(node).seen("0 MB free").help("make room");
        let other = Failure::failed("the disk is full").on("shed").seen("1 MB free").help("make room");
        let failure = Failure::together(vec![full("attic"), full("cellar"), other]).unwrap_err();
        assert_eq!(
            text(&failure, false),
            "error: attic, cellar: the disk is full\n  | 0 MB free\n  help: make room\nerror: shed: the disk is full\n  | 1 MB free\n  help: make room"
        );
        let document = json(&failure);
        assert_eq!(document["error"]["node"], "attic");
        assert_eq!(
            document["besides"].as_array().unwrap().iter().map(|b| b["node"].as_str().unwrap()).collect::<Vec<_>>(),
            ["cellar", "shed"]
        );
        assert!(Failure::together(Vec::new()).is_ok());
    }
}
