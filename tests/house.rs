//! The house rules that a compiler does not hold: which module may know which, how long a file may be, where logic
//! may stand, and which words stay out.

#![expect(clippy::expect_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// No file is longer than this; about 400 is the aim.
const LONGEST: usize = 500;

/// Words that have no place in the product.
const FORBIDDEN: &[&str] = &["todo!(", "unimplemented!(", "dbg!(", "unreachable!(\"not"];

/// Words that only the two that may print may use.
const PRINTING: &[&str] = &["println!(", "eprintln!(", "print!(", "eprint!("];

/// A source file: its path below `src`, and its text.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The module of the first level it belongs to: `want` for `want/file.rs`, `cli` for `cli.rs`.
    fn module(&self) -> String {
        let first = self.path.components().next().expect("a path has a first part");
        first.as_os_str().to_str().expect("names are UTF-8").trim_end_matches(".rs").to_owned()
    }

    /// Only tests: a file called so, in a folder called so, or what tests are made from.
    fn is_test(&self) -> bool {
        self.path.components().any(|c| ["tests", "tests.rs", "fixture.rs"].iter().any(|name| c.as_os_str() == *name))
    }

    /// Lines of code with their numbers: without comments, and without the tests at the end of a file.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = |line: &str| line.trim_start().starts_with("#[cfg(test)]");
        let end = self.text.lines().enumerate().position(|(n, line)| tests(line) && self.opens_tests(n + 1));
        let end = end.unwrap_or(usize::MAX);
        self.text.lines().enumerate().take(end).filter(|(_, l)| !l.trim_start().starts_with("//")).map(|(n, l)| (n + 1, l))
    }

    /// Whether line `n` opens a module with a body.
    fn opens_tests(&self, n: usize) -> bool {
        self.text.lines().nth(n).is_some_and(|l| l.trim_start().starts_with("mod ") && l.trim_end().ends_with('{'))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    collect(&root, &root, &mut all);
    all.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(all.len() > 30, "the sources were found");
    all
}

fn collect(root: &Path, dir: &Path, all: &mut Vec<Source>) {
    for entry in fs::read_dir(dir).expect("a folder that can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, all);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("UTF-8");
            all.push(Source { path: path.strip_prefix(root).expect("below src").to_owned(), text });
        }
    }
}

/// The order of modules as `src/lib.rs` states it.
fn order() -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("src/lib.rs");
    let line = text.lines().find_map(|l| l.strip_prefix("//! `error, ")).expect("the line that names the order");
    format!("error, {}", line.trim_end_matches('`')).split(", ").map(str::to_owned).collect()
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// Names after `crate::` in a line, also in `use crate::{a, b::c}`.
fn crate_names(line: &str) -> Vec<String> {
    let name = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    for (at, found) in line.match_indices("crate::") {
        let rest = &line[at + found.len()..];
        match rest.strip_prefix('{') {
            Some(list) => names.extend(top_level(list).iter().map(|s| name(s.trim()))),
            None => names.push(name(rest)),
        }
    }
    names.into_iter().filter(|n| !n.is_empty()).collect()
}

/// The parts of `a, b::{c, d}, e}` that stand at its own level.
fn top_level(list: &str) -> Vec<String> {
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(String::new()),
            _ if depth == 0 => parts.last_mut().expect("never empty").push(c),
            _ => {}
        }
    }
    parts
}

#[test]
fn names_in_use_lines_are_found() {
    assert_eq!(crate_names("use crate::{plan::{Plan, Item}, want, exec::Event};"), ["plan", "want", "exec"]);
    assert_eq!(crate_names("    let x: crate::os::Os = crate::os::of(f);"), ["os", "os"]);
    assert_eq!(crate_names("pub(crate) fn f()"), Vec::<String>::new());
}

