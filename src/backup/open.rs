//! A backup read: every part compared with the manifest, nothing believed before the last byte was.

use super::manifest::{Manifest, Part};
use super::{INVENTORY, LOCK, MANIFEST, SECRETS, SNAPSHOT};
use crate::error::{Failure, Result};
use crate::secrets::{Identity, unseal};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path};
use zeroize::Zeroizing;

/// Bytes that a part which is held in memory may have.
const SMALL: u64 = 32 << 20;

/// What a backup holds, but for the snapshot, which is too large to be held.
#[derive(Debug)]
pub struct Content {
    pub manifest: Manifest,
    /// By name.
    pub parts: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl Content {
    /// A part that every backup has.
    ///
    /// # Errors
    /// This one has not.
    pub fn part(&self, name: &str) -> Result<&[u8]> {
        self.parts.get(name).map(|p| p.as_slice()).ok_or_else(|| Failure::failed(format!("the backup holds no {name}")))
    }
}

/// Reads the backup `path`; the snapshot goes to `snapshot` where one is given, and is only hashed otherwise.
///
/// # Errors
/// Not readable by `identity` (class `INVENTORY`); cut, changed, or other than its manifest says.
pub fn read(path: &Path, identity: &Identity, mut snapshot: Option<&mut dyn Write>) -> Result<Content> {
    let damaged = |why: String| Failure::failed(format!("the backup {} is damaged", path.display())).seen(why).help("take another one");
    let unread = |e: io::Error| Failure::failed(format!("{} cannot be read: {e}", path.display()));
    let file = File::open(path).map_err(unread)?;
    let size = file.metadata().map_err(unread)?.len();
    let mut clear = unseal(path, file, identity)?;
    let content = walk(&mut clear, size, &mut snapshot).map_err(damaged)?;
    // What age proves last is that nothing was cut off.
    io::copy(&mut clear, &mut io::sink()).map_err(|e| damaged(e.to_string()))?;
    Ok(content)
}

/// Reads a tar out of a file of `size` bytes. Whoever knows for whom it is encrypted could have made it: nothing in it takes more room
/// than the file has.
fn walk(clear: &mut impl Read, size: u64, snapshot: &mut Option<&mut dyn Write>) -> Result<Content, String> {
    let cannot = |e: io::Error| e.to_string();
    let mut archive = tar::Archive::new(clear);
    let mut entries = archive.entries().map_err(cannot)?;
    let mut first = entries.next().ok_or("it is empty")?.map_err(cannot)?;
    if first.path().map_err(cannot)?.as_os_str() != MANIFEST {
        return Err(format!("it does not begin with {MANIFEST}"));
    }
    plain(&first, MANIFEST)?;
    let manifest = Manifest::read(&small(&mut first, SMALL.min(size))?)?;
    let declared = manifest.parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.bytes));
    if declared > size {
        return Err(format!("its manifest promises {declared} bytes, in a file of {size}"));
    }
    let mut parts = BTreeMap::new();
    let mut awaited = manifest.parts.iter();
    for entry in entries {
        let mut entry = entry.map_err(cannot)?;
        let name = entry.path().map_err(cannot)?.to_string_lossy().into_owned();
        let part = awaited.next().ok_or_else(|| format!("its manifest does not know {name}"))?;
        if part.name != name || !is_plain(&name) {
            return Err(format!("{name} lies where its manifest has {}", part.name));
        }
        plain(&entry, &name)?;
        if name == SNAPSHOT {
            let mut nowhere = io::sink();
            let to: &mut dyn Write = snapshot.as_mut().map_or(&mut nowhere as &mut dyn Write, |w| &mut **w);
            same(part, passed(&mut entry.take(part.bytes + 1), to).map_err(cannot)?)?;
        } else {
            let bytes = small(&mut entry, SMALL)?;
            same(part, (bytes.len() as u64, super::sha256(&bytes)))?;
            parts.insert(name, bytes);
        }
    }
    if let Some(part) = awaited.next() {
        return Err(format!("{} is missing", part.name));
    }
    let needed = [INVENTORY, LOCK, SECRETS, SNAPSHOT];
    if let Some(name) = needed.into_iter().find(|name| manifest.part(name).is_none()) {
        return Err(format!("{name} is missing"));
    }
    Ok(Content { manifest, parts })
}

/// No link, no folder, and no file with holes, which may be of any size.
fn plain<R: Read>(entry: &tar::Entry<'_, R>, name: &str) -> Result<(), String> {
    if entry.header().entry_type().is_file() { Ok(()) } else { Err(format!("{name} is no plain file there")) }
}

fn small(entry: &mut impl Read, most: u64) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    entry.take(most + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > most { Err(format!("a part is larger than {most} bytes")) } else { Ok(bytes) }
}

/// Bytes and sum of what passed from `from` to `to`.
fn passed(from: &mut impl Read, to: &mut dyn Write) -> io::Result<(u64, String)> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut bytes = 0;
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return Ok((bytes, HEXLOWER.encode(&digest.finalize())));
        }
        digest.update(&buffer[..n]);
        to.write_all(&buffer[..n])?;
        bytes += n as u64;
    }
}

fn same(part: &Part, (bytes, sum): (u64, String)) -> Result<(), String> {
    if bytes == part.bytes && sum == part.sha256 {
        return Ok(());
    }
    Err(format!("{} has {bytes} bytes and sha256 {sum}, its manifest says {} and {}", part.name, part.bytes, part.sha256))
}

/// A relative path that leads nowhere but down.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|c| matches!(c, Component::Normal(_)))
}
