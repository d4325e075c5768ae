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

/// The failure for people, without an end of line.
pub(super) fn text(failure: &Failure, colour: bool) -> String {
    if failure.diagnostic().is_some() {
        return failure.to_string().trim_end().to_owned();
    }
    let paint = Paint(colour);
    let place = failure.node().map(|n| format!("{n}: ")).unwrap_or_default();
    let because = because(failure.evidence(), failure.remedy().unwrap_or_default(), paint);
    format!("{} {place}{}{because}", paint.red("error:"), clean(failure.what()))
}

/// The failure as the document that `--json` promises.
pub(super) fn json(failure: &Failure) -> Value {
    json!({ "format": FORMAT, "error": body(failure) })
}

/// The failure as one line of `--events`.
pub(super) fn event(failure: &Failure) -> Value {
    json!({ "type": "error", "error": body(failure) })
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
