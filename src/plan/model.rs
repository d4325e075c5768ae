//! The plan as a value.

use crate::cluster::Ran;
use crate::steps::{Lane, Mode, Ready, StepId};
use crate::want::{Act, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Everything a run would do, in an order that respects every edge.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The cluster's name.
    pub cluster: String,
    pub mode: Mode,
    /// Topological order; steps of one lane keep the product's order.
    pub steps: Vec<PlannedStep>,
    /// Nodes that did not answer, with what was seen; nothing is planned for them.
    pub offline: Vec<(String, String)>,
    /// What a person should know, though nothing has to change: `attic: cgroup v1 …`.
    pub warnings: Vec<String>,
    /// What could not be judged as a whole, where something could not.
    pub not_compared: Option<NotCompared>,
    /// What nodes ran when it was made: what one of them goes back to that does not come up. Nobody is shown it.
    pub ran: BTreeMap<String, Ran>,
}

/// What a plan that was made without the secrets does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotCompared {
    /// A fragment: why the secrets are shut.
    pub why: String,
    /// `address@lane` of what was judged without its content.
    pub items: Vec<String>,
    /// Where nothing was looked at.
    pub lanes: Vec<Lane>,
}

/// For people, in one line.
impl fmt::Display for NotCompared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { why, items, lanes } = self;
        write!(f, "{why}. ")?;
        write!(
            f,
            "What is made from secrets ({} files) was compared by presence, kind, mode, owner and meaning, not by content",
            items.len()
        )?;
        if lanes.contains(&Lane::Cluster) {
            write!(f, "; what is in the API was not looked at")?;
        }
        Ok(())
    }
}

/// One step with the verdict on each of its wants.
#[derive(Debug, Clone)]
pub struct PlannedStep {
    pub id: StepId,
    pub title: String,
    /// Edges, those that policy added included.
    pub after: Vec<StepId>,
    pub items: Vec<Item>,
    pub ready: Option<Ready>,
    /// Set when the step runs one node at a time in this plan.
    pub rolling: Option<&'static str>,
    /// Whether nothing that comes later in its lane builds on it: it begins when what it waits for is ready, whichever of its kind that is
    /// first, and takes no other with it where it is not done.
    pub aside: bool,
}

/// One want and its verdict.
#[derive(Debug, Clone)]
pub struct Item {
    pub addr: String,
    pub verdict: Verdict,
    /// Digest of what was seen; empty where nothing is to be done.
    pub seen: String,
}

/// How many items of each sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub create: usize,
    pub update: usize,
    pub delete: usize,
    /// Commands, starts and restarts.
    pub run: usize,
    pub deferred: usize,
    pub blocked: usize,
    pub settled: usize,
}

impl Counts {
    /// Whether anything would happen.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.create + self.update + self.delete + self.run + self.deferred
    }

    /// Counts one verdict.
    pub fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Settled(_) => self.settled += 1,
            Verdict::Blocked { .. } => self.blocked += 1,
            Verdict::Deferred { .. } => self.deferred += 1,
            Verdict::Change(change) => match change.act {
                Act::Create => self.create += 1,
                Act::Update => self.update += 1,
                Act::Delete => self.delete += 1,
                Act::Run | Act::Start | Act::Restart => self.run += 1,
            },
        }
    }
}

impl PlannedStep {
    /// Whether anything in it would happen.
    #[must_use]
    pub fn acts(&self) -> bool {
        self.items.iter().any(|i| i.verdict.change().is_some())
    }

    /// The first blocked item.
    #[must_use]
    pub fn blocked(&self) -> Option<&Item> {
        self.all_blocked().next()
    }

    /// Every blocked item.
    pub fn all_blocked(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|i| matches!(i.verdict, Verdict::Blocked { .. }))
    }
}

impl Plan {
    /// The tally.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for item in self.steps.iter().flat_map(|s| &s.items) {
            counts.add(&item.verdict);
        }
        counts
    }
}
