//! The one place that writes to stdout and stderr.
//!
//! A reader who went away (`homectl plan | head`) is no error: the rest is dropped in silence.

use indicatif::MultiProgress;
use std::io::{self, Write};

/// Both streams, and the bars that must make room before anything is written. `None`: its reader is gone.
pub(super) struct Output {
    data: Option<Box<dyn Write + Send>>,
    talk: Option<Box<dyn Write + Send>>,
    bars: Option<MultiProgress>,
}

impl Output {
    /// The process's own streams.
    pub(super) fn process(bars: Option<MultiProgress>) -> Self {
        Self::of(Box::new(io::stdout()), Box::new(io::stderr()), bars)
    }

    /// Any two streams.
    pub(super) fn of(data: Box<dyn Write + Send>, talk: Box<dyn Write + Send>, bars: Option<MultiProgress>) -> Self {
        Self { data: Some(data), talk: Some(talk), bars }
    }

    /// Writes to stdout as it is.
    pub(super) fn data(&mut self, text: &str) {
        let Self { data, bars, .. } = self;
        beside(bars.as_ref(), || write(data, text));
    }

    /// Writes to stderr as it is.
    pub(super) fn talk(&mut self, text: &str) {
        let Self { talk, bars, .. } = self;
        beside(bars.as_ref(), || write(talk, text));
    }
}

/// Bars are cleared, the text is written, bars are drawn again.
fn beside(bars: Option<&MultiProgress>, f: impl FnOnce()) {
    match bars {
        Some(bars) => bars.suspend(f),
        None => f(),
    }
}

fn write(stream: &mut Option<Box<dyn Write + Send>>, text: &str) {
    let Some(writer) = stream.as_mut() else { return };
    if writer.write_all(text.as_bytes()).and_then(|()| writer.flush()).is_err() {
        *stream = None;
    }
}

/// Ends the process with the exit code for bugs when any thread panics. Machines are left as they are: whatever was
/// under way is picked up by the next run, and the nodes' locks go with their connections.
pub fn exit_on_panic() {
    std::panic::set_hook(Box::new(|info| {
        let text =
            format!("\nhomectl: bug: {info}\n  help: please report this with the lines above; running the same command again is safe\n");
        io::stderr().write_all(text.as_bytes()).ok();
        std::process::exit(i32::from(crate::error::exit::BUG));
    }));
}
