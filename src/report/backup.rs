//! What a backup holds, and what was proven of it.

use super::Reporter;
use super::options::Format;
use crate::backup::{Kept, Manifest, Proof, Sealed};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A backup as the operator sees it.
#[derive(Debug, Clone)]
pub struct BackupReport {
    /// Where it is.
    pub place: String,
    pub manifest: Manifest,
    pub proof: Option<Proof>,
    /// Older ones that went.
    pub removed: Vec<String>,
}

impl BackupReport {
    pub(super) fn text(&self) -> String {
        let (m, s) = (&self.manifest, &self.manifest.snapshot);
        let mut text = format!("{}\n", self.place);
        let _ = writeln!(text, "  cluster {} (Kubernetes {}, etcd {}), {} from {}", m.cluster, m.kubernetes, m.etcd, m.time, m.node);
        let _ = writeln!(text, "  etcd cluster {} at revision {}: {} keys", m.etcd_cluster_id, s.revision, s.keys);
        for part in &m.parts {
            let _ = writeln!(text, "  {:<28} {:>10}  sha256 {}…", part.name, size(part.bytes), &part.sha256[..12]);
        }
        for name in &self.removed {
            let _ = writeln!(text, "  removed: {name}");
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
        json!({ "backup": self.place, "manifest": self.manifest, "removed": self.removed, "proof": proof })
    }
}

fn words(sealed: Sealed) -> &'static str {
    match sealed {
        Sealed::Opened => "the encryption key opens its Secrets",
        Sealed::NoSecret => "it has no Secret to try the encryption key on",
        Sealed::Clear => "its Secrets are not encrypted",
    }
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

    /// The backups of a place, newest first.
    pub fn backups(&self, place: &str, all: &[Kept]) {
        let lines: Vec<String> = all.iter().map(|kept| format!("{}  {}\n", kept.name, size(kept.bytes))).collect();
        let text = lines.concat();
        let list: Vec<Value> = all.iter().map(|kept| json!({ "name": kept.name, "bytes": kept.bytes })).collect();
        self.settled_data(&text, &json!({ "place": place, "backups": list }));
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
