//! A regular file: content, mode and owner. Lands whole (temporary in the same directory, mode and owner first,
//! fsync, rename, fsync of the directory), never through a link.

use super::sealed::{Judged, NEVER, Sealed};
use super::seen::{Inode, InodeKind};
use super::{Act, Change, Lines, NOT_COMPARED, Notify, Run, Seen, Verdict, Want, quote};
use crate::pki::Ca;
use crate::secrets::SecretText;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Where files of units lie.
const UNITS: &str = "/etc/systemd/system/";

/// What is in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Shown in diffs.
    Text(String),
    /// Never shown; compared by digest.
    Secret(SecretText),
    /// Made from secrets that are not at hand.
    Sealed(Sealed),
}

impl Body {
    /// Lower-case hex sha256, where it is known.
    #[must_use]
    pub fn sha256(&self) -> Option<String> {
        match self {
            Self::Text(t) => Some(sha256(t)),
            Self::Secret(s) => Some(s.sha256()),
            Self::Sealed(_) => None,
        }
    }
}

/// A regular file at an absolute path without white space.
#[derive(Debug, Clone)]
pub struct File {
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// `user:group`.
    pub owner: String,
    /// `None`: wanted gone.
    pub body: Option<Body>,
    pub notify: Vec<Notify>,
    /// Written only when there is none; what is there stays as it is.
    pub seed: bool,
    /// The authority whose certificate it is.
    pub certifies: Option<Ca>,
}

impl File {
    /// A text file, root:root 0644.
    #[must_use]
    pub fn text(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self::with(path.into(), 0o644, Body::Text(text.into()))
    }

    /// A secret file, root:root 0600.
    #[must_use]
    pub fn secret(path: impl Into<String>, text: SecretText) -> Self {
        Self::with(path.into(), 0o600, Body::Secret(text))
    }

