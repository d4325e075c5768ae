//! The one enum over all kinds.

use super::{Account, Dir, File, Guard, GuardSeen, Leaf, Link, Module, Object, Packages, Program, Seen, Sysctl, Unit, UnitSeen, Verdict};

/// One thing that should hold on one host (or, for [`Object`], in the API).
#[derive(Debug, Clone)]
pub enum Want {
    Account(Account),
    Dir(Dir),
    File(File),
    Guard(Guard),
    Leaf(Leaf),
    Link(Link),
    Module(Module),
    Object(Object),
    Packages(Packages),
    Program(Program),
    Sysctl(Sysctl),
    Unit(Unit),
}

/// Calls the same method on whichever kind it is.
macro_rules! each {
    ($self:ident, $w:ident => $e:expr) => {
        match $self {
            Want::Account($w) => $e,
            Want::Dir($w) => $e,
            Want::File($w) => $e,
            Want::Guard($w) => $e,
            Want::Leaf($w) => $e,
            Want::Link($w) => $e,
            Want::Module($w) => $e,
            Want::Object($w) => $e,
            Want::Packages($w) => $e,
            Want::Program($w) => $e,
            Want::Sysctl($w) => $e,
            Want::Unit($w) => $e,
        }
    };
}

impl Want {
    /// Stable address, unique within its host: `file:/etc/hosts`. Also the sort key of plans.
    #[must_use]
    pub fn addr(&self) -> String {
        each!(self, w => w.addr())
    }

    /// What stands between what was seen and this want.
    #[must_use]
    pub fn diff(&self, seen: &Seen) -> Verdict {
        if let Seen::Unknown(why) = seen {
            return Verdict::unseen(why);
        }
        if let Seen::Held { seen, by } = seen {
            return match self.diff(seen) {
                Verdict::Change(c) | Verdict::Deferred { change: c, .. } => {
                    Verdict::Blocked { why: format!("{}, but {}", c.why, by.why()), help: by.help() }
                }
                other => other,
            };
        }
        each!(self, w => w.diff(seen))
    }

    /// What a look at a machine that has nothing of ours would see, as far as it can be told without one.
    #[must_use]
    pub fn on_a_new_machine(&self) -> Seen {
        match self {
            Self::Guard(_) => Seen::Guard(GuardSeen { status: GuardSeen::DEFERRED, output: "no machine was asked".into() }),
            Self::Object(_) => Seen::NoApi("no machine was asked".into()),
            Self::Packages(_) => Seen::Packages(Vec::new()),
            Self::Unit(_) => Seen::Unit(UnitSeen { load: "not-found".into(), active: "inactive".into(), ..UnitSeen::default() }),
            Self::Account(_) => Seen::Account { user: None, group: None },
            Self::Dir(_) | Self::File(_) | Self::Leaf(_) | Self::Link(_) | Self::Module(_) | Self::Program(_) | Self::Sysctl(_) => {
                Seen::Absent
            }
        }
    }

    /// The same address, wanted gone; `None` where reset leaves it (packages, sysctl of the running kernel, …).
    #[must_use]
    pub fn absent(&self) -> Option<Want> {
        Some(match self {
            Self::Account(w) => w.absent(),
            Self::Dir(w) => w.absent(),
            Self::File(w) => w.absent(),
            Self::Leaf(w) => w.absent(),
            Self::Link(w) => w.absent(),
            Self::Sysctl(w) => w.absent(),
            Self::Unit(w) => w.absent(),
            Self::Guard(w) => return w.absent(),
            Self::Object(w) => return w.absent(),
            // A loaded module does no harm and may have other users; packages stay and are listed; the store goes whole.
            Self::Module(_) | Self::Packages(_) | Self::Program(_) => return None,
        })
    }

    /// Units that must restart or reload when this want changes.
    #[must_use]
    pub fn notifies(&self) -> &[Notify] {
        match self {
            Self::File(w) => &w.notify,
            Self::Guard(w) => &w.notify,
            Self::Leaf(w) => &w.notify,
            Self::Link(w) => &w.notify,
            Self::Program(w) => &w.notify,
            _ => &[],
        }
    }
}

/// A unit that has to hear of a change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Notify {
    /// Unit name with suffix.
    pub unit: String,
    /// `true`: `ExecReload` is enough.
    pub reload: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::want::{GuardSeen, Obstacle, UnitSeen};

    fn held(seen: Seen) -> Seen {
        Seen::Held { seen: Box::new(seen), by: Obstacle::ReadOnly("/etc".into()) }
    }

    #[test]
    fn what_cannot_be_written_blocks_only_what_is_due() {
        let file = Want::File(File::text("/etc/x", "a"));
        assert!(matches!(file.diff(&held(Seen::Same)), Verdict::Settled(_)));
        let Verdict::Blocked { why, help } = file.diff(&held(Seen::Absent)) else { panic!("blocked") };
        assert_eq!(why, "missing, but /etc is on a read-only file system");
        assert!(help.contains("findmnt -T /etc"), "{help}");
        let guard = Want::Guard(Guard::new("g", "the name is x", "", ""));
        let not_yet = Seen::Guard(GuardSeen { status: GuardSeen::DEFERRED, output: "later".into() });
        assert!(matches!(guard.diff(&held(not_yet)), Verdict::Blocked { .. }));
    }

    #[test]
    fn a_unit_writes_only_where_it_is_enabled_or_masked() {
        let unit = |file: &str| Seen::Unit(UnitSeen { file: file.into(), ..UnitSeen::default() });
        let table = [
            (Want::Unit(Unit::running("x.service")), unit("enabled"), 0),
            (Want::Unit(Unit::running("x.service")), unit("disabled"), 1),
            (Want::Unit(Unit::masked("x.service")), unit("enabled"), 1),
            (Want::Unit(Unit::running("x.service")).absent().unwrap(), unit("enabled"), 1),
        ];
        for (want, seen, places) in table {
            assert_eq!(want.places(&seen).len(), places, "{want:?} {seen:?}");
        }
    }
}
