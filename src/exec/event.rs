//! What happens while homectl works, as values. Renderers subscribe; nothing here knows how it looks.

use crate::steps::{Lane, StepId};
use serde::Serialize;
use std::sync::Arc;

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Seconds since the run began.
    pub at: f64,
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened. Serialised with a `type` tag for `--events`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum EventKind {
    /// A host is being connected to.
    Connecting { node: String, target: String },
    /// Logged in, root shell up.
    Connected { node: String },
    /// A host will not take part.
    Unreachable { node: String, seen: String },
    /// Facts and observations are being gathered.
    Probing { node: String },
    /// A host key was recorded at first contact.
    HostKeyRecorded { node: String, fingerprint: String },
    /// A file is on its way into the operator's cache.
    Fetching { what: String, bytes: u64, total: Option<u64> },
    /// A program is on its way to a node.
    Uploading { node: String, what: String, bytes: u64, total: u64 },
    /// A step began.
    StepBegan { step: StepId, title: String },
    /// One item of a step was done (`changed`) or found to hold already.
    ItemDone { step: StepId, addr: String, changed: bool },
    /// A step's readiness is awaited; `seen` is the last thing its test printed.
    Waiting { step: StepId, what: String, seen: String, seconds: u64 },
    /// A step ended.
    StepEnded { step: StepId, outcome: Outcome },
    /// Something that a person should know.
    Warning { lane: Option<Lane>, text: String },
    /// The run ended.
    Finished { changed: usize, failed: usize, skipped: usize, seconds: f64 },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// Done, and ready where readiness is defined.
    Done,
    /// Something in it failed; the evidence.
    Failed { what: String, evidence: Vec<String>, help: String },
    /// Not begun because a step it needs did not end well, or the run was interrupted.
    Skipped { why: String },
}

/// Where events go: cheap to clone, callable from any task.
#[derive(Clone)]
pub struct Sink(Arc<dyn Fn(EventKind) + Send + Sync>);

impl Sink {
    /// A sink that calls `f`.
    #[must_use]
    pub fn new(f: impl Fn(EventKind) + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }

    /// A sink that forgets everything.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|_| ())
    }

    /// Tells what happened.
    pub fn tell(&self, kind: EventKind) {
        (self.0)(kind);
    }
}
