//! What lies on a machine: whether one byte of it was written, and whether something of ours is left.

use crate::Result;
use crate::lab::{Lab, same_lines};
use crate::scene::at_once;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

const TREE: &str = include_str!("scripts/tree.sh");
const MACHINE: &str = include_str!("scripts/machine.sh");
const STATE: &str = include_str!("scripts/state.sh");

/// Everything but running programs' own data: logs, etcd's store, containers, volumes and pods.
const OWNED: [&str; 12] = [
    "/etc",
    "/opt",
    "/root",
    "/home",
    "/srv",
    "/usr/local",
    "/var/lib/homectl",
    "!/var/lib/homectl/snapshots",
    "/var/lib/dpkg",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/pki",
    "/var/spool",
];

/// The machines' trees at one moment, by name.
pub(crate) struct Trees(BTreeMap<String, String>);

impl Trees {
    /// Of what homectl owns and more.
    pub(crate) fn of(lab: &Lab, nodes: &[&str]) -> Result<Self> {
        let args: Vec<String> = OWNED.iter().map(|arg| format!("'{arg}'")).collect();
        Self::by(lab, nodes, &format!("set -- {}\n{TREE}", args.join(" ")))
    }

    /// Of everything that a person would call a trace.
    pub(crate) fn of_machines(lab: &Lab, nodes: &[&str]) -> Result<Self> {
        Self::by(lab, nodes, MACHINE)
    }

    /// Of nodes, in words that other programs have for them, without times: what drifted and was mended is as before.
    pub(crate) fn of_states(lab: &Lab, nodes: &[&str]) -> Result<Self> {
        Self::by(lab, nodes, STATE)
    }

    /// The same without some lines.
    pub(crate) fn without(mut self, passing: impl Fn(&str) -> bool) -> Self {
        for tree in self.0.values_mut() {
            *tree = tree.lines().filter(|line| !passing(line)).collect::<Vec<_>>().join("\n");
        }
        self
    }

    fn by(lab: &Lab, nodes: &[&str], script: &str) -> Result<Self> {
        let trees = Mutex::new(BTreeMap::new());
        at_once(nodes, |node| {
            let tree = lab.sh(node, script)?;
            trees.lock().map_err(|error| error.to_string())?.insert((*node).to_owned(), tree);
            Ok(())
        })?;
        trees.into_inner().map(Self).map_err(|error| error.to_string())
    }

    /// All machines are as they were.
    pub(crate) fn same_as(&self, before: &Self) -> Result {
        self.0.iter().try_for_each(|(node, now)| {
            let then = before.0.get(node).ok_or_else(|| format!("nothing is known of {node} before"))?;
            same_lines(&format!("{node} is not as it was"), then, now)
        })
    }

    /// What a machine has now and had not, unless `spare` has it too (which has the same packages and never saw homectl).
    pub(crate) fn left(&self, node: &str, before: &Self, spare: &str) -> Vec<String> {
        let lines = |trees: &Self, node: &str| trees.0.get(node).map(|text| text.lines().map(str::to_owned).collect::<BTreeSet<_>>());
        let (now, then) = (lines(self, node).unwrap_or_default(), lines(before, node).unwrap_or_default());
        let (spare_now, spare_then) = (lines(self, spare).unwrap_or_default(), lines(before, spare).unwrap_or_default());
        let came = now.difference(&then).filter(|line| !spare_now.contains(*line)).map(|line| format!("+ {line}"));
        let went =
            then.difference(&now).filter(|line| !spare_then.contains(*line) || spare_now.contains(*line)).map(|line| format!("- {line}"));
        came.chain(went).collect()
    }
}
