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
        let Seen::Account { user, group } = seen else { return Verdict::unseen(format!("unexpected observation {seen:?}")) };
        if self.present { self.made(user.as_deref(), group.as_deref()) } else { self.gone(user.as_deref(), group.as_deref()) }
    }

    fn made(&self, user: Option<&str>, group: Option<&str>) -> Verdict {
        let name = quote(&self.name);
        let Some(line) = user else {
            // A group without its user may be what a power cut left of our own.
            let script = format!(
                "if ! getent passwd {name} >/dev/null; then\n\
                 if getent group {name} >/dev/null; then set -- --gid {name}; else set -- --user-group; fi\n\
                 useradd --system \"$@\" --comment '{OURS}' --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin {name}\nfi\n"
            );
            return Verdict::Change(Change::script(Act::Create, "missing", script));
        };
        if !field(line, 6).ends_with("nologin") && !field(line, 6).ends_with("/false") {
            return Verdict::Blocked {
                why: format!("the user {} has a login shell: {line}", self.name),
                help: format!("somebody uses this name; rename that account, or: usermod --shell /usr/sbin/nologin {}", self.name),
            };
        }
        match group {
            Some(_) => Verdict::Settled("present, without login".into()),
            None if field(line, 4) == OURS => {
                let script = format!("getent group {name} >/dev/null || groupadd --system --gid {} {name}\n", quote(field(line, 3)));
                Verdict::Change(Change::script(Act::Update, "without its group", script))
            }
            None => Verdict::Blocked {
                why: format!("the user {} has no group of this name: {line}", self.name),
                help: format!("somebody uses this name; rename that account, or: groupadd --system {}", self.name),
            },
        }
    }

    fn gone(&self, user: Option<&str>, group: Option<&str>) -> Verdict {
        let name = quote(&self.name);
        match (user, group) {
            (None, None) => Verdict::Settled("absent".into()),
            // `userdel` takes a user's own group along, unless it has other members; one without any is what it left when cut.
            (None, Some(line)) if field(line, 3).is_empty() => {
                Verdict::Change(Change::script(Act::Delete, "its group is left", format!("groupdel {name}\n")))
            }
            (None, Some(_)) => Verdict::Settled("a group of somebody else's, stays".into()),
            (Some(line), _) if field(line, 4) != OURS => Verdict::Settled("was there before homectl, stays".into()),
            (Some(_), _) => Verdict::Change(Change::script(Act::Delete, "present, wanted gone", format!("userdel {name}\n"))),
        }
    }
}

/// A field of a line of `/etc/passwd` or `/etc/group`.
fn field(line: &str, n: usize) -> &str {
    line.split(':').nth(n).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let ours = "etcd:x:990:990:made by homectl:/nonexistent:/usr/sbin/nologin";
        let theirs = "etcd:x:990:990:etcd:/nonexistent:/usr/sbin/nologin";
        let person = "etcd:x:1000:1000:Ed Cord:/home/etcd:/bin/bash";
        let group = "etcd:x:990:";
        let table = [
            (None, None, "+ missing", "= absent"),
            (None, Some(group), "+ missing", "- its group is left"),
            (None, Some("etcd:x:990:backup"), "+ missing", "= a group of somebody else's, stays"),
            (Some(ours), Some(group), "= present, without login", "- present, wanted gone"),
            (Some(ours), None, "~ without its group", "- present, wanted gone"),
            (Some(theirs), Some(group), "= present, without login", "= was there before homectl, stays"),
            (Some(theirs), None, "blocked", "= was there before homectl, stays"),
            (Some(person), Some(group), "blocked", "= was there before homectl, stays"),
        ];
        for (user, group, present, absent) in table {
            let seen = Seen::Account { user: user.map(str::to_owned), group: group.map(str::to_owned) };
            for (want, expected) in [(true, present), (false, absent)] {
                let said = match (Account { name: "etcd".into(), present: want }).diff(&seen) {
                    Verdict::Settled(why) => format!("= {why}"),
                    Verdict::Change(c) => format!("{} {}", c.act.glyph(), c.why),
                    _ => "blocked".into(),
                };
                assert_eq!(said, expected, "{user:?} {group:?}");
            }
        }
    }
}
