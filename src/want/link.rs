//! A symbolic link; repointed by rename, so there is no moment without it.

use super::file::{describe, gone};
use super::seen::InodeKind;
use super::{Act, Change, Notify, Seen, Verdict, Want, quote};

/// A symbolic link.
#[derive(Debug, Clone)]
pub struct Link {
    pub path: String,
    /// Target as stored in the link; `None`: wanted gone.
    pub target: Option<String>,
    pub notify: Vec<Notify>,
}

impl Link {
    /// A link at `path` to `target`.
    #[must_use]
    pub fn new(path: impl Into<String>, target: impl Into<String>) -> Self {
        Self { path: path.into(), target: Some(target.into()), notify: Vec::new() }
    }

    /// Restarts `unit` when it changes.
    #[must_use]
    pub fn restarts(mut self, unit: impl Into<String>) -> Self {
        self.notify.push(Notify { unit: unit.into(), reload: false });
        self
    }

    pub(super) fn addr(&self) -> String {
        format!("link:{}", self.path)
    }

    pub(super) fn absent(&self) -> Want {
        Want::Link(Self { target: None, notify: Vec::new(), ..self.clone() })
    }

    pub(super) fn diff(&self, seen: &Seen) -> Verdict {
        let Some(target) = &self.target else { return gone(&self.path, seen, "rm -f --") };
        let (act, why) = match seen {
            Seen::Same => return Verdict::Settled("same target".into()),
            Seen::Inode(i) => match &i.kind {
                InodeKind::Link(to) if to == target => return Verdict::Settled("same target".into()),
                InodeKind::Link(to) => (Act::Update, format!("points to {to}")),
                other => {
                    return Verdict::Blocked {
                        why: format!("{} is {}, wanted a link to {target}", self.path, describe(other)),
                        help: format!("somebody else put it there; move it away if it is not needed (ls -ld {})", self.path),
                    };
                }
            },
            Seen::Absent => (Act::Create, "missing".to_owned()),
            other => return Verdict::unseen(format!("unexpected observation {other:?}")),
        };
        let script = format!("relink {} {}\n", quote(&self.path), quote(target));
        Verdict::Change(Change::script(act, why, script).lines(vec![format!("→ {target}")]))
    }
}
