//! The escape hatch: a command that is not a plain file, unit or package. No guard, no command: its test says
//! whether it is needed, and is asked again on the node just before it runs.

use super::{Act, Change, GuardSeen, Impact, Notify, Seen, Sh, Verdict, Want};

/// A guarded command.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Full address, e.g. `hostname` or `wireguard:wg0`.
    pub addr: String,
    /// What holds when the test passes, for people.
    pub title: String,
    /// Exits 0: holds; 1: does not (prints evidence); 75: cannot be told yet (prints what is missing).
    pub ok: Sh,
    /// Makes it hold.
    pub run: Sh,
    /// Undoes it for reset, where something is to be undone.
    pub undo: Option<Sh>,
    pub impact: Impact,
    /// Paths on the disk that `run` writes to; it would fail where they do not let it.
    pub writes: Vec<String>,
    /// Units that read what it writes.
    pub notify: Vec<Notify>,
}

impl Guard {
    /// A safe guard without an undo.
    #[must_use]
    pub fn new(addr: impl Into<String>, title: impl Into<String>, ok: impl Into<String>, run: impl Into<String>) -> Self {
        Self {
            addr: addr.into(),
            title: title.into(),
            ok: Sh::new(ok),
            run: Sh::new(run),
            undo: None,
            impact: Impact::Safe,
            writes: Vec::new(),
            notify: Vec::new(),
        }
    }

    /// With what reset runs (it must itself test whether there is something to do).
    #[must_use]
    pub fn undo(mut self, undo: impl Into<String>) -> Self {
        self.undo = Some(Sh::new(undo));
        self
    }

    /// With the paths that `run` writes to.
    #[must_use]
    pub fn writes(mut self, paths: &[&str]) -> Self {
        self.writes = paths.iter().map(|path| (*path).to_owned()).collect();
        self
    }

    /// Restarts `unit` when it runs.
    #[must_use]
    pub fn restarts(mut self, unit: impl Into<String>) -> Self {
        self.notify.push(Notify { unit: unit.into(), reload: false });
        self
    }

    pub(super) fn addr(&self) -> String {
        self.addr.clone()
    }

    /// Reset runs `undo`; it tests for itself, so the guard asks nothing first.
    pub(super) fn absent(&self) -> Option<Want> {
        let undo = self.undo.clone()?;
        Some(Want::Guard(Self {
            addr: self.addr.clone(),
            title: format!("undo: {}", self.title),
            ok: Sh::new("exit 1"),
            run: undo,
            undo: None,
            impact: self.impact.clone(),
            writes: self.writes.clone(),
            notify: Vec::new(),
        }))
    }

    pub(super) fn diff(&self, seen: &Seen) -> Verdict {
        let Seen::Guard(GuardSeen { status, output }) = seen else {
            return Verdict::unseen(format!("unexpected observation {seen:?}"));
        };
        let change = |why: &str| {
            // A test that fails (neither 0, 1 nor 75) stops here with its words: nothing is done on a guess.
            let script = format!(
                "rc=0\nout=$( ({}\n) 2>&1 </dev/null) || rc=$?\ncase $rc in\n0) echo 'holds already' ;;\n1 | {})\n{}\n;;\n\
                 *) printf '%s\\n' \"$out\"; exit \"$rc\" ;;\nesac\n",
                self.ok.as_str(),
                GuardSeen::DEFERRED,
                self.run.as_str()
            );
            Change::script(Act::Run, why, script).lines(output.lines().collect::<Vec<_>>()).impact(self.impact.clone())
        };
        match *status {
            0 => Verdict::Settled(self.title.clone()),
            1 => Verdict::Change(change(&self.title)),
            GuardSeen::DEFERRED => Verdict::Deferred { why: output.trim().to_owned(), change: change(&self.title) },
            other => Verdict::unseen(format!("the test of “{}” failed with status {other}: {}", self.title, output.trim())),
        }
    }
}
