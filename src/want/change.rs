//! What stands between a host and a want: a verdict, and for a change everything that is printed *and* run.

use super::{Object, Program, Sh};
use serde::{Deserialize, Serialize};

/// What kind of change; the glyph is what plans show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    Create,
    Update,
    Delete,
    /// A guarded command.
    Run,
    /// A unit is enabled and started.
    Start,
    /// A running unit is restarted or reloaded.
    Restart,
}

impl Act {
    /// One column in the plan.
    #[must_use]
    pub fn glyph(self) -> char {
        match self {
            Self::Create => '+',
            Self::Update => '~',
            Self::Delete => '-',
            Self::Run => '!',
            Self::Start => '>',
            Self::Restart => '^',
        }
    }
}

/// How much a change can be felt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "units")]
pub enum Impact {
    /// Nothing that runs notices.
    Safe,
    /// These units restart.
    Restart(Vec<String>),
    /// Pods move or stop.
    Disruptive,
    /// Cannot be taken back.
    Irreversible,
}

/// What runs when a change is applied.
#[derive(Debug, Clone, PartialEq)]
pub enum Run {
    /// A script on the host, which tests its own condition again before it acts.
    Script(Sh),
    /// A program is fetched, sent over and put into the store.
    Install(Program),
    /// An object is applied server-side (`true`) or deleted (`false`).
    Api(Box<Object>, bool),
    /// A node is emptied of pods, or takes them again.
    Seats(Seats),
}

/// What is done to a node as a place for pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seats {
    /// Kept away from new pods, its own evicted as budgets allow.
    Drain { node: String },
    /// Given back where homectl had cordoned it, once it is Ready and its kubelet of this version (`v1.36.3`), if one is named.
    Uncordon { node: String, version: Option<String> },
}

impl Seats {
    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        let (Self::Drain { node } | Self::Uncordon { node, .. }) = self;
        node
    }

    /// In the API, as seen by the plan: what happens.
    #[must_use]
    pub fn change(self, why: impl Into<String>) -> Change {
        let impact = if matches!(self, Self::Drain { .. }) { Impact::Disruptive } else { Impact::Safe };
        Change::new(Act::Run, why, Run::Seats(self)).impact(impact).unheard()
    }
}

/// Lines of text, kept as one: a plan has many.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines {
    text: String,
    /// How many of them add or remove something.
    moved: usize,
    all: usize,
}

impl Lines {
    /// The unified diff from nothing to `text`.
    #[must_use]
    pub fn added(text: &str) -> Self {
        let mut lines = Self::default();
        if text.is_empty() {
            return lines;
        }
        let count = text.lines().count();
        lines.text.reserve(text.len() + count + 40);
        lines.push("", &if count == 1 { "@@ -0,0 +1 @@".to_owned() } else { format!("@@ -0,0 +1,{count} @@") });
        for line in text.lines() {
            lines.push("+", line);
        }
        if !text.ends_with('\n') {
            lines.push("", "\\ No newline at end of file");
        }
        lines
    }

    fn push(&mut self, sign: &str, line: &str) {
        let is_moved = match sign {
            "" => line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---"),
            _ => true,
        };
        self.moved += usize::from(is_moved);
        self.all += 1;
        self.text.push_str(sign);
        // A line that is two (a name with a newline in it, say) stays one.
        for (i, part) in line.split('\n').enumerate() {
            self.text.push_str(if i > 0 { "\u{2424}" } else { "" });
            self.text.push_str(part);
        }
        self.text.push('\n');
    }

    /// Each without its end.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.text.strip_suffix('\n').into_iter().flat_map(|text| text.split('\n'))
    }

    /// All of them with `between` in between.
    #[must_use]
    pub fn join(&self, between: &str) -> String {
        self.iter().collect::<Vec<_>>().join(between)
    }

    /// Lines added or removed (headers of a diff are neither), and all of them.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.moved, self.all)
    }

    /// Lets go of the text where nobody is going to read it; its size stays.
    pub fn forget(&mut self) {
        self.text = String::new();
    }
}

impl<T: AsRef<str>> From<Vec<T>> for Lines {
    fn from(lines: Vec<T>) -> Self {
        let mut all = Self::default();
        for line in &lines {
            all.push("", line.as_ref());
        }
        all
    }
}

impl Serialize for Lines {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// One change: what the plan prints and what apply runs.
#[derive(Debug, Clone)]
pub struct Change {
    pub act: Act,
    /// Why, in a few words: `mode 0644, wanted 0600`.
    pub why: String,
    /// Unified diff or list, without secrets; may be empty.
    pub lines: Lines,
    pub impact: Impact,
    /// Whether units that read it must hear of it: mode and owner concern nobody who runs already.
    pub heard: bool,
    /// Whether what it mends serves nobody as it is, so that a restart for it takes nothing away.
    pub mends: bool,
    pub run: Run,
}

impl Change {
    /// A safe change by script.
    #[must_use]
    pub fn script(act: Act, why: impl Into<String>, script: impl Into<String>) -> Self {
        Self::new(act, why, Run::Script(Sh::new(script)))
    }

    /// A safe change.
    #[must_use]
    pub fn new(act: Act, why: impl Into<String>, run: Run) -> Self {
        Self { act, why: why.into(), lines: Lines::default(), impact: Impact::Safe, heard: true, mends: false, run }
    }

    /// With lines to show.
    #[must_use]
    pub fn lines(mut self, lines: impl Into<Lines>) -> Self {
        self.lines = lines.into();
        self
    }

    /// Of which no unit has to hear.
    #[must_use]
    pub fn unheard(mut self) -> Self {
        self.heard = false;
        self
    }

    /// Whether what it mends serves nobody as it is.
    #[must_use]
    pub fn mends(mut self, dead: bool) -> Self {
        self.mends = dead;
        self
    }

    /// With another impact than *safe*.
    #[must_use]
    pub fn impact(mut self, impact: Impact) -> Self {
        self.impact = impact;
        self
    }
}

/// The verdict on one want. `Settled` says why; a failed look is `Blocked`.
#[derive(Debug, Clone)]
pub enum Verdict {
    Settled(String),
    Change(Change),
    /// Cannot be judged before an earlier step ran (`why`); then exactly `change` may happen, if still needed.
    Deferred {
        why: String,
        change: Change,
    },
    Blocked {
        why: String,
        help: String,
    },
}

impl Verdict {
    /// Blocked because the look itself failed.
    #[must_use]
    pub fn unseen(why: impl Into<String>) -> Self {
        Self::Blocked { why: why.into(), help: "look at the machine: the check itself failed, so nothing is assumed".into() }
    }

    /// The change that would run, now or deferred.
    #[must_use]
    pub fn change(&self) -> Option<&Change> {
        match self {
            Self::Change(c) | Self::Deferred { change: c, .. } => Some(c),
            Self::Settled(_) | Self::Blocked { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;
    use crate::want::file::unified;

    #[test]
    fn a_new_text_is_a_diff_from_nothing() {
        for text in ["", "a", "a\n", "a\nb", "a\n\nb\n", "\n", "++x\n", "--- x\n+y\n", "a\r\nb\r\n"] {
            let (added, diff) = (Lines::added(text), Lines::from(unified("", text)));
            assert_eq!(added.iter().collect::<Vec<_>>(), diff.iter().collect::<Vec<_>>(), "{text:?}");
        }
        assert_eq!(Lines::added("++x\n").size(), (1, 2), "a line that looks like a header is none");
    }
}
