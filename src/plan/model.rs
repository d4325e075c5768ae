//! The plan as a value.

use crate::steps::{Mode, Ready, StepId};
use crate::want::{Verdict, Want};

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
}

/// One want and its verdict.
#[derive(Debug, Clone)]
pub struct Item {
    pub addr: String,
    pub want: Want,
    pub verdict: Verdict,
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
        self.items.iter().find(|i| matches!(i.verdict, Verdict::Blocked { .. }))
    }
}

impl Plan {
    /// The tally.
    #[must_use]
    pub fn counts(&self) -> Counts {
        use crate::want::Act;
        let mut c = Counts::default();
        for item in self.steps.iter().flat_map(|s| &s.items) {
            match &item.verdict {
                Verdict::Settled(_) => c.settled += 1,
                Verdict::Blocked { .. } => c.blocked += 1,
                Verdict::Deferred { .. } => c.deferred += 1,
                Verdict::Change(change) => match change.act {
                    Act::Create => c.create += 1,
                    Act::Update => c.update += 1,
                    Act::Delete => c.delete += 1,
                    Act::Run | Act::Start | Act::Restart => c.run += 1,
                },
            }
        }
        c
    }
}
