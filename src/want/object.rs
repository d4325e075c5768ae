//! An object in the Kubernetes API, applied server-side by the field manager `homectl`.
//!
//! The truth about what applying would change is the API server's own dry run ([`Seen::Applied`]); the comparison here
//! is only allowed to say *settled* where that is certain, so that a settled object costs no request of its own.

mod certificate;
mod dropped;
mod quantity;
mod show;
mod subset;
mod taints;

use super::file::unified;
use super::{Act, Change, Impact, Run, Seen, Verdict, Want};
use serde_json::Value;
use std::fmt;

pub use certificate::Certificate;
pub use taints::{TAINTS, node_patch};

/// Namespaces that come with the API and never go.
pub const BUILTIN_NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// One object of an add-on.
#[derive(Clone, PartialEq)]
pub struct Object {
    /// The add-on it belongs to.
    pub addon: String,
    pub api_version: String,
    pub kind: String,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    pub name: String,
    /// The whole manifest, our labels included.
    pub manifest: Value,
    /// `false`: wanted gone.
    pub present: bool,
    /// For a Secret with a serving certificate in it: how to judge the live one. The cluster renews its own.
    pub certificate: Option<Certificate>,
}

/// Without the manifest: it may hold secrets.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({}, present: {})", self.addr(), self.present)
    }
}

/// For people: `Deployment kube-system/coredns`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.namespace.is_empty() { String::new() } else { format!("{}/", self.namespace) };
        write!(f, "{} {place}{}", self.kind, self.name)
    }
}

impl Object {
    /// Stable address: `object:apps/v1:Deployment:kube-system/coredns`.
    #[must_use]
    pub fn addr(&self) -> String {
        let place = if self.namespace.is_empty() { String::new() } else { format!("{}/", self.namespace) };
        format!("object:{}:{}:{place}{}", self.api_version, self.kind, self.name)
    }

    /// Whether the live object may differ from this one in a field that matters: `true` asks for a dry run,
    /// `false` is certain.
    #[must_use]
    pub fn suspects(&self, live: &Value) -> bool {
        !self.differences(live).is_empty()
    }

    /// The manifest as YAML that may be shown: contents of Secrets as digests.
    #[must_use]
    pub fn yaml(&self) -> String {
        show::yaml(&self.manifest)
    }

    /// Whether the API holds this object by somebody else's hand. What comes with the API, and a node's own object, are
    /// nobody's.
    #[must_use]
    pub fn is_foreign(&self, seen: &Seen) -> bool {
        let (Seen::Object(Some(live)) | Seen::Applied { live, .. }) = seen else { return false };
        let builtin = self.kind == "Node" || (self.kind == "Namespace" && BUILTIN_NAMESPACES.contains(&self.name.as_str()));
        !builtin && !dropped::is_ours(live)
    }

    /// The manifest as lines of YAML that may be shown: contents of Secrets as digests.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        unified("", &show::yaml(&self.manifest))
    }

    /// Reset ends the whole API, and a node's own object is its kubelet's.
    pub(super) fn absent(&self) -> Option<Want> {
        (self.kind != "Node").then(|| Want::Object(Self { present: false, ..self.clone() }))
    }

    pub(super) fn diff(&self, seen: &Seen) -> Verdict {
        if self.present { self.diff_present(seen) } else { self.diff_absent(seen) }
    }

    fn diff_present(&self, seen: &Seen) -> Verdict {
        match seen {
            Seen::NoApi(why) => {
                let change = self.change(Act::Create, "applied once the API is up").lines(self.lines());
                Verdict::Deferred { why: why.clone(), change }
            }
            Seen::Object(None) if self.kind == "Node" => {
                let change = self.change(Act::Update, "labels and taints").lines(self.lines());
                Verdict::Deferred { why: "the node registers itself once its kubelet runs".into(), change }
            }
            Seen::Object(None) => Verdict::Change(self.change(Act::Create, "missing").lines(self.lines())),
            Seen::Same => Verdict::Settled("every field as wanted, its certificate valid".into()),
            Seen::Object(Some(live)) | Seen::Applied { live, .. } if !live["metadata"]["deletionTimestamp"].is_null() => {
                Verdict::Blocked { why: format!("{self} is being deleted"), help: show::finalizers(live) }
            }
            Seen::Object(Some(live)) => {
                let lines = self.differences(live);
                if lines.is_empty() {
                    return Verdict::Settled("every field as wanted".into());
                }
                Verdict::Change(self.change(Act::Update, self.why_update(live)).lines(lines))
            }
            Seen::Applied { live, after } => {
                let lines = unified(&show::yaml(live), &show::yaml(after));
                if lines.is_empty() {
                    return Verdict::Settled("the API says that applying it changes nothing".into());
                }
                Verdict::Change(self.change(Act::Update, self.why_update(live)).lines(lines))
            }
            Seen::Refused(why) => Verdict::Blocked {
                why: format!("the API would refuse {self}: {why}"),
                help: "mend the manifest; where the API says that a field is immutable, delete the object by hand once: homectl never \
                       deletes in order to change"
                    .into(),
            },
            other => Verdict::unseen(format!("unexpected observation {other:?}")),
        }
    }

    fn diff_absent(&self, seen: &Seen) -> Verdict {
        match seen {
            Seen::NoApi(why) => Verdict::Settled(why.clone()),
            Seen::Object(None) => Verdict::Settled("absent".into()),
            Seen::Object(Some(_)) | Seen::Applied { .. } => {
                let impact = match self.kind.as_str() {
                    "Namespace" | "CustomResourceDefinition" | "PersistentVolume" | "PersistentVolumeClaim" => Impact::Irreversible,
                    _ => Impact::Disruptive,
                };
                Verdict::Change(self.change(Act::Delete, "no longer in the inventory").impact(impact))
            }
            other => Verdict::unseen(format!("unexpected observation {other:?}")),
        }
    }

    fn differences(&self, live: &Value) -> Vec<String> {
        let mut lines: Vec<String> = subset::differences(&self.manifest, live).into_iter().map(|d| show::line(&self.kind, &d)).collect();
        lines.extend(dropped::paths(&self.manifest, live).into_iter().map(|path| format!("{path}: dropped")));
        lines.extend(taints::differences(&self.manifest, live));
        lines
    }

    fn why_update(&self, live: &Value) -> &'static str {
        if self.kind == "Node" {
            "labels or taints differ"
        } else if dropped::is_ours(live) {
            "fields differ"
        } else {
            "exists, but not by homectl: taken over"
        }
    }

    fn change(&self, act: Act, why: &str) -> Change {
        Change::new(act, why, Run::Api(Box::new(self.clone()), self.present))
    }
}

/// Whether homectl applied this live object (a controller's copy of one of ours has our labels, but not our hand).
#[must_use]
pub fn is_ours(live: &Value) -> bool {
    dropped::is_ours(live)
}

#[cfg(test)]
mod tests;
