//! A leaf certificate on a node, judged by meaning (issuer, names, usage, days left), not by bytes: the node renews
//! its own. The key beside it is a secret `File`; renewal keeps the key.

use super::file::{describe, gone, ownership, set_ownership, sha256, write_script};
use super::sealed::{NEVER, NOT_COMPARED};
use super::seen::{Inode, InodeKind};
use super::{Act, Change, Notify, Seen, Verdict, Want};
use crate::pki::{BACKDATE, LeafSpec, begins, has_ended, is_certificate, judge, judge_alone, same_key};
use crate::secrets::SecretText;

/// What the certificate is wrapped in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeafForm {
    /// A PEM file.
    Pem,
    /// A kubeconfig with `client-certificate-data` on a line of its own.
    Kubeconfig,
}

/// What a leaf is judged by, besides what it must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// PEM of the CA that must have signed it, and the whole file as made on the operator's side.
    Ours { ca: String, file: SecretText },
    /// The CA that lies on the machine: the secrets are not at hand.
    Machine,
}

/// A leaf certificate.
#[derive(Debug, Clone)]
pub struct Leaf {
    pub path: String,
    pub form: LeafForm,
    /// Permission bits.
    pub mode: u32,
    /// `user:group`.
    pub owner: String,
    /// What it must say.
    pub spec: LeafSpec,
    /// Where the certificate of its CA lies on the machine.
    pub ca_path: String,
    /// `None`: wanted gone.
    pub measure: Option<Measure>,
    /// Unix seconds at planning.
    pub now: i64,
    /// Renewed where it was made before this, in Unix seconds, however much of its life is left.
    pub since: Option<i64>,
    pub notify: Vec<Notify>,
}

impl Leaf {
    /// Restarts `unit` when it changes.
    #[must_use]
    pub fn restarts(mut self, unit: impl Into<String>) -> Self {
        self.notify.push(Notify { unit: unit.into(), reload: false });
        self
    }

    pub(super) fn addr(&self) -> String {
        format!("certificate:{}", self.path)
    }

    pub(super) fn absent(&self) -> Want {
        Want::Leaf(Self { measure: None, notify: Vec::new(), ..self.clone() })
    }

    /// The whole file as made on the operator's side, where that is known.
    #[must_use]
    pub fn file(&self) -> Option<&SecretText> {
        match &self.measure {
            Some(Measure::Ours { file, .. }) => Some(file),
            Some(Measure::Machine) | None => None,
        }
    }

    pub(super) fn diff(&self, seen: &Seen) -> Verdict {
        let Some(measure) = &self.measure else { return gone(&self.path, seen, "rm -f --") };
        let (act, why, dead) = match seen {
            Seen::Absent => (Act::Create, vec!["missing".to_owned()], false),
            Seen::Leaf { inode, .. } if inode.kind != InodeKind::File => {
                return Verdict::Blocked {
                    why: format!("{} is {}, wanted a regular file", self.path, describe(&inode.kind)),
                    help: "move it away by hand if it is not needed".into(),
                };
            }
            Seen::Leaf { inode, pem, ca } => {
                let mut why = ownership(inode, self.mode, &self.owner);
                let judged = match measure {
                    Measure::Ours { ca, file } => self.held_against(ca, file.expose(), inode, pem),
                    Measure::Machine => self.alone(ca.as_deref(), pem),
                };
                match judged {
                    Ok(said) if why.is_empty() => return Verdict::Settled(said),
                    // The node may have renewed it: what it says stays.
                    Ok(_) => {
                        let script = set_ownership(&self.path, self.mode, &self.owner);
                        return Verdict::Change(Change::script(Act::Update, why.join(", "), script).unheard());
                    }
                    Err(reasons) => why.extend(reasons),
                }
                // Nobody accepts what a server shows any more.
                (Act::Update, why, self.spec.usage.server() && has_ended(pem, self.now))
            }
            other => return Verdict::unseen(format!("unexpected observation {other:?}")),
        };
        let script = match measure {
            Measure::Ours { file, .. } => write_script(&self.path, self.mode, &self.owner, file.expose().as_bytes()),
            Measure::Machine => NEVER.to_owned(),
        };
        Verdict::Change(Change::script(act, why.join(", "), script).lines(vec![self.spec.describe()]).mends(dead))
    }

