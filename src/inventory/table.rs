//! Reads one TOML table key by key, so that every unknown key and every wrong type is told in the same run.

use super::problem::Sink;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table, its place and the keys it may have.
pub(super) struct Table<'t, 'i> {
    /// As it is written, e.g. `[[node]]`.
    title: &'static str,
    pub(super) span: Range<usize>,
    entries: &'t DeTable<'i>,
    known: &'static [&'static str],
}

impl<'t, 'i> Table<'t, 'i> {
    /// Opens a value that must be a table with no keys but `known`.
    pub(super) fn open(
        title: &'static str,
        known: &'static [&'static str],
        value: &'t Spanned<DeValue<'i>>,
        sink: &mut Sink,
    ) -> Option<Self> {
        let Some(entries) = value.get_ref().as_table() else {
            let is = value.get_ref().type_str();
            sink.error(&value.span(), format!("{title} must be a table, this is {}", article(is)))
                .help(format!("write {title} on a line of its own, its keys below"));
            return None;
        };
        let table = Self { title, span: value.span(), entries, known };
        table.check_keys(sink);
        Some(table)
    }

    /// The whole document.
    pub(super) fn document(known: &'static [&'static str], entries: &'t DeTable<'i>, sink: &mut Sink) -> Self {
        let table = Self { title: "the inventory", span: 0..0, entries, known };
        table.check_keys(sink);
        table
    }

    fn check_keys(&self, sink: &mut Sink) {
        for key in self.entries.keys() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let help = self.suggest(name);
                sink.error(&key.span(), format!("unknown key `{}` in {}", name.escape_debug(), self.title)).help(help);
            }
        }
    }

    fn suggest(&self, name: &str) -> String {
        if let Some(near) = nearest(name, self.known) {
            return format!("did you mean `{near}`?");
        }
        if let Some(home) = super::raw::home_of(name).filter(|home| *home != self.title) {
            return format!("`{name}` belongs to {home}");
        }
        format!("known here: {}", self.known.join(", "))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &'static str) -> Option<&'t Spanned<DeValue<'i>>> {
        debug_assert!(self.known.contains(&key), "{key} is read but not in the list of known keys");
        self.entries.get(key)
    }

    /// The entries of a table whose keys are names.
    pub(super) fn children(
        &self,
        key: &'static str,
        title: &'static str,
        sink: &mut Sink,
    ) -> Vec<(Spanned<String>, &'t Spanned<DeValue<'i>>)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(table) = value.get_ref().as_table() else {
            wrong(key, "a table", value, sink).help(format!("write {title} on a line of its own, its keys below"));
            return Vec::new();
        };
        table.iter().map(|(k, v)| (Spanned::new(k.span(), k.get_ref().to_string()), v)).collect()
    }

    /// The text of a key.
    pub(super) fn text(&self, key: &'static str, sink: &mut Sink) -> Option<Spanned<String>> {
        text(key, self.get(key)?, sink)
    }

    /// A text that must be there.
    pub(super) fn required(&self, key: &'static str, example: &str, sink: &mut Sink) -> Option<Spanned<String>> {
        if self.get(key).is_none() {
            sink.error(&self.span, format!("{} has no `{key}`", self.title)).help(format!("add {key} = \"{example}\""));
        }
        self.text(key, sink)
    }

    pub(super) fn flag(&self, key: &'static str, sink: &mut Sink) -> Option<Spanned<bool>> {
        let value = self.get(key)?;
        if let Some(flag) = value.get_ref().as_bool() {
            return Some(Spanned::new(value.span(), flag));
        }
        let help = match value.get_ref().as_str().map(str::to_lowercase).as_deref() {
            Some("true" | "yes" | "on") => format!("write {key} = true"),
            Some("false" | "no" | "off") => format!("write {key} = false"),
            _ => "write true or false".to_owned(),
        };
        wrong(key, "true or false", value, sink).help(help);
        None
    }

    /// A whole number within `allowed`.
    pub(super) fn number(&self, key: &'static str, allowed: std::ops::RangeInclusive<u16>, sink: &mut Sink) -> Option<Spanned<u16>> {
        let value = self.get(key)?;
        let Some(number) = value.get_ref().as_integer() else {
            let problem = wrong(key, "a whole number", value, sink);
            if let Some(digits) = value.get_ref().as_str().filter(|s| s.parse::<u32>().is_ok()) {
                problem.help(format!("write it without quotes: {key} = {digits}"));
            }
            return None;
        };
        let parsed = i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok().and_then(|n| u16::try_from(n).ok());
        let fits = parsed.filter(|n| allowed.contains(n));
        if fits.is_none() {
            sink.error(&value.span(), format!("`{key}` must be between {} and {}", allowed.start(), allowed.end()));
        }
        fits.map(|n| Spanned::new(value.span(), n))
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &'static str, sink: &mut Sink) -> Option<Spanned<Vec<Spanned<String>>>> {
        let value = self.get(key)?;
        let Some(array) = value.get_ref().as_array() else {
            let problem = wrong(key, "a list", value, sink);
            if let Some(one) = value.get_ref().as_str() {
                problem.help(format!("write {key} = [\"{}\"]", one.escape_debug()));
            }
            return None;
        };
        let items = array.iter().filter_map(|item| text(key, item, sink)).collect();
        Some(Spanned::new(value.span(), items))
    }

    /// A table of texts, each with the place of its key.
    pub(super) fn map(&self, key: &'static str, title: &'static str, sink: &mut Sink) -> Vec<(Spanned<String>, Spanned<String>)> {
        let entries = self.children(key, title, sink);
        entries.into_iter().filter_map(|(name, value)| text(name.get_ref(), value, sink).map(|value| (name.clone(), value))).collect()
    }

    /// The tables of `[[key]]`.
    pub(super) fn tables(
        &self,
        key: &'static str,
        title: &'static str,
        known: &'static [&'static str],
        sink: &mut Sink,
    ) -> Vec<Table<'t, 'i>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        match value.get_ref() {
            DeValue::Array(array) => array.iter().filter_map(|item| Table::open(title, known, item, sink)).collect(),
            DeValue::Table(_) => {
                sink.error(&value.span(), format!("`{key}` is a list of tables")).help(format!("write {title}, with two brackets"));
                Vec::new()
            }
            _ => {
                wrong(key, "a list of tables", value, sink).help(format!("write {title} on a line of its own, its keys below"));
                Vec::new()
            }
        }
    }

    /// A table inside this one.
    pub(super) fn table(
        &self,
        key: &'static str,
        title: &'static str,
        known: &'static [&'static str],
        sink: &mut Sink,
    ) -> Option<Table<'t, 'i>> {
        Table::open(title, known, self.get(key)?, sink)
    }
}

