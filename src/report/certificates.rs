//! `homectl certs`: every certificate with the days it has left, as a table, as JSON, and which of them need somebody.

use super::json::FORMAT;
use super::section::{ending, section, unknown_json};
use super::style::{Paint, clean};
use serde_json::{Value, json};
use std::fmt;

const DAY: i64 = 86_400;
/// Days from which on somebody has to act where nobody renews.
const LAST: i64 = 10;
/// Days from which on that is mentioned.
const SOON: i64 = 30;

/// Who renews a certificate. Earlier ones are better.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Renewal {
    /// The timer on its machine, or on the control planes.
    Timer,
    Kubelet,
    /// homectl, whenever it opens the secrets.
    Homectl,
    /// Why, where somebody should.
    Nobody(String),
}

impl fmt::Display for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timer => f.write_str("its machine"),
            Self::Kubelet => f.write_str("kubelet"),
            Self::Homectl => f.write_str("homectl"),
            Self::Nobody(why) if why.is_empty() => f.write_str("nobody"),
            Self::Nobody(why) => write!(f, "nobody: {}", clean(why)),
        }
    }
}

/// One certificate in one place.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// A node's name, `API`, or `operator`.
    pub node: String,
    pub path: String,
    pub subject: String,
    pub issuer: String,
    /// Whether it may sign others.
    pub authority: bool,
    /// Unix seconds.
    pub begins: i64,
    /// Unix seconds.
    pub ends: i64,
    /// Seconds, by its machine's clock; negative once it has run out.
    pub left: i64,
    pub renewal: Renewal,
}

impl Certificate {
    /// Whole days; negative once it has run out.
    #[must_use]
    pub fn days(&self) -> i64 {
        self.left.div_euclid(DAY)
    }

    /// The day it ends, in UTC.
    #[must_use]
    pub fn day(&self) -> String {
        moment(self.ends).chars().take(10).collect()
    }

    /// Whether it has run out.
    #[must_use]
    pub fn expired(&self) -> bool {
        self.left <= 0
    }

    /// Whether somebody has to act: it has run out, or will within ten days and nobody renews it, or less than a tenth of its life
    /// is left though somebody should have renewed it.
    #[must_use]
    pub fn is_due(&self) -> bool {
        match self.renewal {
            _ if self.expired() => true,
            Renewal::Nobody(_) => self.left < LAST * DAY,
            _ => self.left.saturating_mul(10) < self.ends - self.begins,
        }
    }

    /// What to warn of, if anything: `attic: /etc/…/apiserver.crt ends in 3 days and nobody renews it`.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let what = format!("{}: {}", self.node, self.path);
        let why = match &self.renewal {
            Renewal::Nobody(why) if why.is_empty() => "nobody renews it".to_owned(),
            Renewal::Nobody(why) => format!("nobody renews it: {}", clean(why)),
            other => format!("{other} should have renewed it by now"),
        };
        match self.days() {
            _ if self.expired() => Some(format!("{what} expired on {}; homectl certs rescue makes it anew", self.day())),
            _ if self.is_due() => Some(format!("{what} ends in {} days and {why}", self.days())),
            days if days < SOON && matches!(self.renewal, Renewal::Nobody(_)) => Some(format!("{what} ends in {days} days and {why}")),
            _ => None,
        }
    }

    /// For people: the days, and how urgent they are.
    pub(super) fn days_told(&self) -> String {
        match self.days() {
            _ if self.expired() => format!("EXPIRED {} ago", -self.days()),
            days if days < SOON => format!("{days} soon"),
            days => days.to_string(),
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "node": self.node, "path": self.path, "subject": self.subject, "issuer": self.issuer, "authority": self.authority,
            "expires": moment(self.ends), "days_left": self.days(), "expired": self.expired(), "renewed_by": self.renewal.to_string(),
            "due": self.is_due(),
        })
    }
}

/// RFC 3339 in UTC.
fn moment(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "never".into(), |at| at.to_string())
}

/// All certificates of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    pub cluster: String,
    pub all: Vec<Certificate>,
    /// What is being replaced, a line each.
    pub under_way: Vec<String>,
    /// What could not be looked at: where, and what was seen.
    pub unknown: Vec<(String, String)>,
}

impl Certificates {
    fn warnings(&self) -> Vec<String> {
        self.under_way.iter().cloned().chain(self.all.iter().filter_map(Certificate::warning)).collect()
    }

