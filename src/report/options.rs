//! What was asked for and what the terminal can do, decided once.

use crate::cli::Global;
use std::io::IsTerminal;

/// The form of what goes to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// Events as JSON lines.
    Events,
}

/// How to report.
#[expect(clippy::struct_excessive_bools, reason = "independent switches, each with a name")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    pub format: Format,
    pub verbose: bool,
    /// ANSI colours on stdout.
    pub colour: bool,
    /// ANSI colours on stderr.
    pub colour_talk: bool,
    /// Progress bars on stderr instead of lines.
    pub live: bool,
    /// `--yes`: nobody is asked.
    pub yes: bool,
}

impl Options {
    /// From the flags, the environment and the terminal.
    #[must_use]
    pub fn of(global: &Global) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let plain = global.no_color || set("NO_COLOR") || dumb;
        let talk = std::io::stderr().is_terminal();
        Self {
            format: format(global),
            verbose: global.verbose,
            colour: !plain && format(global) == Format::Text && std::io::stdout().is_terminal(),
            colour_talk: !plain && talk,
            live: talk && !dumb && !set("CI") && !global.events,
            yes: global.yes,
        }
    }
}

fn format(global: &Global) -> Format {
    match (global.json, global.events) {
        (true, _) => Format::Json,
        (_, true) => Format::Events,
        _ => Format::Text,
    }
}
