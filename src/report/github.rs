//! Annotations for GitHub Actions: workflow commands that point at the lines of the inventory.

use super::plan::lanes;
use crate::error::Failure;
use crate::plan::{Counts, Plan};
use crate::steps::Lane;
use crate::want::{Act, Impact, Verdict};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Where things stand in the inventory, 1-based: `node attic` → 12, `addon media` → 40.
pub type Places = BTreeMap<String, usize>;

/// The file that is annotated and where things stand in it.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// As the workflow sees it: from the root of the checkout.
    pub file: String,
    pub places: Places,
}

/// One annotation a lane in which something would happen, an error for each thing that is blocked.
#[must_use]
pub fn plan(plan: &Plan, sheet: &Sheet) -> String {
    let mut out = String::new();
    for lane in lanes(plan) {
        let steps: Vec<_> = plan.steps.iter().filter(|s| s.id.lane == *lane).collect();
        let mut counts = Counts::default();
        steps.iter().flat_map(|s| &s.items).for_each(|i| counts.add(&i.verdict));
        let place = |step: &str| match lane {
            Lane::Node(name) => sheet.line(&format!("node {name}")),
            Lane::Cluster => sheet.line(&format!("addon {step}")),
        };
        for (step, item) in steps.iter().flat_map(|s| s.items.iter().map(move |i| (s, i))) {
            if let Verdict::Blocked { why, help } = &item.verdict {
                let text = format!("{}: {why}\nhelp: {help}", item.addr);
                command(&mut out, "error", sheet, place(&step.id.name), &format!("{lane}: blocked"), &text);
            }
        }
        if counts.changes() > 0 {
            let text = changes(&steps);
            let title = format!("{lane}: {}", count(counts.changes()));
            command(&mut out, if felt(&steps) { "warning" } else { "notice" }, sheet, place(""), &title, &text);
        }
    }
    for (node, seen) in &plan.offline {
        command(&mut out, "warning", sheet, sheet.line(&format!("node {node}")), &format!("{node}: offline"), seen);
    }
    if let Some(not_compared) = &plan.not_compared {
        let title = format!("homectl plan: {}: not everything was compared", plan.cluster);
        command(&mut out, "warning", sheet, None, &title, &not_compared.to_string());
    }
    let total = plan.counts();
    let text = if total.changes() == 0 && total.blocked == 0 { "No changes.".to_owned() } else { count(total.changes()) };
    command(&mut out, "notice", sheet, None, &format!("homectl plan: {}", plan.cluster), &text);
    out
}

/// A failure, with each of its places where it has any.
#[must_use]
pub fn failure(failure: &Failure) -> String {
    let mut out = String::new();
    for one in failure.all() {
        let node = one.node().map(|n| format!("{n}: ")).unwrap_or_default();
        let places = one.diagnostic().map(spots).unwrap_or_default();
        let mut text = one.evidence().join("\n");
        if let Some(help) = one.remedy() {
            let _ = write!(text, "\nhelp: {help}");
        }
        if places.is_empty() {
            let _ = writeln!(out, "::error title={}::{}", property(&format!("{node}{}", one.what())), data(text.trim()));
        }
        for (file, place, what) in places {
            let place = place.map(|(line, column)| format!(",line={line},col={column}")).unwrap_or_default();
            let _ = writeln!(out, "::error file={}{place}::{}", property(&file), data(&what));
        }
    }
    out
}