#[test]
fn modules_know_only_those_to_their_left() {
    let order = order();
    let place: BTreeMap<&str, usize> = order.iter().enumerate().map(|(n, m)| (m.as_str(), n)).collect();
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| !s.is_test()) {
        let module = source.module();
        if module == "main" || module == "lib" {
            continue;
        }
        let Some(own) = place.get(module.as_str()) else {
            wrong.push(format!("{}: module {module} has no place in src/lib.rs", source.path.display()));
            continue;
        };
        // A list over several lines is read as one.
        for (number, line) in source.code() {
            for name in crate_names(line) {
                match place.get(name.as_str()) {
                    Some(other) if other <= own => {}
                    Some(_) => wrong.push(format!("src/{}:{number}: {module} uses {name}", source.path.display())),
                    None => wrong.push(format!("src/{}:{number}: crate::{name} is no module", source.path.display())),
                }
            }
            if line.trim_end().ends_with("crate::{") {
                wrong.push(format!("src/{}:{number}: one `use crate::…` a module, please", source.path.display()));
            }
        }
    }
    assert_none("imports against the order in src/lib.rs", &wrong);
}

#[test]
fn every_module_has_a_place() {
    let order = order();
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("src/lib.rs");
    let mut declared: Vec<&str> = lib.lines().filter_map(|l| l.strip_prefix("pub mod ")).map(|l| l.trim_end_matches(';')).collect();
    let mut named: Vec<&str> = order.iter().map(String::as_str).collect();
    declared.sort_unstable();
    named.sort_unstable();
    assert_eq!(named, declared);
}

#[test]
fn files_are_short() {
    let long: Vec<String> = sources()
        .iter()
        .map(|s| (s.text.lines().count(), s))
        .filter(|(lines, _)| *lines > LONGEST)
        .map(|(lines, s)| format!("src/{}: {lines} lines", s.path.display()))
        .collect();
    assert_none(&format!("files of more than {LONGEST} lines: split by topic"), &long);
}

#[test]
fn modules_say_what_they_own() {
    let silent: Vec<String> =
        sources().iter().filter(|s| !s.is_test() && !s.text.starts_with("//! ")).map(|s| format!("src/{}", s.path.display())).collect();
    assert_none("files that do not open with `//!`", &silent);
}

/// A `mod.rs` holds re-exports; in `os`, `steps`, `addons` and `verbs` also the one list or match that is its reason.
#[test]
fn mod_files_hold_no_logic() {
    let lists = ["os", "steps", "addons", "verbs"];
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| !s.is_test() && s.path.ends_with("mod.rs")) {
        let top = source.path.components().count() == 2;
        let allowed = if top && lists.contains(&source.module().as_str()) { 2 } else { 0 };
        let functions = source.code().filter(|(_, l)| is_function(l)).count();
        let impls = source.code().filter(|(_, l)| l.starts_with("impl")).count();
        if functions > allowed || impls > 0 {
            wrong.push(format!("src/{}: {functions} functions, {impls} impls", source.path.display()));
        }
    }
    assert_none("mod.rs with logic", &wrong);
}

/// A function at the top level of a file.
fn is_function(line: &str) -> bool {
    ["fn ", "pub fn ", "pub(super) fn ", "pub(crate) fn ", "async fn ", "pub async fn ", "pub(super) async fn "]
        .iter()
        .any(|start| line.starts_with(start))
}

#[test]
fn forbidden_words_stay_out() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| !s.is_test()) {
        let may_print = matches!(source.module().as_str(), "report" | "main");
        for (number, line) in source.code() {
            let words = FORBIDDEN.iter().chain(PRINTING.iter().filter(|_| !may_print));
            found.extend(words.filter(|w| says(line, w)).map(|w| format!("src/{}:{number}: {w}", source.path.display())));
            if line.contains("#[allow(") {
                found.push(format!("src/{}:{number}: #[allow]: say #[expect(…, reason = …)]", source.path.display()));
            }
        }
    }
    assert_none("words that stay out", &found);
}

/// Whether `word` stands in the line, not as the end of a longer one.
fn says(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}
