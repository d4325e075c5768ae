//! One thing that was found: which machine, what about it, how bad, and what to do.

use crate::error::Failure;
use crate::report;

/// A problem with a machine.
#[derive(Debug)]
pub(in crate::verbs) struct Finding {
    /// One word for programs: `clock`, `disk`, ….
    topic: &'static str,
    /// Whether one may go on in spite of it.
    warning: bool,
    failure: Failure,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(in crate::verbs) struct Findings(Vec<Finding>);

impl Findings {
    /// Something that stands in the way.
    pub(in crate::verbs) fn fail(&mut self, topic: &'static str, node: &str, failure: Failure) {
        self.0.push(Finding { topic, warning: false, failure: failure.on(node) });
    }

    /// Something that somebody should know.
    pub(in crate::verbs) fn warn(&mut self, topic: &'static str, node: &str, failure: Failure) {
        self.0.push(Finding { topic, warning: true, failure: failure.on(node) });
    }

    pub(in crate::verbs) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Failures, and warnings as lines, for a plan.
    pub(in crate::verbs) fn sorted(self) -> (Vec<Failure>, Vec<String>) {
        let (warnings, failures): (Vec<Finding>, Vec<Finding>) = self.0.into_iter().partition(|f| f.warning);
        (failures.into_iter().map(|f| f.failure).collect(), warnings.iter().map(|f| line(&f.failure)).collect())
    }

    /// For the list of `homectl check`, failures first, machine by machine in the order of `nodes`.
    pub(in crate::verbs) fn report<'a>(&self, nodes: impl Iterator<Item = &'a str>) -> Vec<report::Finding> {
        let order: Vec<&str> = nodes.collect();
        let place = |f: &Finding| order.iter().position(|n| Some(*n) == f.failure.node());
        let mut sorted: Vec<&Finding> = self.0.iter().collect();
        sorted.sort_by_key(|f| (place(f), f.warning));
        sorted.into_iter().map(Finding::report).collect()
    }
}

impl Finding {
    fn report(&self) -> report::Finding {
        report::Finding {
            node: self.failure.node().unwrap_or_default().to_owned(),
            topic: self.topic.to_owned(),
            warning: self.warning,
            what: self.failure.what().to_owned(),
            evidence: self.failure.evidence().to_vec(),
            help: self.failure.remedy().unwrap_or_default().to_owned(),
        }
    }
}

fn line(warning: &Failure) -> String {
    let node = warning.node().unwrap_or_default();
    match warning.remedy() {
        Some(help) => format!("{node}: {}; {help}", warning.what()),
        None => format!("{node}: {}", warning.what()),
    }
}
