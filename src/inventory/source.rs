//! Bytes of a file → text, or the place where they stop being text.

use super::problem::{Sink, Source};
use crate::error::{Failure, Result, exit};
use std::io::Read;
use std::path::Path;

/// A thousand nodes with labels are 200 KB; more than this is not an inventory.
const MAX_BYTES: usize = 1 << 20;

/// Reads the file; a file that is not text, or is far too long, is one problem and nothing else is looked at.
pub(super) fn load(path: &Path) -> Result<Result<Source, super::Problems>> {
    let name = path.display().to_string();
    let unreadable = |e: &std::io::Error| {
        Failure::new(exit::INVENTORY, format!("cannot read {name}: {e}")).help("name the inventory file; `homectl init` writes a first one")
    };
    let file = std::fs::File::open(path).map_err(|e| unreadable(&e))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|e| unreadable(&e))?;
    Ok(text(&name, bytes))
}

/// The text of a file called `name`.
pub(super) fn text(name: &str, mut bytes: Vec<u8>) -> Result<Source, super::Problems> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    if bytes.len() > MAX_BYTES {
        let text = String::from_utf8_lossy(&bytes[..MAX_BYTES]).into_owned();
        let (line, column) = Source::new(name, text).position(MAX_BYTES);
        return refuse(
            Sink::new(Source::new(name, String::new())),
            None,
            &format!("{name} is longer than 1 MiB (the limit is passed at line {line}, column {column})"),
            "is this the right file?",
        );
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return refuse(Sink::new(Source::new(name, String::new())), None, &format!("{name} is UTF-16, TOML is UTF-8"), "save it as UTF-8");
    }
    String::from_utf8(bytes).map(|text| Source::new(name, text)).or_else(|e| {
        let at = e.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(e.as_bytes()).into_owned();
        let byte = e.as_bytes().get(at).copied().unwrap_or_default();
        refuse(Sink::new(Source::new(name, text)), Some(at), &format!("byte 0x{byte:02x} is not UTF-8"), "save the file as UTF-8")
    })
}

fn refuse(mut sink: Sink, at: Option<usize>, message: &str, help: &str) -> Result<Source, super::Problems> {
    match at {
        // U+FFFD stands there now, three bytes.
        Some(at) => sink.error(&(at..at + 3), message),
        None => sink.error_anywhere(message),
    }
    .help(help);
    let source = sink.source.clone();
    sink.finish().map(|_| source)
}
