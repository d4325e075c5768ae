//! A kernel module; one that is built in counts as loaded.

use super::{Act, Change, Seen, Verdict, Want, quote};

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

    /// A loaded module does no harm and may have other users: it stays until the next boot.
    #[expect(clippy::unused_self, reason = "one shape for all kinds")]
    pub(super) fn absent(&self) -> Option<Want> {
        None
    }

    pub(super) fn diff(&self, seen: &Seen) -> Verdict {
        match seen {
            Seen::Same => Verdict::Settled("loaded or built in".into()),
            Seen::Absent => Verdict::Change(Change::script(Act::Run, "not loaded", format!("modprobe {}\n", quote(&self.name)))),
            other => Verdict::unseen(format!("unexpected observation {other:?}")),
        }
    }
}