    /// Whether nothing needs anybody now, as far as could be seen.
    #[must_use]
    pub fn is_well(&self) -> bool {
        !self.all.iter().any(Certificate::is_due)
    }

    /// For people.
    #[must_use]
    pub fn text(&self, colour: bool) -> String {
        let paint = Paint(colour);
        let mut out = String::new();
        let head = ["node", "days", "ends", "renewed by", "certificate", "subject", "issuer"];
        section(&mut out, paint, &format!("Certificates of {}", self.cluster), &head, self.all.iter().map(row).collect());
        ending(out, paint, self.warnings(), &self.unknown)
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "format": FORMAT,
            "cluster": self.cluster,
            "certificates": self.all.iter().map(Certificate::json).collect::<Vec<_>>(),
            "warnings": self.warnings(),
            "unknown": unknown_json(&self.unknown),
        })
    }
}

fn row(c: &Certificate) -> Vec<String> {
    let said = |text: &str| clean(text).into_owned();
    vec![c.node.clone(), c.days_told(), c.day(), c.renewal.to_string(), c.path.clone(), said(&c.subject), said(&c.issuer)]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A certificate of a year that has so many days left, of which half a day is over.
    pub(crate) fn left(days: i64, renewal: Renewal) -> Certificate {
        let now = 1_795_219_200;
        Certificate {
            node: "attic".into(),
            path: "/etc/kubernetes/pki/apiserver.crt".into(),
            subject: "CN=kube-apiserver".into(),
            issuer: "CN=kubernetes".into(),
            authority: false,
            begins: now + days * DAY + DAY / 2 - 365 * DAY,
            ends: now + days * DAY + DAY / 2,
            left: days * DAY + DAY / 2,
            renewal,
        }
    }

    #[test]
    fn who_has_to_be_told() {
        let nobody = || Renewal::Nobody(String::new());
        for (certificate, due, warned) in [
            (left(300, nobody()), false, false),
            (left(29, nobody()), false, true),
            (left(10, nobody()), false, true),
            (left(9, nobody()), true, true),
            (left(40, Renewal::Timer), false, false),
            (left(35, Renewal::Timer), true, true),
            (left(-1, Renewal::Timer), true, true),
            (left(-1, Renewal::Kubelet), true, true),
        ] {
            assert_eq!((certificate.is_due(), certificate.warning().is_some()), (due, warned), "{certificate:?}");
        }
        assert_eq!(
            left(-3, Renewal::Timer).warning().unwrap(),
            "attic: /etc/kubernetes/pki/apiserver.crt expired on 2026-11-18; homectl certs rescue makes it anew"
        );
        assert_eq!(
            left(9, Renewal::Nobody("the kubelet is failed".into())).warning().unwrap(),
            "attic: /etc/kubernetes/pki/apiserver.crt ends in 9 days and nobody renews it: the kubelet is failed"
        );
    }

    #[test]
    fn a_table_and_json() {
        let unknown = vec![("garage".into(), "no answer\x1b[2J".into())];
        let all = Certificates {
            cluster: "home".into(),
            all: vec![left(300, Renewal::Timer), left(-2, Renewal::Kubelet)],
            unknown,
            ..Certificates::default()
        };
        assert_eq!(
            all.text(false),
            "Certificates of home\n  \
             node   days           ends        renewed by   certificate                        subject            issuer\n  \
             attic  300            2027-09-17  its machine  /etc/kubernetes/pki/apiserver.crt  CN=kube-apiserver  CN=kubernetes\n  \
             attic  EXPIRED 2 ago  2026-11-19  kubelet      /etc/kubernetes/pki/apiserver.crt  CN=kube-apiserver  CN=kubernetes\n\n\
             Warnings\n  \
             attic: /etc/kubernetes/pki/apiserver.crt expired on 2026-11-19; homectl certs rescue makes it anew\n\n\
             Could not be looked at\n  garage  no answer\u{fffd}[2J\n"
        );
        let json = all.json();
        assert_eq!(json["certificates"][0]["expires"], "2027-09-17T12:00:00Z");
        assert_eq!((&json["certificates"][1]["days_left"], &json["certificates"][1]["due"]), (&json!(-2), &json!(true)));
        assert!(!all.is_well());
    }
}
