//! Mistakes in the TOML itself, told in the words of people who do not know its grammar.

use super::problem::Sink;
use std::ops::Range;

/// Reports syntax errors, one a line: the rest of a broken line is noise.
pub(super) fn report(errors: Vec<toml::de::Error>, sink: &mut Sink) {
    let mut lines = std::collections::BTreeSet::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = line_at(sink.source.text(), span.start);
        if !lines.insert(line.start) {
            continue;
        }
        if error.message().starts_with("duplicate key") {
            let key = sink.source.text().get(span.clone()).unwrap_or_default().to_owned();
            sink.error(&span, format!("`{key}` is written twice")).help("keep one of them");
            continue;
        }
        if let Some((at, key, value)) = bare_value(sink.source.text(), &line) {
            if let Some(flag) = flag(&value) {
                sink.error(&at, format!("`{value}` is neither text nor true or false")).help(format!("write {key} = {flag}"));
                continue;
            }
            let what = if looks_like_address(&value) { "an address" } else { "a text value" };
            sink.error(&at, format!("{what} needs quotes")).label("not quoted").help(format!("write {key} = \"{value}\""));
            continue;
        }
        // "invalid X, expected Y": the second half is what to do.
        let message = error.message().to_owned();
        let (what, expected) = match message.split_once(", expected ") {
            Some((what, expected)) => (what.to_owned(), Some(format!("expected {expected}"))),
            None => (message, None),
        };
        let problem = sink.error(&span, what);
        if let Some(expected) = expected.filter(|e| e != "expected nothing") {
            problem.help(expected);
        }
    }
}

/// The line around an offset, without its end.
fn line_at(text: &str, offset: usize) -> Range<usize> {
    let offset = offset.min(text.len());
    let start = text.as_bytes()[..offset].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let end = text.as_bytes()[offset..].iter().position(|b| *b == b'\n').map_or(text.len(), |i| offset + i);
    start..end
}

/// `key = value` where the value is one bare word that can only have been meant as text: its place, the key and the word.
fn bare_value(text: &str, line: &Range<usize>) -> Option<(Range<usize>, String, String)> {
    let content = text.get(line.clone())?;
    let (key, rest) = content.split_once('=')?;
    let value = rest.split('#').next().unwrap_or(rest).trim();
    let word = |c: char| c.is_ascii_alphanumeric() || "._-/:~@*+".contains(c);
    let bare = !value.is_empty() && value.chars().all(word);
    if !bare || toml::de::DeValue::parse(value).is_ok() || !key.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
        return None;
    }
    let start = line.start + key.len() + 1 + rest.find(value)?;
    Some((start..start + value.len(), key.trim().to_owned(), value.to_owned()))
}

fn flag(value: &str) -> Option<bool> {
    match value.to_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn looks_like_address(value: &str) -> bool {
    let host = value.split(['/', ':']).next().unwrap_or(value);
    host.parse::<std::net::Ipv4Addr>().is_ok() || value.parse::<std::net::Ipv6Addr>().is_ok()
}
