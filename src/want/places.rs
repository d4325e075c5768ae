//! Where on the disk a change would write, so that a plan can say beforehand that it could not.

use super::{STORE, Seen, UnitState, Want};

/// Where systemd keeps which units are enabled or masked.
const UNITS: &str = "/etc/systemd/system";

impl Want {
    /// Absolute paths, without white space, that a change from what was `seen` to this want writes to; what only runs, or lies
    /// under /run or /proc, is none of them.
    #[must_use]
    pub fn places(&self, seen: &Seen) -> Vec<String> {
        match self {
            Self::Dir(w) => vec![w.path.clone()],
            Self::File(w) => vec![w.path.clone()],
            Self::Leaf(w) => vec![w.path.clone()],
            Self::Link(w) => vec![w.path.clone()],
            Self::Guard(w) => w.writes.clone(),
            Self::Account(_) => vec!["/etc/passwd".into(), "/etc/group".into()],
            Self::Packages(_) => vec!["/etc".into(), "/usr".into(), "/var/lib/dpkg".into()],
            Self::Program(w) => w.files().chain([STORE.to_owned()]).collect(),
            Self::Unit(w) => match seen {
                // Started or restarted, and nothing else.
                Seen::Unit(unit) if w.state == UnitState::Running && unit.file == "enabled" => Vec::new(),
                _ => vec![UNITS.into()],
            },
            Self::Module(_) | Self::Object(_) | Self::Sysctl(_) => Vec::new(),
        }
    }
}
