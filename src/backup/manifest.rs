//! What a backup says of itself.

use crate::error::{Failure, Result};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Read as _;
use std::path::Path;

/// The format that this version writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

/// Everything about a backup but its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    pub format: u32,
    /// The version of homectl that made it.
    pub homectl: String,
    /// The cluster's name.
    pub cluster: String,
    /// RFC 3339, UTC, when the snapshot was taken.
    pub time: String,
    /// Whose etcd member gave the snapshot.
    pub node: String,
    pub kubernetes: String,
    /// `v` included, as upstream writes it.
    pub etcd: String,
    /// 16 hex digits.
    pub etcd_cluster_id: String,
    pub snapshot: Snapshot,
    /// In the order in which they lie in the file.
    pub parts: Vec<Part>,
}

/// What is true of the snapshot, asked of the living cluster at the snapshot's revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Snapshot {
    pub revision: u64,
    /// Keys that existed at this revision.
    pub keys: u64,
    /// Of the file, as `etcdutl snapshot status` reckons it.
    pub hash: u64,
    /// Of all keys and values from the last compaction up to the revision, as etcd itself reckons it (`HashKV`), and that compaction.
    pub hash_kv: u64,
    pub compacted: i64,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    pub name: String,
    pub bytes: u64,
    /// Lower-case hex.
    pub sha256: String,
}

impl Part {
    /// Of a text in hand.
    #[must_use]
    pub fn of(name: impl Into<String>, bytes: &[u8]) -> Self {
        Self { name: name.into(), bytes: bytes.len() as u64, sha256: sha256(bytes) }
    }
}

impl Manifest {
    /// The part `name`.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|p| p.name == name)
    }

    /// What [`Manifest::read`] reads.
    pub(super) fn write(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).map_err(|e| Failure::bug(format!("a manifest that JSON cannot say: {e}")))
    }

    /// From the first part of a backup.
    ///
    /// # Errors
    /// Why it is none, as a fragment.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|e| format!("its manifest cannot be read: {e}"))?;
        if head.format != FORMAT {
            return Err(format!("its format is {}, this version of homectl reads up to {FORMAT}", head.format));
        }
        serde_json::from_slice(bytes).map_err(|e| format!("its manifest cannot be read: {e}"))
    }
}

/// Lower-case hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// Of a file, lower-case hex.
///
/// # Errors
/// It cannot be read.
pub fn sha256_of(path: &Path) -> Result<String> {
    let failed = |e: std::io::Error| Failure::failed(format!("{} cannot be read: {e}", path.display()));
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let n = file.read(&mut buffer).map_err(failed)?;
        if n == 0 {
            return Ok(HEXLOWER.encode(&digest.finalize()));
        }
        digest.update(&buffer[..n]);
    }
}
