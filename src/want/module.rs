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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::want::Run;

    #[test]
    fn an_unloaded_module_is_loaded() {
        let module = Module::new("br_netfilter");
        assert!(matches!(module.diff(&Seen::Same), Verdict::Settled(_)));
        let Verdict::Change(change) = module.diff(&Seen::Absent) else { panic!("a change") };
        assert!(matches!(change.run, Run::Script(script) if script.as_str() == "modprobe br_netfilter\n"));
    }
}
