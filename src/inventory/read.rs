//! File → text → keys → checked inventory.

use super::model::Inventory;
use super::problem::{Problems, Sink};
use super::{check, raw, source, syntax};
use crate::error::{Failure, Result, exit};
use std::path::Path;
use toml::de::DeTable;

/// Reads an inventory; all mistakes are in the failure, each with its line.
///
/// # Errors
/// Exit code 65: the file cannot be read or has mistakes.
pub fn read(path: &Path) -> Result<Inventory> {
    inspect(path)?.map_err(|problems| Failure::report(exit::INVENTORY, miette::Report::new(problems)))
}

/// As [`read`], with the mistakes as values, for those who print them in other ways.
///
/// # Errors
/// The outer one: the file cannot be read.
pub fn inspect(path: &Path) -> Result<Result<Inventory, Problems>> {
    Ok(source::load(path)?.and_then(|source| parse(source, path)))
}

/// What add-ons of the inventory `text` call their files, patterns too, whatever else is wrong with it. Nothing is looked for.
pub(crate) fn named_files(text: &[u8]) -> Vec<String> {
    let Ok(source) = source::text("", text.to_vec()) else { return Vec::new() };
    let (document, _) = DeTable::parse_recoverable(source.text());
    let raw = raw::read(document.get_ref(), &mut Sink::new(source.clone()));
    let patterns = raw.addons.iter().filter_map(|addon| addon.manifests.as_ref()).flat_map(toml::Spanned::get_ref);
    patterns.map(|pattern| pattern.get_ref().clone()).collect()
}

/// The inventory that `text` is, were it at `path`.
pub(super) fn text(path: &Path, text: String) -> Result<Inventory, Problems> {
    source::text(&path.display().to_string(), text.into_bytes()).and_then(|source| parse(source, path))
}

fn parse(source: super::Source, path: &Path) -> Result<Inventory, Problems> {
    let mut sink = Sink::new(source.clone());
    let (document, errors) = DeTable::parse_recoverable(source.text());
    if !errors.is_empty() {
        // What was guessed behind a broken line would only give mistakes that are none.
        syntax::report(errors, &mut sink);
        sink.finish()?;
        return Err(Problems::unexplained(source));
    }
    let raw = raw::read(document.get_ref(), &mut sink);
    check::whole(&raw, path, sink)
}
