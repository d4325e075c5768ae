//! A kernel module; one that is built in counts as loaded.

use super::{Act, Change, Seen, Verdict, quote};

/// A kernel module by name.
#[derive(Debug, Clone)]
pub struct Module {
    pub name: String,
}

impl Module {
    /// The module `name`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    pub(super) fn addr(&self) -> String {
        format!("module:{}", self.name)
    }

    pub(super) fn diff(&self, seen: &Seen) -> Verdict {
        match seen {
            Seen::Same => Verdict::Settled("loaded or built in".into()),
            Seen::Absent => Verdict::Change(Change::script(Act::Run, "not loaded", format!("modprobe {}\n", quote(&self.name)))),
            other => Verdict::unseen(format!("unexpected observation {other:?}")),
        }
    }
}
