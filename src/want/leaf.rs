//! A leaf certificate on a node, judged by meaning (issuer, names, usage, days left), not by bytes: the node renews
//! its own. The key beside it is a secret `File`; renewal keeps the key.

use super::file::{Body, describe, gone, ownership, set_ownership, write_script};
use super::seen::InodeKind;
use super::{Act, Change, Notify, Seen, Verdict, Want};
use crate::pki::{LeafSpec, judge, same_key};
use crate::secrets::SecretText;

/// What the certificate is wrapped in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeafForm {
    /// A PEM file.
    Pem,
    /// A kubeconfig with `client-certificate-data` on a line of its own.
    Kubeconfig,
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
    /// PEM of the CA that must have signed it.
    pub ca: String,
    /// The whole file as made on the operator's side; `None`: wanted gone.
    pub body: Option<SecretText>,
    /// Unix seconds at planning.
    pub now: i64,
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
        Want::Leaf(Self { body: None, notify: Vec::new(), ..self.clone() })
    }

    pub(super) fn diff(&self, seen: &Seen) -> Verdict {
        let Some(body) = &self.body else { return gone(&self.path, seen, "rm -f --") };
        let (act, why) = match seen {
            Seen::Absent => (Act::Create, vec!["missing".to_owned()]),
            Seen::Leaf { inode, .. } if inode.kind != InodeKind::File => {
                return Verdict::Blocked {
                    why: format!("{} is {}, wanted a regular file", self.path, describe(&inode.kind)),
                    help: "move it away by hand if it is not needed".into(),
                };
            }
            Seen::Leaf { inode, pem } => {
                let mode = ownership(inode, self.mode, &self.owner);
                let mut why = mode.clone();
                if self.form == LeafForm::Kubeconfig && inode.sha256.as_ref().is_some_and(|sum| *sum != rest_sum(body.expose())) {
                    why.push("other lines than the certificate differ".to_owned());
                }
                // The key beside it is (or will be) ours: a certificate of another would not fit it.
                let same = certificate_of(&self.form, body.expose()).is_some_and(|ours| same_key(&ours, pem));
                match judge(&self.spec, &self.ca, pem, self.now) {
                    Ok(_) if !same => why.push("of another key".to_owned()),
                    Ok(said) if why.is_empty() => return Verdict::Settled(said),
                    // The node may have renewed it: what it says stays.
                    Ok(_) if why == mode => {
                        let script = set_ownership(&self.path, self.mode, &self.owner);
                        return Verdict::Change(Change::script(Act::Update, why.join(", "), script).unheard());
                    }
                    Ok(_) => {}
                    Err(reason) => why.push(reason),
                }
                (Act::Update, why)
            }
            other => return Verdict::unseen(format!("unexpected observation {other:?}")),
        };
        let script = write_script(&self.path, self.mode, &self.owner, body.expose().as_bytes());
        Verdict::Change(Change::script(act, why.join(", "), script).lines(vec![self.spec.describe()]))
    }
}

/// The marker of the one line of a kubeconfig that renewal changes.
const CERTIFICATE_DATA: &str = "client-certificate-data:";

/// sha256 of a kubeconfig without its certificate line, as the look computes it.
fn rest_sum(text: &str) -> String {
    let rest: String = text.lines().filter(|l| !l.trim_start_matches(' ').starts_with(CERTIFICATE_DATA)).flat_map(|l| [l, "\n"]).collect();
    Body::Text(rest).sha256()
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
    use crate::want::seen::Inode;

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
            ca: ca.cert.clone(),
            body: Some(SecretText::new(ours.cert.clone())),
            now: NOW,
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
            want(&ca, &ours).diff(&Seen::Leaf { inode, pem: pem.cert.clone() })
        };
        assert!(matches!(seen(&ours), Verdict::Settled(_)));
        assert!(matches!(seen(&renewed), Verdict::Settled(_)));
        let Verdict::Change(change) = seen(&other) else { panic!("a change") };
        assert_eq!(change.why, "of another key");
    }

    #[test]
    fn a_mode_put_right_leaves_what_the_node_renewed() {
        let ca = make_authority("kubernetes", NOW).unwrap();
        let ours = issue(&ca, &spec(), NOW).unwrap();
        let renewed = reissue(&ca, &spec(), &ours.key, NOW - 60).unwrap();
        let inode = Inode { kind: InodeKind::File, mode: 0o600, owner: "root:root".into(), sha256: None, text: None };
        let Verdict::Change(change) = want(&ca, &ours).diff(&Seen::Leaf { inode, pem: renewed.cert }) else { panic!("a change") };
        assert_eq!((change.why.as_str(), change.heard), ("mode 0600, wanted 0644", false));
        let crate::want::Run::Script(script) = change.run else { panic!("a script") };
        assert!(!script.as_str().contains("put "), "{}", script.as_str());
    }
}
