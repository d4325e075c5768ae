//! A directory with mode and owner; reset removes it only when it is empty (or, where `tree`, with what is in it).

use super::file::{describe, gone, ownership, set_ownership};
use super::seen::InodeKind;
use super::{Act, Change, Seen, Verdict, Want, quote};

/// A directory at an absolute path without white space.
#[derive(Debug, Clone)]
pub struct Dir {
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// `user:group`.
    pub owner: String,
    /// `false`: wanted gone.
    pub present: bool,
    /// Whether everything in it is ours, so that reset removes it whole.
    pub tree: bool,
}

impl Dir {
    /// root:root 0755; reset removes it when it is empty.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), mode: 0o755, owner: "root:root".into(), present: true, tree: false }
    }

    /// With other permission bits.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// With another `user:group`.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = owner.into();
        self
    }

    /// Everything in it is ours.
    #[must_use]
    pub fn tree(mut self) -> Self {
        self.tree = true;
        self
    }

    pub(super) fn addr(&self) -> String {
        format!("dir:{}", self.path)
    }

    pub(super) fn absent(&self) -> Want {
        Want::Dir(Self { present: false, ..self.clone() })
    }

    pub(super) fn diff(&self, seen: &Seen) -> Verdict {
        if !self.present {
            // A tree may hold mounts only while pods run; reset ends those first, and rm stays on one file system.
            return gone(&self.path, seen, if self.tree { "rm -rf --one-file-system --" } else { "rmdir --ignore-fail-on-non-empty --" });
        }
        match seen {
            Seen::Same => Verdict::Settled("same mode and owner".into()),
            Seen::Absent => {
                let p = quote(&self.path);
                let script = format!("mkdir -p -m {:04o} {p} && {}", self.mode, set_ownership(&self.path, self.mode, &self.owner));
                Verdict::Change(Change::script(Act::Create, "missing", script))
            }
            Seen::Inode(inode) if inode.kind == InodeKind::Dir => {
                let why = ownership(inode, self.mode, &self.owner);
                if why.is_empty() {
                    return Verdict::Settled("same mode and owner".into());
                }
                Verdict::Change(Change::script(Act::Update, why.join(", "), set_ownership(&self.path, self.mode, &self.owner)))
            }
            Seen::Inode(inode) => Verdict::Blocked {
                why: format!("{} is {}, wanted a directory", self.path, describe(&inode.kind)),
                help: format!("move it away by hand if it is not needed (ls -ld {})", self.path),
            },
            other => Verdict::unseen(format!("unexpected observation {other:?}")),
        }
    }
}
