//! `homectl check`: what stands in the machines' way, as a list and as JSON.

use super::json::FORMAT;
use super::section::section;
use super::style::{Paint, because, clean, count};
use serde::Serialize;
use serde_json::{Value, json};

/// Everything that check shows.
#[derive(Debug, Clone, Default)]
pub struct Check {
    pub cluster: String,
    /// In order of node numbers.
    pub machines: Vec<MachineCheck>,
    pub links: Vec<Link>,
    /// Machine by machine, failures first.
    pub findings: Vec<Finding>,
}

/// One machine. What was not learnt is empty or `None`.
#[derive(Debug, Clone, Serialize)]
pub struct MachineCheck {
    pub name: String,
    /// `control-plane` or `worker`.
    pub role: String,
    /// Whether SSH, root and facts worked.
    pub reachable: bool,
    pub system: String,
    pub kernel: String,
    pub arch: String,
    pub memory_mib: Option<u64>,
    /// Free on the disk of /var/lib.
    pub free_mib: Option<u64>,
    /// Seconds that its clock is ahead of this computer's.
    pub skew: Option<i64>,
    /// Milliseconds until a small write is on the disk; control planes only.
    pub fsync_ms: Option<f64>,
}

/// Two machines and the overlay between them.
#[derive(Debug, Clone, Serialize)]
pub struct Link {
    pub a: String,
    pub b: String,
    pub state: LinkState,
    /// What showed it.
    pub seen: String,
}

/// Whether datagrams get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    Works,
    Broken,
    Untested,
}

/// One problem.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub node: String,
    /// `ssh`, `system`, `architecture`, `kernel`, `cgroups`, `memory`, `disk`, `clock`, `identity`, `owner`, `ports`, `network`,
    /// `overlay` or `dns`.
    pub topic: String,
    /// Whether one may go on in spite of it.
    pub warning: bool,
    pub what: String,
    /// Lines that were seen.
    pub evidence: Vec<String>,
    /// What to do; may be empty.
    pub help: String,
}

impl Check {
    /// How many problems stand in the way.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.findings.iter().filter(|f| !f.warning).count()
    }

    /// For people.
    #[must_use]
    pub fn text(&self, colour: bool) -> String {
        let paint = Paint(colour);
        let mut out = paint.bold(&format!("Cluster {}", self.cluster)) + "\n\n";
        let head = ["name", "system", "kernel", "arch", "memory", "free", "clock", "write"];
        section(&mut out, paint, "Machines", &head, self.machines.iter().map(machine).collect());
        section(&mut out, paint, "Overlay", &[], self.links.iter().map(link).collect());
        for node in self.nodes() {
            out += &paint.bold(node);
            for finding in self.findings.iter().filter(|f| f.node == node) {
                let level = if finding.warning { paint.yellow("warning:") } else { paint.red("error:") };
                let because = because(&finding.evidence, &finding.help, paint).replace('\n', "\n  ");
                out += &["\n  ", &level, " ", &clean(&finding.what), &because].concat();
            }
            out += "\n\n";
        }
        out + &self.verdict(paint) + "\n"
    }

    /// The machines that have something, in their order.
    fn nodes(&self) -> Vec<&str> {
        let mut nodes: Vec<&str> = self.findings.iter().map(|f| f.node.as_str()).collect();
        nodes.dedup();
        nodes
    }

    fn verdict(&self, paint: Paint) -> String {
        let (failures, warnings) = (self.failures(), self.findings.len() - self.failures());
        let machines = count(self.machines.len(), "machine");
        match (failures, warnings) {
            (0, 0) => paint.green(&format!("{machines}, nothing in the way.")),
            (0, _) => paint.green(&format!("{machines}, nothing in the way, {}.", count(warnings, "warning"))),
            (_, 0) => paint.red(&format!("{machines}, {}.", count(failures, "error"))),
            _ => paint.red(&format!("{machines}, {}, {}.", count(failures, "error"), count(warnings, "warning"))),
        }
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "format": FORMAT,
            "cluster": self.cluster,
            "failures": self.failures(),
            "machines": self.machines,
            "links": self.links,
            "findings": self.findings,
        })
    }
}

fn machine(m: &MachineCheck) -> Vec<String> {
    if !m.reachable {
        return vec![m.name.clone(), "not looked at".into()];
    }
    let gib = |mib: Option<u64>| mib.map_or_else(|| "-".to_owned(), |mib| format!("{}.{} GiB", mib / 1024, mib % 1024 * 10 / 1024));
    let skew = m.skew.map_or_else(|| "-".to_owned(), |s| format!("{s:+} s"));
    let write = m.fsync_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
    vec![
        m.name.clone(),
        clean(&m.system).into_owned(),
        clean(&m.kernel).into_owned(),
        clean(&m.arch).into_owned(),
        gib(m.memory_mib),
        gib(m.free_mib),
        skew,
        write,
    ]
}

fn link(link: &Link) -> Vec<String> {
    let state = match link.state {
        LinkState::Works => "works",
        LinkState::Broken => "BROKEN",
        LinkState::Untested => "?",
    };
    vec![format!("{} - {}", link.a, link.b), state.into(), clean(&link.seen).into_owned()]
}
