//! The secrets file on disk: opened, and written whole or not at all.

use super::content::{self, Unreadable};
use super::crypt::{Header, Recipient, decrypt, encrypt, header};
use super::{Identity, Secrets};
use crate::error::{Failure, Result, exit};
use crate::whole;
use age::DecryptError;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use zeroize::Zeroizing;

const MODE: u32 = 0o600;

/// The secrets in the age file `path`, which must be of the cluster `cluster`.
///
/// # Errors
/// No such file, another identity's, damaged, written by a newer homectl, another cluster's: all of class `INVENTORY`.
pub fn open(path: &Path, cluster: &str, identity: &Identity) -> Result<Secrets> {
    let sealed = fs::read(path).map_err(|e| cannot("read", path, &e))?;
    open_bytes(path, &sealed, cluster, identity)
}

/// Public keys that the age file `path` names as its readers, as far as it names them.
///
/// # Errors
/// It cannot be read from the disk.
pub fn recipients(path: &Path) -> Result<Vec<Recipient>> {
    Ok(header(&fs::read(path).map_err(|e| cannot("read", path, &e))?).named)
}

/// By what the secrets in the age file `path` are told from others, without opening it: sums of what machines may use. Empty where
/// its header does not say so.
///
/// # Errors
/// It cannot be read from the disk.
pub fn known(path: &Path) -> Result<Vec<String>> {
    Ok(header(&fs::read(path).map_err(|e| cannot("read", path, &e))?).knows)
}

/// Whether the age file `path` is whole and for others than the holder of `identity`.
pub(super) fn is_for_others(path: &Path, identity: &Identity) -> Result<bool> {
    let sealed = fs::read(path).map_err(|e| cannot("read", path, &e))?;
    let named = header(&sealed).named;
    let ours = identity.keys().any(|k| named.contains(&k.to_public()));
    Ok(!ours && matches!(decrypt(&sealed, identity), Err(DecryptError::NoMatchingKeys)))
}

/// Writes `secrets` to the age file `path`, for its present readers, the holder of `identity` and `also`.
/// Says whether it wrote: a file with the same content for the same readers stays as it is.
///
/// # Errors
/// The file there cannot be opened with `identity`, is another cluster's, or is for readers whose names are not known; the disk fails.
pub fn save(path: &Path, secrets: &Secrets, identity: &Identity, also: &[Recipient]) -> Result<bool> {
    // Written to where a link points; the link stays.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let mut readers = Vec::new();
    let present = match fs::read(&path) {
        Ok(sealed) => Some(sealed),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => return Err(cannot("read", &path, &e)),
    };
    let mut same = false;
    if let Some(sealed) = &present {
        let old = unseal(&path, sealed, identity)?;
        old.belongs_to(&secrets.cluster).map_err(|e| e.seen(path.display().to_string()))?;
        same = old == *secrets;
        readers = header(sealed).named;
    }
    let before = readers.len();
    if !identity.keys().any(|k| readers.contains(&k.to_public())) {
        readers.push(identity.recipient());
    }
    let holders = present.as_deref().map_or(0, |sealed| header(sealed).holders);
    if holders > readers.len() {
        return Err(unknown_readers(&path, holders, &readers));
    }
    readers.extend(also.iter().filter(|r| !readers.contains(r)).cloned().collect::<Vec<_>>());
    if same && readers.len() == before.max(holders) {
        return Ok(false);
    }
    let clear = content::write(secrets).map_err(|_| Failure::bug("secrets that TOML cannot say"))?;
    let sealed = encrypt(&clear, &readers, &secrets.sums()).map_err(|e| Failure::failed(format!("cannot encrypt: {e}")))?;
    match write_whole(&path, &sealed, present.is_none()) {
        Err(failure) if present.is_none() && path.exists() => Err(failure.help("another run has just made it: run again")),
        written => written.map(|()| true),
    }
}

/// Decrypts and reads.
fn unseal(path: &Path, sealed: &[u8], identity: &Identity) -> Result<Secrets> {
    let clear = decrypt(sealed, identity).map_err(|e| undecryptable(path, &header(sealed), identity, &e))?;
    let text = std::str::from_utf8(&clear).map_err(|_| damaged(path, &Unreadable::Line(1).to_string()))?;
    content::read(text).map_err(|why| match why {
        Unreadable::Newer(_) => Failure::new(exit::INVENTORY, format!("{} was written by a newer homectl", path.display()))
            .seen(why.to_string())
            .help("use the newer homectl"),
        _ => damaged(path, &why.to_string()),
    })
}

fn undecryptable(path: &Path, header: &Header, identity: &Identity, error: &DecryptError) -> Failure {
    // A header that names this identity and does not open is broken, not somebody else's.
    let ours = identity.keys().any(|k| header.named.contains(&k.to_public()));
    if ours || !matches!(error, DecryptError::NoMatchingKeys) {
        return damaged(path, &error.to_string());
    }
    no_reader(path, header, identity)
}

/// The file is somebody else's: whose, as far as it says.
pub(super) fn no_reader(path: &Path, header: &Header, identity: &Identity) -> Failure {
    let list = |all: &[Recipient]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let wanted = if header.named.is_empty() { "somebody it does not name".to_owned() } else { list(&header.named) };
    let given: Vec<Recipient> = identity.keys().map(age::x25519::Identity::to_public).collect();
    Failure::new(exit::INVENTORY, format!("this identity does not open {}", path.display()))
        .seen(format!("encrypted to {wanted}"))
        .seen(format!("identity is {}", list(&given)))
        .help("name the file with the matching identity: --identity FILE, or HOMECTL_IDENTITY")
}

fn damaged(path: &Path, why: &str) -> Failure {
    Failure::new(exit::INVENTORY, format!("{} is damaged", path.display()))
        .seen(why)
        .help("restore it from version control or a backup; without it a running cluster's authorities are lost")
}

fn unknown_readers(path: &Path, holders: usize, known: &[Recipient]) -> Failure {
    let known = known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Failure::new(exit::INVENTORY, format!("{} is for {holders} readers, not all of them known", path.display()))
        .seen(format!("known: {known}"))
        .help("writing would shut the others out: encrypt it to your own key alone with age, and run again")
}

fn cannot(act: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(exit::INVENTORY, format!("cannot {act} {}: {error}", path.display()))
}

/// The secrets of `cluster` in `sealed`, the content of an age file that is known by the name `path`.
///
/// # Errors
/// As [`open`].
pub fn open_bytes(path: &Path, sealed: &[u8], cluster: &str, identity: &Identity) -> Result<Secrets> {
    let secrets = unseal(path, sealed, identity)?;
    secrets.belongs_to(cluster).map_err(|e| e.seen(path.display().to_string()))?;
    Ok(secrets)
}

/// Replaces `path`, or makes it where it must be `new`; nobody else may read it.
pub(super) fn write_whole(path: &Path, bytes: &[u8], new: bool) -> Result<()> {
    let written = if new { whole::create(path, bytes, MODE) } else { whole::replace(path, bytes, MODE) };
    written.map_err(|e| match (e.kind(), cannot("write", path, &e)) {
        (ErrorKind::StorageFull | ErrorKind::QuotaExceeded, failure) => {
            failure.help("make room, and run again: what was there is as it was")
        }
        (_, failure) => failure,
    })
}

/// A whole file that must not linger in memory.
pub(super) fn read_secret(file: &mut impl std::io::Read) -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map(|_| text)
}
