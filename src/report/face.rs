//! Which way events are shown: lines, bars with lines above them, or JSON lines.

use super::lines::{Level, Lines};
use super::live::Live;
use super::output::Output;
use super::style::Paint;
use super::tally::Tally;
use super::{Format, Options, json};
use crate::exec::Event;
use indicatif::MultiProgress;
use std::time::Duration;

/// The subscriber that was chosen.
pub(super) enum Face {
    /// `--events`: every event to stdout.
    Events,
    /// One line after the other.
    Plain(Lines),
    /// One bar a node, what matters above.
    Live(Lines, Live),
}

impl Face {
    /// From flags and terminal.
    pub(super) fn of(options: Options) -> Self {
        let paint = Paint(options.colour_talk);
        match (options.format, options.live, options.verbose) {
            (Format::Events, ..) => Self::Events,
            (_, true, verbose) => Self::Live(Lines::new(if verbose { Level::Items } else { Level::Important }, paint), Live::new()),
            (_, false, verbose) => Self::Plain(Lines::new(if verbose { Level::Items } else { Level::Steps }, paint)),
        }
    }

    /// The bars, for whoever writes beside them.
    pub(super) fn bars(&self) -> Option<MultiProgress> {
        match self {
            Self::Live(_, live) => Some(live.bars()),
            Self::Events | Self::Plain(_) => None,
        }
    }

    /// Shows one event that was counted already.
    pub(super) fn hear(&mut self, event: &Event, tally: &Tally, output: &mut Output) {
        match self {
            Self::Events => output.data(&format!("{}\n", json::event(event))),
            Self::Plain(lines) => speak(output, &lines.of(event, tally)),
            Self::Live(lines, live) => {
                speak(output, &lines.of(event, tally));
                live.hear(event, tally);
            }
        }
    }

    /// How often the face wants to be redrawn while nothing happens.
    pub(super) fn tick(&self) -> Option<Duration> {
        match self {
            Self::Live(_, live) if live.shown() => Some(Duration::from_millis(200)),
            _ => None,
        }
    }

    /// Seconds go on.
    pub(super) fn redraw(&mut self) {
        if let Self::Live(_, live) = self {
            live.redraw();
        }
    }

    /// Bars away; the next event brings them back.
    pub(super) fn pause(&mut self) {
        if let Self::Live(_, live) = self {
            live.clear();
        }
    }
}

fn speak(output: &mut Output, lines: &str) {
    if !lines.is_empty() {
        output.talk(lines);
    }
}