/// A text without control characters: nothing in an inventory needs a line break, and files we write must not get one from it.
fn text(key: &str, value: &Spanned<DeValue<'_>>, sink: &mut Sink) -> Option<Spanned<String>> {
    let Some(s) = value.get_ref().as_str() else {
        let literal = sink.source.text().get(value.span()).unwrap_or_default().to_owned();
        let scalar = !value.get_ref().is_array() && !value.get_ref().is_table();
        let problem = wrong(key, "text", value, sink);
        if scalar {
            problem.help(format!("write it in quotes: \"{literal}\""));
        }
        return None;
    };
    if let Some(c) = s.chars().find(|c| c.is_control()) {
        sink.error(&value.span(), format!("`{key}` holds the control character {}", c.escape_debug())).help("write one line of plain text");
        return None;
    }
    Some(Spanned::new(value.span(), s.to_owned()))
}

fn wrong<'s>(key: &str, wanted: &str, value: &Spanned<DeValue<'_>>, sink: &'s mut Sink) -> &'s mut super::Problem {
    let is = article(value.get_ref().type_str());
    sink.error(&value.span(), format!("`{}` must be {wanted}, this is {is}", key.escape_debug()))
}

fn article(kind: &str) -> String {
    match kind {
        "string" => "text".to_owned(),
        "integer" | "array" => format!("an {kind}"),
        "boolean" => "true or false".to_owned(),
        _ => format!("a {kind}"),
    }
}

/// The one of `candidates` that was probably meant.
pub(super) fn nearest<'c>(name: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let plain = name.trim().to_lowercase().replace(['_', ' '], "-");
    if let Some(same) = candidates.iter().find(|c| **c == plain) {
        return Some(same);
    }
    candidates
        .iter()
        .map(|c| (strsim::damerau_levenshtein(&plain, c), *c))
        .filter(|(distance, c)| *distance <= c.len().max(plain.len()) / 3)
        .min()
        .map(|(_, c)| c)
}
