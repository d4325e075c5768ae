//! A system user with a group of the same name and no login. One that was there before us has not our comment: reset
//! leaves it.

use super::{Act, Change, Seen, Verdict, Want, quote};

/// What an account's comment field says when homectl made it.
const OURS: &str = "made by homectl";

/// A system account.
#[derive(Debug, Clone)]
pub struct Account {
    pub name: String,
    /// `false`: wanted gone.
    pub present: bool,
}

impl Account {
    /// The account `name`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), present: true }
    }

    pub(super) fn addr(&self) -> String {
        format!("user:{}", self.name)
    }

    pub(super) fn absent(&self) -> Want {
        Want::Account(Self { present: false, ..self.clone() })
    }

    pub(super) fn diff(&self, seen: &Seen) -> Verdict {
        let name = quote(&self.name);
        match (seen, self.present) {
            (Seen::Absent, true) => Verdict::Change(Change::script(
                Act::Create,
                "missing",
                format!(
                    "getent passwd {name} >/dev/null || useradd --system --user-group --comment '{OURS}' --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin {name}\n"
                ),
            )),
            (Seen::Absent, false) => Verdict::Settled("absent".into()),
            (Seen::Account(line), true)
                if line.split(':').nth(6).is_some_and(|shell| shell.ends_with("nologin") || shell.ends_with("/false")) =>
            {
                Verdict::Settled("present, without login".into())
            }
            (Seen::Account(line), true) => Verdict::Blocked {
                why: format!("the user {} has a login shell: {line}", self.name),
                help: format!("somebody uses this name; rename that account, or: usermod --shell /usr/sbin/nologin {}", self.name),
            },
            (Seen::Account(line), false) if line.split(':').nth(4) != Some(OURS) => {
                Verdict::Settled("was there before homectl, stays".into())
            }
            (Seen::Account(_), false) => Verdict::Change(Change::script(Act::Delete, "present, wanted gone", format!("userdel {name}\n"))),
            (other, _) => Verdict::unseen(format!("unexpected observation {other:?}")),
        }
    }
}
