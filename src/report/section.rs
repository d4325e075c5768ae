//! Pages of tables: what verbs that look at a cluster tell.

use super::style::{Paint, clean, table};
use serde_json::{Value, json};

/// A headed table; nothing where it has no rows.
pub(super) fn section(out: &mut String, paint: Paint, title: &str, head: &[&str], body: Vec<Vec<String>>) {
    if body.is_empty() {
        return;
    }
    *out += &paint.bold(title);
    out.push('\n');
    let mut rows = Vec::with_capacity(body.len() + 1);
    if head.len() > 1 {
        rows.push(head.iter().map(ToString::to_string).collect());
    }
    rows.extend(body);
    for line in table(&rows) {
        *out += "  ";
        *out += &line;
        out.push('\n');
    }
    out.push('\n');
}

/// How such a page ends: what people should do something about, and what nobody could look at, by where and why.
pub(super) fn ending(mut out: String, paint: Paint, warnings: Vec<String>, unknown: &[(String, String)]) -> String {
    section(&mut out, paint, "Warnings", &[], warnings.into_iter().map(|line| vec![line]).collect());
    let rows = unknown.iter().map(|(place, seen)| vec![place.clone(), clean(seen).into_owned()]).collect();
    section(&mut out, paint, "Could not be looked at", &[], rows);
    out.truncate(out.trim_end().len());
    out + "\n"
}

/// The same for programs.
pub(super) fn unknown_json(unknown: &[(String, String)]) -> Vec<Value> {
    unknown.iter().map(|(place, seen)| json!({ "place": place, "seen": seen })).collect()
}
