//! What a backup holds, and what was proven of it.

use super::Reporter;
use super::options::Format;
use crate::backup::{Kept, Manifest, Proof, Sealed};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A backup as the operator sees it.
#[derive(Debug, Clone)]
pub struct BackupReport {
    /// Where it is; at least one.
    pub copies: Vec<Copy>,
    pub manifest: Manifest,
    pub proof: Option<Proof>,
}

/// A backup in one place.
#[derive(Debug, Clone)]
pub struct Copy {
    /// Where it is.
    pub place: String,
    /// Older ones that went there, by name.
    pub removed: Vec<String>,
    /// How many of the cluster are there now, this one counted, where that is known.
    pub there: Option<usize>,
}

impl BackupReport {
    /// One that lies at `place`.
    #[must_use]
    pub fn at(place: impl Into<String>, manifest: Manifest, proof: Option<Proof>) -> Self {
        Self { copies: vec![Copy { place: place.into(), removed: Vec::new(), there: None }], manifest, proof }
    }

    pub(super) fn text(&self) -> String {
        let (m, s) = (&self.manifest, &self.manifest.snapshot);
        let mut text = self.copies.first().map_or_else(String::new, |copy| format!("{}\n", copy.place));
        let _ = writeln!(text, "  cluster {} (Kubernetes {}, etcd {}), {} from {}", m.cluster, m.kubernetes, m.etcd, m.time, m.node);
        let _ = writeln!(text, "  etcd cluster {} at revision {}: {} keys", m.etcd_cluster_id, s.revision, s.keys);
        for part in &m.parts {
            let _ = writeln!(text, "  {:<28} {:>10}  sha256 {}…", part.name, size(part.bytes), &part.sha256[..12]);
        }
        for (n, copy) in self.copies.iter().enumerate() {
            if n > 0 {
                let _ = writeln!(text, "{}", copy.place);
            }
            text.push_str(&others(copy));
        }
        if let Some(proof) = &self.proof {
            let hash = if proof.compared { ", the same hash over all of them" } else { "" };
            let _ = writeln!(
                text,
                "Restored into a throw-away etcd: revision {}, {} keys{hash}; {}.",
                proof.revision,
                proof.keys,
                words(proof.sealed)
            );
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let proof = self
            .proof
            .as_ref()
            .map(|p| json!({ "revision": p.revision, "keys": p.keys, "hash-compared": p.compared, "secrets": words(p.sealed) }));
        let one = |copy: &Copy| json!({ "place": copy.place, "removed": copy.removed, "there": copy.there });
        let copies: Vec<Value> = self.copies.iter().map(one).collect();
        json!({ "copies": copies, "manifest": self.manifest, "proof": proof })
    }
}

fn words(sealed: Sealed) -> &'static str {
    match sealed {
        Sealed::Opened => "the encryption key opens its Secrets",
        Sealed::NoSecret => "it has no Secret to try the encryption key on",
        Sealed::Clear => "its Secrets are not encrypted",
    }
}

fn names(all: &[Kept]) -> Vec<Value> {
    all.iter().map(|kept| json!({ "name": kept.name, "bytes": kept.bytes })).collect()
}

/// A line for each; below its place where there are several.
fn listed(places: &[(String, Vec<Kept>)]) -> String {
    let mut text = String::new();
    for (place, all) in places {
        let indent = if places.len() > 1 {
            let _ = writeln!(text, "{place}{}", if all.is_empty() { ": none" } else { "" });
            "  "
        } else {
            ""
        };
        for kept in all {
            let _ = writeln!(text, "{indent}{}  {}", kept.name, size(kept.bytes));
        }
    }
    text
}

/// What a place had before, and has now.
fn others(copy: &Copy) -> String {
    let mut text = match copy.there {
        None => String::new(),
        Some(1) => "  the first one there: is it the place that was meant, and its disk mounted?\n".to_owned(),
        Some(there) => format!("  {there} of the cluster are there now\n"),
    };
    for name in &copy.removed {
        let _ = writeln!(text, "  removed: {name}");
    }
    text
}

/// `12.3 MB`.
fn size(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

impl Reporter {
    /// One backup.
    pub fn backup(&self, backup: &BackupReport) {
        self.settled_data(&backup.text(), &backup.json());
    }

    /// The backups of places, in each newest first.
    pub fn backups(&self, places: &[(String, Vec<Kept>)]) {
        let list: Vec<Value> = places.iter().map(|(place, all)| json!({ "place": place, "backups": names(all) })).collect();
        self.settled_data(&listed(places), &json!({ "places": list }));
    }

    /// Bars away, then the answer in the form that was asked for.
    pub(super) fn settled_data(&self, text: &str, value: &Value) {
        self.settle();
        match self.options().format {
            Format::Text => self.data(text),
            Format::Json => self.document(value),
            Format::Events => self.data(format!("{value}\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_had_none_is_told() {
        let copy = |there, removed: &[&str]| Copy {
            place: "/mnt/nas/x".into(),
            removed: removed.iter().map(ToString::to_string).collect(),
            there,
        };
        assert_eq!(others(&copy(None, &[])), "");
        assert!(others(&copy(Some(1), &[])).contains("the first one there") && others(&copy(Some(1), &[])).contains("mounted?"));
        assert_eq!(others(&copy(Some(14), &["old"])), "  14 of the cluster are there now\n  removed: old\n");
    }
}
