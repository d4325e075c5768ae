//! Packages of the distribution, installed by its own manager in one run. Reset leaves them and says so.

use super::{Act, Change, Seen, Verdict};

/// A set of packages, and how this distribution installs one that is missing.
#[derive(Debug, Clone)]
pub struct Packages {
    pub names: Vec<String>,
    /// sh that prints those of `"$@"` that are installed, a line each; from `os/`.
    pub query: String,
    /// sh that installs `"$@"`; from `os/`.
    pub install: String,
}

impl Packages {
    #[expect(clippy::unused_self, reason = "one shape for all kinds")]
    pub(super) fn addr(&self) -> String {
        "packages".into()
    }

    pub(super) fn diff(&self, seen: &Seen) -> Verdict {
        let Seen::Packages(installed) = seen else {
            return Verdict::unseen(format!("unexpected observation {seen:?}"));
        };
        let missing: Vec<&str> = self.names.iter().filter(|n| !installed.contains(n)).map(String::as_str).collect();
        if missing.is_empty() {
            return Verdict::Settled(format!("all installed: {}", self.names.join(", ")));
        }
        let script = format!("set -- {}\n{}\n", missing.join(" "), self.install);
        let lines: Vec<_> = missing.iter().map(|m| format!("+ {m}")).collect();
        Verdict::Change(Change::script(Act::Create, format!("missing: {}", missing.join(", ")), script).lines(lines))
    }
}