    /// Why it is settled, or all that is wrong with it.
    fn held_against(&self, ca: &str, file: &str, inode: &Inode, pem: &str) -> Result<String, Vec<String>> {
        let mut wrong = Vec::new();
        if self.form == LeafForm::Kubeconfig && inode.sha256.as_ref().is_some_and(|sum| *sum != rest_sum(file)) {
            wrong.push("other lines than the certificate differ".to_owned());
        }
        // The key beside it is (or will be) ours: a certificate of another would not fit it.
        let same = certificate_of(&self.form, file).is_some_and(|ours| same_key(&ours, pem));
        match judge(&self.spec, ca, pem, self.now) {
            Ok(_) if !same => wrong.push("of another key".to_owned()),
            Ok(_) if self.since.is_some_and(|since| begins(pem).is_none_or(|at| at + BACKDATE < since)) => {
                wrong.push("renewed, as all are".to_owned());
            }
            Ok(said) if wrong.is_empty() => return Ok(said),
            Ok(_) => {}
            Err(reason) => wrong.push(reason),
        }
        Err(wrong)
    }

    /// The same without anything of ours: by what it says, and by the CA on the machine, where that is one.
    fn alone(&self, ca: Option<&str>, pem: &str) -> Result<String, Vec<String>> {
        let judged = match ca.filter(|ca| is_certificate(ca)) {
            Some(ca) => judge(&self.spec, ca, pem, self.now).map(|said| format!("{said}, signed by the {} on the machine", self.spec.ca)),
            None => judge_alone(&self.spec, pem, self.now),
        };
        judged.map(|said| format!("{said}; {NOT_COMPARED}")).map_err(|why| vec![why])
    }
}

/// The marker of the one line of a kubeconfig that renewal changes.
const CERTIFICATE_DATA: &str = "client-certificate-data:";

/// sha256 of a kubeconfig without its certificate line, as the look computes it.
fn rest_sum(text: &str) -> String {
    let rest: String = text.lines().filter(|l| !l.trim_start_matches(' ').starts_with(CERTIFICATE_DATA)).flat_map(|l| [l, "\n"]).collect();
    sha256(&rest)
}

