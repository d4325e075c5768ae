//! What can go wrong, sorted by who has to act: the exit codes and the one error type that `main` sees.
//!
//! Modules keep error types of their own where a caller tells cases apart; at the edge of a verb they become
//! a [`Failure`], which says what happened, on which node, with which evidence, and what to do.

use std::fmt;

/// Exit codes, as documented in README and `homectl explain`.
pub mod exit {
    /// Done, or nothing to do.
    pub const OK: u8 = 0;
    /// A host or a step failed.
    pub const FAILED: u8 = 1;
    /// `plan --exit-code` found changes.
    pub const CHANGES: u8 = 2;
    /// Everything reachable converged, some nodes were offline.
    pub const OFFLINE: u8 = 3;
    /// A guard refused (quorum, another version, a foreign machine or cluster, a plan that is no longer true).
    pub const REFUSED: u8 = 4;
    /// Another run holds the lock.
    pub const LOCKED: u8 = 5;
    /// Wrong usage of the command line.
    pub const USAGE: u8 = 64;
    /// The inventory (or its lock, or its secrets file) is invalid.
    pub const INVENTORY: u8 = 65;
    /// A bug in homectl.
    pub const BUG: u8 = 70;
    /// Interrupted by the operator.
    pub const INTERRUPTED: u8 = 130;
}

/// One failure as the operator sees it. Pointer-sized enough to travel in `Result`.
#[derive(Debug)]
pub struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    exit: u8,
    /// The node it happened on, where there is one.
    node: Option<String>,
    /// What happened; a lower-case fragment without a full stop.
    what: String,
    /// Lines that were seen: stderr, journal, a server's answer.
    evidence: Vec<String>,
    /// What to do next.
    help: Option<String>,
    /// A report with source positions that stands for the whole message.
    report: Option<miette::Report>,
    /// What failed besides, at the same time: on other machines, for other reasons.
    others: Vec<Failure>,
}

/// The result of everything that a verb does.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure of class `exit`, told by `what`.
    pub fn new(exit: u8, what: impl Into<String>) -> Self {
        Self(Box::new(Inner { exit, node: None, what: what.into(), evidence: Vec::new(), help: None, report: None, others: Vec::new() }))
    }

    /// A host or step failed.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(exit::FAILED, what)
    }

    /// A guard refused to go on.
    pub fn refused(what: impl Into<String>) -> Self {
        Self::new(exit::REFUSED, what)
    }

    /// A bug in homectl, with what contradicted the code's belief.
    pub fn bug(what: impl Into<String>) -> Self {
        Self::new(exit::BUG, what).help("this is a bug in homectl: please report it with the lines above")
    }

    /// A failure that miette renders, with file, line and caret.
    #[must_use]
    pub fn report(exit: u8, report: miette::Report) -> Self {
        let mut f = Self::new(exit, report.to_string());
        f.0.report = Some(report);
        f
    }

    /// All of `failures` as one, which is of the first one's class; nothing where there are none.
    ///
    /// # Errors
    /// There is at least one.
    pub fn together(failures: Vec<Self>) -> Result<()> {
        let mut all = failures.into_iter();
        let Some(mut first) = all.next() else { return Ok(()) };
        first.0.others.extend(all);
        Err(first)
    }

    /// This one, then what failed besides.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.0.others)
    }

    /// Names the node it happened on.
    #[must_use]
    pub fn on(mut self, node: impl Into<String>) -> Self {
        self.0.node = Some(node.into());
        self
    }

    /// Adds a line that was seen.
    #[must_use]
    pub fn seen(mut self, line: impl Into<String>) -> Self {
        self.0.evidence.extend(line.into().lines().map(str::to_owned));
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// The exit code of this failure.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.0.exit
    }

    /// The node it happened on.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.0.node.as_deref()
    }

    /// What happened.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// What was seen.
    #[must_use]
    pub fn evidence(&self) -> &[String] {
        &self.0.evidence
    }

    /// The report with source positions, where there is one.
    #[must_use]
    pub fn diagnostic(&self) -> Option<&miette::Report> {
        self.0.report.as_ref()
    }

    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(report) = &self.0.report {
            return write!(f, "{report:?}");
        }
        write!(f, "error: ")?;
        if let Some(node) = &self.0.node {
            write!(f, "{node}: ")?;
        }
        write!(f, "{}", self.0.what)?;
        for line in &self.0.evidence {
            write!(f, "\n  | {line}")?;
        }
        if let Some(help) = &self.0.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