/// File, line and column (where it has them) and words of each mistake in a report.
fn spots(report: &miette::Report) -> Vec<Spot> {
    let own = std::iter::once(report.as_ref() as &dyn miette::Diagnostic);
    let all: Vec<&dyn miette::Diagnostic> = own.chain(report.related().into_iter().flatten()).collect();
    let source = all.iter().find_map(|d| d.source_code());
    let spot = |d: &&dyn miette::Diagnostic| {
        let label = d.labels().and_then(|mut all| all.next());
        let start = miette::SourceSpan::from(0..0);
        let span = label.as_ref().map_or(&start, |l| l.inner());
        let read = d.source_code().or(source)?.read_span(span, 0, 0).ok()?;
        let what = d.help().map_or_else(|| d.to_string(), |help| format!("{d}\nhelp: {help}"));
        let place = label.is_some().then(|| (read.line() + 1, read.column() + 1));
        Some((read.name().unwrap_or_default().to_owned(), place, what))
    };
    // Where a report has parts, its own words only count them.
    let parts = if all.len() > 1 { &all[1..] } else { &all[..] };
    parts.iter().filter_map(spot).collect()
}

type Spot = (String, Option<(usize, usize)>, String);

impl Sheet {
    fn line(&self, what: &str) -> Option<usize> {
        self.places.get(what).copied()
    }
}

/// What happens, a line each, as far as an annotation is read.
fn changes(steps: &[&crate::plan::PlannedStep]) -> String {
    const SHOWN: usize = 20;
    let items = steps.iter().flat_map(|s| &s.items).filter_map(|i| Some((i, i.verdict.change()?)));
    let lines: Vec<String> = items.map(|(i, c)| format!("{} {}  {}", c.act.glyph(), i.addr, c.why)).collect();
    let mut text = lines.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n");
    if lines.len() > SHOWN {
        let _ = write!(text, "\n… and {} more", lines.len() - SHOWN);
    }
    text
}

/// Whether something that runs notices.
fn felt(steps: &[&crate::plan::PlannedStep]) -> bool {
    let mut changes = steps.iter().flat_map(|s| &s.items).filter_map(|i| i.verdict.change());
    changes.any(|c| c.impact != Impact::Safe || c.act == Act::Restart)
}

fn count(changes: usize) -> String {
    super::style::count(changes, "change")
}

fn command(out: &mut String, level: &str, sheet: &Sheet, line: Option<usize>, title: &str, text: &str) {
    let line = line.map(|l| format!(",line={l}")).unwrap_or_default();
    let _ = writeln!(out, "::{level} file={}{line},title={}::{}", property(&sheet.file), property(title), data(text));
}

/// As the runner reads values after `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As the runner reads values of properties.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::tests::fixture::mixed;
    use super::*;

    fn sheet() -> Sheet {
        Sheet { file: "home/inventory.toml".into(), places: Places::from([("node attic".into(), 12), ("node barn".into(), 17)]) }
    }

    #[test]
    fn every_lane_with_changes_is_annotated_at_its_line() {
        let text = plan(&mixed(), &sheet());
        let attic: Vec<&str> = text.lines().filter(|l| l.contains("line=12")).collect();
        assert!(
            !attic.is_empty()
                && attic.iter().all(|l| l.starts_with("::") && l.contains("file=home/inventory.toml,line=12,title=attic%3A ")),
            "{text}"
        );
        assert!(text.lines().any(|l| l.starts_with("::error ") && l.contains("help%3A") | l.contains("help: ")), "{text}");
        assert!(text.lines().last().is_some_and(|l| l.starts_with("::notice file=home/inventory.toml,title=homectl plan%3A ")), "{text}");
        assert!(!text.contains('\r') && text.lines().all(|l| l.starts_with("::")), "{text}");
    }

    #[test]
    fn mistakes_of_an_inventory_point_at_their_lines() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("inventory.toml");
        std::fs::write(&path, "[cluster]\nname = \"home\"\nkubernets = \"1.36.3\"\n").unwrap();
        let text = failure(&crate::inventory::read(&path).unwrap_err());
        assert!(
            text.lines().any(|l| l.starts_with("::error file=") && l.contains("inventory.toml,line=3,col=1::") && l.contains("kubernets")),
            "{text}"
        );
        let text = failure(&Failure::failed("50%, or: less").on("attic").seen("a\nb").help("c"));
        assert_eq!(text, "::error title=attic%3A 50%25%2C or%3A less::a%0Ab%0Ahelp: c\n");
    }
}
