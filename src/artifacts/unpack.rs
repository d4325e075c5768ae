//! A proven download → programs: only the members we know, only regular files, never more than a bound.

use super::download::hash_into;
use super::store::UnpackedFile;
use crate::cluster::Component;
use data_encoding::HEXLOWER;
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Takes the component's programs out of `download` into the empty folder `into`; in the order of its members.
/// A bare program is moved (its sum is `sum`, proven), an archive is only read. `bound` is in bytes, for all that is unpacked.
///
/// # Errors
/// What is wrong with the archive.
pub(super) fn unpack(component: Component, download: &Path, sum: &str, into: &Path, bound: u64) -> io::Result<Vec<UnpackedFile>> {
    let members = component.members();
    if let [("", name)] = members {
        let path = into.join(name);
        std::fs::rename(download, &path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        let file = File::open(&path)?;
        file.sync_all()?;
        let size = file.metadata()?.len();
        return Ok(vec![UnpackedFile { name: (*name).to_owned(), path, sha256: sum.to_owned(), size }]);
    }
    let plain = MultiGzDecoder::new(BufReader::with_capacity(1 << 18, File::open(download)?));
    let mut archive = tar::Archive::new(Bounded { inner: plain, left: bound });
    let mut found: BTreeMap<&str, UnpackedFile> = BTreeMap::new();
    // Raw: headers that rename or resize the next entry are entries like any other, and not ours.
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let Some(name) = member(members, &entry.path_bytes()) else { continue };
        let kind = entry.header().entry_type();
        if !kind.is_file() {
            return Err(invalid(format!("`{name}` is not a regular file in it")));
        }
        if found.contains_key(name) {
            return Err(invalid(format!("`{name}` is in it twice")));
        }
        found.insert(name, copy(&mut entry, name, into)?);
    }
    members.iter().map(|(path, name)| found.remove(name).ok_or_else(|| invalid(format!("it has no `{path}`")))).collect()
}

/// The program that a path in the archive is, where it is one of ours. `*/x` is x in any one folder.
fn member(members: &'static [(&'static str, &'static str)], path: &[u8]) -> Option<&'static str> {
    let path = std::str::from_utf8(path).ok()?;
    let path = path.strip_prefix("./").unwrap_or(path);
    let is = |pattern: &str| match pattern.strip_prefix("*/") {
        Some(file) => path.split_once('/').is_some_and(|(folder, rest)| rest == file && !matches!(folder, "" | "." | "..")),
        None => path == pattern,
    };
    members.iter().find(|(pattern, _)| is(pattern)).map(|(_, name)| *name)
}

fn copy(from: &mut impl Read, name: &str, into: &Path) -> io::Result<UnpackedFile> {
    let path = into.join(name);
    let mut file = File::options().write(true).create_new(true).open(&path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut size = 0;
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        file.write_all(&buffer[..n])?;
        size += n as u64;
    }
    file.set_permissions(std::fs::Permissions::from_mode(0o755))?;
    file.sync_all()?;
    Ok(UnpackedFile { name: name.to_owned(), path, sha256: HEXLOWER.encode(&hasher.finalize()), size })
}

/// A file as it lies there.
pub(super) fn hashed(name: &str, path: &Path) -> io::Result<UnpackedFile> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let size = hash_into(&mut file, &mut hasher)?;
    Ok(UnpackedFile { name: name.to_owned(), path: path.to_path_buf(), sha256: HEXLOWER.encode(&hasher.finalize()), size })
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Ends in an error where a `Take` would pretend that the archive is over.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| invalid("it unpacks to far more than its programs".to_owned()))?;
        Ok(n)
    }
}
