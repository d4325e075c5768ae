//! Multi-document YAML as people write it for kubectl, with the place of every document.

use crate::error::{Failure, Result, exit};
use serde_json::Value;

/// One document of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Document {
    /// 1-based; empty documents count.
    pub(super) index: usize,
    /// 1-based line on which it begins.
    pub(super) line: usize,
    pub(super) value: Value,
}

/// Reads every document of `text`; empty ones are left out. Octal numbers and `on`/`off` are read as kubectl reads them.
///
/// # Errors
/// Names file, document and line of what cannot be read.
pub(super) fn documents(file: &str, text: &str) -> Result<Vec<Document>> {
    let options = || {
        serde_saphyr::options! {
            legacy_octal_numbers: true,
            with_snippet: false,
        }
    };
    let mut all = Vec::new();
    for (i, (line, chunk)) in split(text).into_iter().enumerate() {
        // Comments, directives and end markers only.
        if chunk.lines().all(|l| {
            l.trim().is_empty() || l.starts_with('#') || l.trim_start().starts_with('#') || l.starts_with('%') || l.trim_end() == "..."
        }) {
            continue;
        }
        let value: Value = serde_saphyr::from_str_with_options(&chunk, options()).map_err(|e| {
            let at = e.location().map_or(line, |l| line + usize::try_from(l.line()).unwrap_or(1).saturating_sub(1));
            Failure::new(exit::INVENTORY, format!("{file}, document {}, line {at}: this YAML cannot be read", i + 1))
                .seen(e.without_snippet().to_string())
                .help("documents are separated by a line ---; indentation is spaces, never tabs")
        })?;
        if !value.is_null() {
            all.push(Document { index: i + 1, line, value });
        }
    }
    Ok(all)
}

/// Cuts a stream at its document markers: the line each part begins on and its text. A line that begins with `---` ends
/// a document wherever it stands, block scalars included; what follows on it belongs to the next.
fn split(text: &str) -> Vec<(usize, String)> {
    let mut parts = vec![(1, String::new())];
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let rest = line.strip_prefix("---").filter(|r| r.is_empty() || r.starts_with(char::is_whitespace));
        match (rest, parts.last_mut()) {
            // The marker keeps its line, so that lines are counted right.
            (Some(rest), _) => parts.push((i + 1, format!("   {rest}"))),
            (None, Some((_, part))) => part.push_str(line),
            (None, None) => {}
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(text: &str) -> Vec<Value> {
        documents("x.yaml", text).unwrap().into_iter().map(|d| d.value).collect()
    }

    #[test]
    fn scalars_as_kubectl_reads_them() {
        let table = [
            ("a: 0644", json!({"a": 420})),
            ("a: 0o644", json!({"a": 420})),
            ("a: on", json!({"a": true})),
            ("a: \"on\"", json!({"a": "on"})),
            ("a: 1.5", json!({"a": 1.5})),
            ("a: 1e3", json!({"a": 1000.0})),
            ("a: 0x10", json!({"a": 16})),
            ("a: ~", json!({"a": null})),
            ("a:", json!({"a": null})),
            ("a: 1.36.3", json!({"a": "1.36.3"})),
            ("a: 12:30:45", json!({"a": "12:30:45"})),
            ("a: 2026-11-21", json!({"a": "2026-11-21"})),
            ("a: -1", json!({"a": -1})),
            ("80: x", json!({"80": "x"})),
            ("a: |\n  x\n  y\n", json!({"a": "x\ny\n"})),
            ("a: &x {b: 1}\nc: *x", json!({"a": {"b": 1}, "c": {"b": 1}})),
            ("a: &x {b: 1}\nc:\n  <<: *x\n  d: 2", json!({"a": {"b": 1}, "c": {"b": 1, "d": 2}})),
            ("a: 18446744073709551615", json!({"a": 18_446_744_073_709_551_615_u64})),
            ("a: {\"b\": [1, 2]}", json!({"a": {"b": [1, 2]}})),
        ];
        for (text, expected) in table {
            assert_eq!(values(text), [expected], "{text}");
        }
    }

    #[test]
    fn documents_and_their_places() {
        let text = "# head\n---\na: 1\n---\n# nothing\n--- # more\nb: |\n  text\n---\n%YAML 1.2\n--- {c: 3}\n...\n";
        let all = documents("x.yaml", text).unwrap();
        let places: Vec<_> = all.iter().map(|d| (d.index, d.line, d.value.clone())).collect();
        assert_eq!(places, [(2, 2, json!({"a": 1})), (4, 6, json!({"b": "text\n"})), (6, 11, json!({"c": 3}))]);
        assert!(values("").is_empty() && values("---\n---\n").is_empty());
    }

    #[test]
    fn mistakes_name_file_document_and_line() {
        let table = [
            ("a: 1\n---\nb: [1\nc: 2\n", "m.yaml, document 2, line 4"),
            ("a: 1\n\tb: 2\n", "m.yaml, document 1, line 1"),
            ("a: 1\na: 2\n", "m.yaml, document 1, line 2"),
            ("a: *nobody\n", "m.yaml, document 1, line 1"),
        ];
        for (text, place) in table {
            let failure = documents("m.yaml", text).unwrap_err();
            assert!(failure.what().starts_with(place), "{text:?}: {failure}");
            assert_eq!(failure.exit_code(), exit::INVENTORY);
        }
    }
}
