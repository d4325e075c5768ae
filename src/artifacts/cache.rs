//! What is known of an unpacked download: a manifest with sizes and times, so that the second use costs a few `stat`s.

use super::store::UnpackedFile;
use super::unpack::hashed;
use crate::cluster::Component;
use crate::whole;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    version: u32,
    files: Vec<Known>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    name: String,
    sha256: String,
    /// Bytes.
    size: u64,
    /// Nanoseconds since 1970.
    modified: i128,
}

pub(super) fn files(folder: &Path) -> PathBuf {
    folder.join("files")
}

fn manifest(folder: &Path) -> PathBuf {
    folder.join("manifest.json")
}

/// The programs, where the cache has all of them unchanged. A file that looks touched is hashed again.
pub(super) fn look(folder: &Path, component: Component) -> Option<Vec<UnpackedFile>> {
    let known: Manifest = serde_json::from_slice(&std::fs::read(manifest(folder)).ok()?).ok()?;
    if known.version != FORMAT || !known.files.iter().map(|f| f.name.as_str()).eq(component.members().iter().map(|(_, n)| *n)) {
        return None;
    }
    let mut touched = false;
    let mut found = Vec::new();
    for file in known.files {
        let path = files(folder).join(&file.name);
        let meta = std::fs::symlink_metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
        if meta.len() != file.size {
            return None;
        }
        if modified(&meta) != file.modified {
            touched = true;
            if hashed(&file.name, &path).ok()?.sha256 != file.sha256 {
                return None;
            }
        }
        found.push(UnpackedFile { name: file.name, path, sha256: file.sha256, size: file.size });
    }
    if touched {
        // Only a hint is lost if this fails.
        let _ = record(folder, &found);
    }
    Some(found)
}

fn modified(meta: &std::fs::Metadata) -> i128 {
    i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())
}

/// Writes the manifest of files that are in place; from then on they are trusted.
pub(super) fn record(folder: &Path, unpacked: &[UnpackedFile]) -> io::Result<()> {
    let known = |f: &UnpackedFile| -> io::Result<Known> {
        let meta = std::fs::metadata(&f.path)?;
        Ok(Known { name: f.name.clone(), sha256: f.sha256.clone(), size: f.size, modified: modified(&meta) })
    };
    let content = Manifest { version: FORMAT, files: unpacked.iter().map(known).collect::<io::Result<_>>()? };
    whole::replace(&manifest(folder), &serde_json::to_vec_pretty(&content)?, 0o600)
}