/// The certificate's PEM in a file of this form.
pub(super) fn certificate_of(form: &LeafForm, text: &str) -> Option<String> {
    match form {
        LeafForm::Pem => Some(text.to_owned()),
        LeafForm::Kubeconfig => {
            let data = text.lines().find_map(|l| l.trim_start().strip_prefix(CERTIFICATE_DATA))?;
            String::from_utf8(data_encoding::BASE64.decode(data.trim().as_bytes()).ok()?).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::fixture::NOW;
    use crate::pki::{Authority, Ca, Pair, Usage, issue, make_authority, reissue};

    fn spec() -> LeafSpec {
        let (common_name, organizations, dns, ips) = ("system:x".into(), Vec::new(), Vec::new(), Vec::new());
        LeafSpec { ca: Ca::Cluster, common_name, organizations, dns, ips, usage: Usage::Client }
    }

    fn want(ca: &Authority, ours: &Pair) -> Leaf {
        Leaf {
            path: "/etc/kubernetes/pki/x.crt".into(),
            form: LeafForm::Pem,
            mode: 0o644,
            owner: "root:root".into(),
            spec: spec(),
            ca_path: "/etc/kubernetes/pki/ca.crt".into(),
            measure: Some(Measure::Ours { ca: ca.cert.clone(), file: SecretText::new(ours.cert.clone()) }),
            now: NOW,
            since: None,
            notify: Vec::new(),
        }
    }

    #[test]
    fn a_renewed_certificate_settles_it_and_one_of_another_key_does_not() {
        let ca = make_authority("kubernetes", NOW).unwrap();
        let ours = issue(&ca, &spec(), NOW).unwrap();
        let renewed = reissue(&ca, &spec(), &ours.key, NOW - 60).unwrap();
        let other = issue(&ca, &spec(), NOW).unwrap();
        let seen = |pem: &Pair| {
            let inode = Inode { kind: InodeKind::File, mode: 0o644, owner: "root:root".into(), sha256: None, text: None };
            want(&ca, &ours).diff(&Seen::Leaf { inode, pem: pem.cert.clone(), ca: None })
        };
        assert!(matches!(seen(&ours), Verdict::Settled(_)));
        assert!(matches!(seen(&renewed), Verdict::Settled(_)));
        let Verdict::Change(change) = seen(&other) else { panic!("a change") };
        assert_eq!(change.why, "of another key");
    }

    #[test]
    fn all_are_renewed_but_what_just_was() {
        let ca = make_authority("kubernetes", NOW - 86_400 * 800).unwrap();
        let judged = |made: i64, since: Option<i64>| {
            let there = issue(&ca, &spec(), made).unwrap();
            let ours = reissue(&ca, &spec(), &there.key, NOW).unwrap();
            let inode = Inode { kind: InodeKind::File, mode: 0o644, owner: "root:root".into(), sha256: None, text: None };
            let wanted = Leaf { since, ..want(&ca, &ours) };
            match wanted.diff(&Seen::Leaf { inode, pem: there.cert, ca: None }) {
                Verdict::Change(change) => (change.why, change.mends),
                _ => ("settled".into(), false),
            }
        };
        assert_eq!(judged(NOW - 7200, None), ("settled".into(), false));
        assert_eq!(judged(NOW - 7200, Some(NOW - 3600)), ("renewed, as all are".into(), false));
        assert_eq!(judged(NOW - 1800, Some(NOW - 3600)), ("settled".into(), false));
        // A client's that ran out takes nobody's service away.
        assert_eq!(judged(NOW - 86_400 * 400, None), ("expired 35 days ago".into(), false));
    }

    #[test]
    fn what_nobody_accepts_any_more_is_told_apart() {
        let ca = make_authority("kubernetes", NOW - 86_400 * 800).unwrap();
        let spec = LeafSpec { usage: Usage::Server, ..spec() };
        let mends = |made: i64| {
            let there = issue(&ca, &spec, made).unwrap();
            let ours = reissue(&ca, &spec, &there.key, NOW).unwrap();
            let inode = Inode { kind: InodeKind::File, mode: 0o644, owner: "root:root".into(), sha256: None, text: None };
            let wanted = Leaf { spec: spec.clone(), ..want(&ca, &ours) };
            let Verdict::Change(change) = wanted.diff(&Seen::Leaf { inode, pem: there.cert, ca: None }) else { panic!("a change") };
            change.mends
        };
        assert!(mends(NOW - 86_400 * 366) && !mends(NOW - 86_400 * 300));
    }

    #[test]
    fn a_mode_put_right_leaves_what_the_node_renewed() {
        let ca = make_authority("kubernetes", NOW).unwrap();
        let ours = issue(&ca, &spec(), NOW).unwrap();
        let renewed = reissue(&ca, &spec(), &ours.key, NOW - 60).unwrap();
        let inode = Inode { kind: InodeKind::File, mode: 0o600, owner: "root:root".into(), sha256: None, text: None };
        let Verdict::Change(change) = want(&ca, &ours).diff(&Seen::Leaf { inode, pem: renewed.cert, ca: None }) else { panic!("a change") };
        assert_eq!((change.why.as_str(), change.heard), ("mode 0600, wanted 0644", false));
        let crate::want::Run::Script(script) = change.run else { panic!("a script") };
        assert!(!script.as_str().contains("put "), "{}", script.as_str());
    }
}
