//! What stands between a host and a want: a verdict, and for a change everything that is printed *and* run.

use super::{Object, Program, Sh};
use serde::{Deserialize, Serialize};

/// What kind of change; the glyph is what plans show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    Create,
    Update,
    Delete,
    /// A guarded command.
    Run,
    /// A unit is enabled and started.
    Start,
    /// A running unit is restarted or reloaded.
    Restart,
}

impl Act {
    /// One column in the plan.
    #[must_use]
    pub fn glyph(self) -> char {
        match self {
            Self::Create => '+',
            Self::Update => '~',
            Self::Delete => '-',
            Self::Run => '!',
            Self::Start => '>',
            Self::Restart => '^',
        }
    }
}

/// How much a change can be felt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "units")]
pub enum Impact {
    /// Nothing that runs notices.
    Safe,
    /// These units restart.
    Restart(Vec<String>),
    /// Pods move or stop.
    Disruptive,
    /// Cannot be taken back.
    Irreversible,
}

/// What runs when a change is applied.
#[derive(Debug, Clone, PartialEq)]
pub enum Run {
    /// A script on the host, which tests its own condition again before it acts.
    Script(Sh),
    /// A program is fetched, sent over and put into the store.
    Install(Program),
    /// An object is applied server-side (`true`) or deleted (`false`).
    Api(Box<Object>, bool),
}

/// One change: what the plan prints and what apply runs.
#[derive(Debug, Clone)]
pub struct Change {
    pub act: Act,
    /// Why, in a few words: `mode 0644, wanted 0600`.
    pub why: String,
    /// Unified diff or list, without secrets; may be empty.
    pub lines: Vec<String>,
    pub impact: Impact,
    pub run: Run,
}

impl Change {
    /// A safe change by script.
    #[must_use]
    pub fn script(act: Act, why: impl Into<String>, script: impl Into<String>) -> Self {
        Self { act, why: why.into(), lines: Vec::new(), impact: Impact::Safe, run: Run::Script(Sh::new(script)) }
    }

    /// With lines to show.
    #[must_use]
    pub fn lines(mut self, lines: Vec<String>) -> Self {
        self.lines = lines;
        self
    }

    /// With another impact than *safe*.
    #[must_use]
    pub fn impact(mut self, impact: Impact) -> Self {
        self.impact = impact;
        self
    }
}

/// The verdict on one want. `Settled` says why; a failed look is `Blocked`.
#[derive(Debug, Clone)]
pub enum Verdict {
    Settled(String),
    Change(Change),
    /// Cannot be judged before an earlier step ran (`why`); then exactly `change` may happen, if still needed.
    Deferred {
        why: String,
        change: Change,
    },
    Blocked {
        why: String,
        help: String,
    },
}

impl Verdict {
    /// Blocked because the look itself failed.
    #[must_use]
    pub fn unseen(why: impl Into<String>) -> Self {
        Self::Blocked { why: why.into(), help: "look at the machine: the check itself failed, so nothing is assumed".into() }
    }

    /// The change that would run, now or deferred.
    #[must_use]
    pub fn change(&self) -> Option<&Change> {
        match self {
            Self::Change(c) | Self::Deferred { change: c, .. } => Some(c),
            Self::Settled(_) | Self::Blocked { .. } => None,
        }
    }
}
