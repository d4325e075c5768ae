//! A downloaded program in the store: `/opt/homectl/store/<sha256 of the artifact>/<name>`, complete or not there.
//!
//! A settled program costs one `stat`: size, inode and change time are compared with a stamp taken when the files
//! were hashed on the node; anything off means hashing again.

use super::{Act, Change, Lines, Notify, Run, Seen, Verdict, quote};
use crate::cluster::{Arch, Artifact, Component};

/// Where programs lie on a node.
pub const STORE: &str = "/opt/homectl/store";

/// One artifact's programs.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    pub component: Component,
    /// Version as upstream writes it, for people.
    pub version: String,
    pub artifact: Artifact,
    /// The machine it is to run on.
    pub arch: Arch,
    /// The unit that runs it.
    pub notify: Vec<Notify>,
}

impl Program {
    /// Its folder on the node.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{STORE}/{}", self.artifact.sha256)
    }

    /// Restarts `unit` when it changes.
    #[must_use]
    pub fn restarts(mut self, unit: impl Into<String>) -> Self {
        self.notify.push(Notify { unit: unit.into(), reload: false });
        self
    }

    /// Names of its programs in the folder.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.component.members().iter().map(|(_, name)| *name)
    }

    /// Paths of its programs on the node.
    pub fn files(&self) -> impl Iterator<Item = String> {
        let folder = self.folder();
        self.names().map(move |name| format!("{folder}/{name}"))
    }

    /// sh that prints the stamp of the folder it runs in.
    #[must_use]
    pub fn stamp(&self) -> String {
        let names: Vec<String> = self.names().map(quote).collect();
        format!("stat -c '%n %s %i %Z %f' -- {}", names.join(" "))
    }

    pub(super) fn addr(&self) -> String {
        format!("program:{}", self.component)
    }

    pub(super) fn diff(&self, seen: &Seen) -> Verdict {
        let (act, why) = match seen {
            Seen::Program(Ok(())) => return Verdict::Settled(format!("{} in the store, as hashed", self.version)),
            Seen::Program(Err(why)) => (Act::Update, why.clone()),
            Seen::Absent => (Act::Create, "not in the store".to_owned()),
            other => return Verdict::unseen(format!("unexpected observation {other:?}")),
        };
        let lines = Lines::from(vec![
            format!("{} {}", self.component, self.version),
            self.artifact.url.clone(),
            format!("sha256 {}", self.artifact.sha256),
        ]);
        Verdict::Change(Change::new(act, why, Run::Install(self.clone())).lines(lines))
    }
}
