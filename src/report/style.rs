//! Small things that every renderer needs: colours, counts in words, text of strangers made harmless.

use std::borrow::Cow;

/// Colours, or none. Colour never carries meaning alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(super) fn cyan(self, text: &str) -> String {
        self.wrap("36", text)
    }
}

/// `1 node`, `3 nodes`.
pub(super) fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Text that came from a machine, with everything that could steer a terminal shown instead of sent.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    let steers = |c: char| (c.is_control() && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect())
}

/// What was seen and what helps, as the lines that follow a failure.
pub(super) fn because(evidence: &[String], help: &str, paint: Paint) -> String {
    let mut lines: Vec<String> = evidence.iter().map(|line| format!("\n  | {}", clean(line))).collect();
    if !help.is_empty() {
        lines.push(format!("\n  {} {}", paint.cyan("help:"), clean(help)));
    }
    lines.concat()
}

/// Bytes as `34.1 MB`, in powers of ten as links and disks are sold.
pub(super) fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

/// Cells of a table, padded by what is seen, two spaces apart, no space at the end of a line.
pub(super) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &w)| format!("{cell:w$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_cannot_steer_the_terminal() {
        assert_eq!(clean("tab\tstays"), "tab\tstays");
        assert_eq!(clean("\x1b]0;title\x07 \u{202e}txt\r"), "\u{fffd}]0;title\u{fffd} \u{fffd}txt\u{fffd}");
    }

    #[test]
    fn sizes_and_counts() {
        assert_eq!(megabytes(62_349_999), "62.3 MB");
        assert_eq!(count(1, "line"), "1 line");
        assert_eq!(count(0, "line"), "0 lines");
    }

    #[test]
    fn tables_line_up_without_trailing_space() {
        let rows = vec![vec!["a".into(), "b".into()], vec!["long".into(), String::new()]];
        assert_eq!(table(&rows), ["a     b", "long"]);
    }
}