    fn with(path: String, mode: u32, body: Body) -> Self {
        Self { path, mode, owner: "root:root".into(), body: Some(body), notify: Vec::new(), seed: false, certifies: None }
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

    /// Restarts `unit` when it changes.
    #[must_use]
    pub fn restarts(mut self, unit: impl Into<String>) -> Self {
        self.notify.push(Notify { unit: unit.into(), reload: false });
        self
    }

    /// Reloads `unit` when it changes.
    #[must_use]
    pub fn reloads(mut self, unit: impl Into<String>) -> Self {
        self.notify.push(Notify { unit: unit.into(), reload: true });
        self
    }

    /// Written only when there is none.
    #[must_use]
    pub fn seed(mut self) -> Self {
        self.seed = true;
        self
    }

    /// The certificate of this authority.
    #[must_use]
    pub fn certifies(mut self, ca: Ca) -> Self {
        self.certifies = Some(ca);
        self
    }

    pub(super) fn addr(&self) -> String {
        format!("file:{}", self.path)
    }

    pub(super) fn absent(&self) -> Want {
        Want::File(Self { body: None, notify: Vec::new(), seed: false, ..self.clone() })
    }

    pub(super) fn diff(&self, seen: &Seen) -> Verdict {
        let Some(body) = &self.body else { return gone(&self.path, seen, "rm -f --") };
        match seen {
            Seen::Same if matches!(body, Body::Sealed(_)) => Verdict::Settled(format!("same mode and owner; {NOT_COMPARED}")),
            Seen::Same => Verdict::Settled("same digest".into()),
            Seen::Absent => {
                let lines = match body {
                    Body::Text(t) => Lines::added(t),
                    Body::Secret(s) => vec![secret_line(None, s)].into(),
                    Body::Sealed(sealed) => sealed.lines().into(),
                };
                Verdict::Change(self.change(body, Act::Create, "missing".into(), lines))
            }
            Seen::Inode(inode) => self.compare(body, inode),
            other => Verdict::unseen(format!("unexpected observation {other:?}")),
        }
    }

    fn compare(&self, body: &Body, inode: &Inode) -> Verdict {
        if self.masked(inode) {
            let rest = self.change(body, Act::Update, String::new(), Lines::default());
            let Run::Script(write) = &rest.run else { return Verdict::Change(rest) };
            let p = quote(&self.path);
            let script = format!("[ \"$(readlink {p})\" != /dev/null ] || rm -f {p}\n{}", write.as_str());
            return Verdict::Change(Change::script(Act::Update, "masked: a link to /dev/null", script));
        }
        if inode.kind != InodeKind::File {
            return Verdict::Blocked {
                why: format!("{} is {}, wanted a regular file", self.path, describe(&inode.kind)),
                help: format!("move it away by hand if it is not needed: homectl never replaces it (ls -ld {})", self.path),
            };
        }
        let mut why = ownership(inode, self.mode, &self.owner);
        match self.content(body, inode) {
            Ok(said) if why.is_empty() => Verdict::Settled(said),
            Ok(_) => {
                let script = set_ownership(&self.path, self.mode, &self.owner);
                Verdict::Change(Change::script(Act::Update, why.join(", "), script).unheard())
            }
            Err((differs, lines)) => {
                why.push(differs);
                Verdict::Change(self.change(body, Act::Update, why.join(", "), lines))
            }
        }
    }

    /// Whether what is in it is as wanted.
    fn content(&self, body: &Body, inode: &Inode) -> Judged {
        let differs = |lines| Err(("content differs".to_owned(), lines));
        match (body, &inode.text) {
            _ if self.seed => Ok("present".into()),
            (Body::Sealed(sealed), text) => sealed.judge(text.as_deref().unwrap_or_default()),
            _ if inode.sha256 == body.sha256() => Ok("same content, mode and owner".into()),
            (Body::Text(new), Some(old)) => differs(unified(old, new)),
            (Body::Text(new), None) => differs(vec![secret_line(inode.sha256.as_deref(), &SecretText::new(new.clone()))]),
            (Body::Secret(new), _) => differs(vec![secret_line(inode.sha256.as_deref(), new)]),
        }
    }

    /// The name of the unit, where this is a unit's file.
    fn unit(&self) -> Option<&str> {
        self.path.strip_prefix(UNITS)
    }

    /// A unit's file that systemd calls masked: there is nothing in its place that somebody would miss.
    fn masked(&self, inode: &Inode) -> bool {
        self.unit().is_some() && inode.kind == InodeKind::Link("/dev/null".into())
    }

    fn change(&self, body: &Body, act: Act, why: String, lines: impl Into<Lines>) -> Change {
        let bytes = match body {
            Body::Text(text) => text.as_bytes(),
            Body::Secret(secret) => secret.expose().as_bytes(),
            Body::Sealed(_) => return Change::script(act, why, NEVER).lines(lines),
        };
        let mut script = write_script(&self.path, self.mode, &self.owner, bytes);
        // Who is told of it has systemd read it; of others' files nobody else would.
        if let Some(unit) = self.unit().filter(|_| self.notify.is_empty()) {
            let _ = writeln!(script, "unit_fresh {}", quote(unit));
        }
        Change::script(act, why, script).lines(lines)
    }
}

/// The script that lands `bytes` at `path`. The functions `put` is in the engine's prelude.
pub(super) fn write_script(path: &str, mode: u32, owner: &str, bytes: &[u8]) -> String {
    let encoded = data_encoding::BASE64.encode(bytes);
    format!("put {} {mode:04o} {} <<'@homectl'\n{encoded}\n@homectl\n", quote(path), quote(owner))
}

/// The script that sets mode and owner without touching content, never through a link.
pub(super) fn set_ownership(path: &str, mode: u32, owner: &str) -> String {
    let p = quote(path);
    format!("[ ! -L {p} ] && chown -h {} {p} && chmod {mode:04o} {p}\n", quote(owner))
}

/// What is wrong with mode and owner.
pub(super) fn ownership(inode: &Inode, mode: u32, owner: &str) -> Vec<String> {
    let mut why = Vec::new();
    if inode.mode != mode {
        why.push(format!("mode {:04o}, wanted {mode:04o}", inode.mode));
    }
    if inode.owner != owner {
        why.push(format!("owner {}, wanted {owner}", inode.owner));
    }
    why
}

/// The verdict on a path that should not be there.
pub(super) fn gone(path: &str, seen: &Seen, remove: &str) -> Verdict {
    match seen {
        Seen::Absent | Seen::Same => Verdict::Settled("absent".into()),
        Seen::Inode(_) | Seen::Leaf { .. } => {
            Verdict::Change(Change::script(Act::Delete, "present, wanted gone", format!("{remove} {}\n", quote(path))))
        }
        other => Verdict::unseen(format!("unexpected observation {other:?}")),
    }
}

/// An entry's kind for messages.
pub(super) fn describe(kind: &InodeKind) -> String {
    match kind {
        InodeKind::File => "a regular file".into(),
        InodeKind::Dir => "a directory".into(),
        InodeKind::Link(to) => format!("a link to {to}"),
        InodeKind::Other => "a device, FIFO or socket".into(),
    }
}

/// A unified diff with three lines of context.
pub(super) fn unified(old: &str, new: &str) -> Vec<String> {
    let diff = similar::TextDiff::from_lines(old, new);
    let text = diff.unified_diff().context_radius(3).to_string();
    text.lines().map(str::to_owned).collect()
}

/// Lower-case hex.
pub(super) fn sha256(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

fn secret_line(old: Option<&str>, new: &SecretText) -> String {
    let mut line = String::from("secret content");
    if let Some(old) = old {
        let _ = write!(line, ", sha256 {}…", old.get(..12).unwrap_or(old));
    }
    let _ = write!(line, " → sha256 {}…", &new.sha256()[..12]);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(mode: u32, owner: &str, text: &str) -> Seen {
        Seen::Inode(Inode {
            kind: InodeKind::File,
            mode,
            owner: owner.into(),
            sha256: Body::Text(text.into()).sha256(),
            text: Some(text.into()),
        })
    }

    fn why(v: &Verdict) -> String {
        match v {
            Verdict::Settled(w) => format!("settled: {w}"),
            Verdict::Change(c) => format!("{} {}", c.act.glyph(), c.why),
            Verdict::Deferred { why, .. } => format!("deferred: {why}"),
            Verdict::Blocked { why, .. } => format!("blocked: {why}"),
        }
    }

    #[test]
    fn table() {
        let want = File::text("/etc/x", "a\nb\n");
        let table = [
            (Seen::Same, "settled: same digest"),
            (Seen::Absent, "+ missing"),
            (seen(0o644, "root:root", "a\nb\n"), "settled: same content, mode and owner"),
            (seen(0o600, "root:root", "a\nb\n"), "~ mode 0600, wanted 0644"),
            (seen(0o644, "pi:pi", "a\nc\n"), "~ owner pi:pi, wanted root:root, content differs"),
        ];
        for (seen, expected) in table {
            assert_eq!(why(&want.diff(&seen)), expected);
        }
    }

    fn link(to: &str) -> Seen {
        Seen::Inode(Inode { kind: InodeKind::Link(to.into()), mode: 0o777, owner: "root:root".into(), sha256: None, text: None })
    }

    #[test]
    fn a_link_in_its_place_blocks_unless_it_is_how_systemd_masks() {
        assert!(why(&File::text("/etc/x", "a").diff(&link("/etc/shadow"))).starts_with("blocked: /etc/x is a link to /etc/shadow"));
        assert!(why(&File::text("/etc/x", "a").diff(&link("/dev/null"))).starts_with("blocked"));
        let unit = File::text("/etc/systemd/system/x.service", "a");
        assert!(why(&unit.diff(&link("/usr/lib/systemd/system/x.service"))).starts_with("blocked"));
        assert_eq!(why(&unit.diff(&link("/dev/null"))), "~ masked: a link to /dev/null");
    }

    fn script(file: &File, seen: &Seen) -> (String, bool) {
        let Verdict::Change(Change { run: Run::Script(script), heard, .. }) = file.diff(seen) else { panic!("a script") };
        (script.as_str().to_owned(), heard)
    }

    #[test]
    fn systemd_reads_a_units_file_again_also_where_nobody_restarts() {
        let file = File::text("/etc/systemd/system/x.service", "a");
        assert!(script(&file, &Seen::Absent).0.ends_with("unit_fresh x.service\n"));
        assert!(!script(&file.restarts("x.service"), &Seen::Absent).0.contains("unit_fresh"));
        assert!(!script(&File::text("/etc/x", "a"), &Seen::Absent).0.contains("unit_fresh"));
    }

    #[test]
    fn mode_and_owner_are_nobodys_news() {
        let file = File::text("/etc/x", "a").restarts("x.service");
        assert!(!script(&file, &seen(0o600, "root:root", "a")).1);
        assert!(script(&file, &seen(0o600, "root:root", "b")).1);
    }

    #[test]
    fn secrets_are_not_in_the_lines() {
        let want = File::secret("/etc/key", SecretText::new("top-secret-key".into()));
        let Verdict::Change(change) = want.diff(&Seen::Absent) else { panic!("a change") };
        assert!(!format!("{change:?}").contains("top-secret"));
        assert!(!change.lines.join("\n").contains("top-secret"));
    }
}
