//! Files on the operator's side that land whole: the old one is there, or the new one, whatever happens in between. What a writer
//! leaves that is killed goes with the next one in its folder.

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tempfile::{Builder, NamedTempFile};

/// What this process has written to files, the last of each: SHA-256.
static WRITTEN: Mutex<BTreeMap<PathBuf, [u8; 32]>> = Mutex::new(BTreeMap::new());

/// Replaces `path`, which keeps its mode; a new file gets `mode`. Temporary beside it, mode, fsync, rename, fsync of the
/// folder. Behind a link the file itself is replaced, and the link stays.
///
/// # Errors
/// What the file system said; the old file is whole then.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let mode = std::fs::metadata(path).map_or(mode, |m| m.permissions().mode() & 0o777);
    let new = beside(path, bytes, mode)?;
    new.persist(path)?;
    written(path, bytes);
    settled(path)
}

/// Makes `path`, which must not be there.
///
/// # Errors
/// What the file system said; `AlreadyExists` where somebody was first.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = beside(path, bytes, mode)?;
    new.persist_noclobber(path)?;
    written(&path.canonicalize().unwrap_or_else(|_| path.to_path_buf()), bytes);
    settled(path)
}

/// Whether `path` holds what this process wrote to it: nobody else has put something else there since.
#[must_use]
pub fn is_as_written(path: &Path) -> bool {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).get(&path).copied();
    written.is_some_and(|digest| fs::read(&path).is_ok_and(|now| Sha256::digest(now)[..] == digest))
}

fn written(path: &Path, bytes: &[u8]) {
    WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_path_buf(), Sha256::digest(bytes).into());
}

/// How temporaries begin.
const PREFIX: &str = ".homectl-new-";

/// A temporary for `path` with everything in it. Only we may read it until it is whole. It is locked as long as we live: that is
/// how others know that nobody left it.
fn beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    sweep(folder(path));
    let private = Permissions::from_mode(0o600);
    let locked = || -> io::Result<NamedTempFile> {
        let new = Builder::new().prefix(PREFIX).permissions(private.clone()).tempfile_in(folder(path))?;
        // Where there are no locks nothing is swept either.
        let _ = new.as_file().lock();
        Ok(new)
    };
    let mut new = locked()?;
    // Somebody swept before we had the lock.
    while !new.path().exists() {
        new = locked()?;
    }
    new.write_all(bytes)?;
    new.as_file().set_permissions(Permissions::from_mode(mode))?;
    new.as_file().sync_all()?;
    Ok(new)
}

/// Takes away what writers left that were killed.
fn sweep(folder: &Path) {
    let ours = |e: &fs::DirEntry| e.file_name().to_string_lossy().starts_with(PREFIX) && e.file_type().is_ok_and(|kind| kind.is_file());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(ours) {
        if File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn settled(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

/// The folder that `path` lies in.
#[must_use]
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_and_so_does_the_mode() {
        let home = tempfile::tempdir().unwrap();
        let (file, link) = (home.path().join("file"), home.path().join("link"));
        create(&file, b"one", 0o640).unwrap();
        assert_eq!(create(&file, b"two", 0o640).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        std::os::unix::fs::symlink("file", &link).unwrap();
        replace(&link, b"two", 0o600).unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 2, "nothing is left over");
    }

    #[test]
    fn leftovers_of_the_dead_go_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        for name in [".homectl-new-dead", ".homectl-notes", ".homectl-new-alive"] {
            fs::write(at(name), "half").unwrap();
        }
        std::os::unix::fs::symlink(at(".homectl-notes"), at(".homectl-new-link")).unwrap();
        let alive = File::open(at(".homectl-new-alive")).unwrap();
        alive.lock().unwrap();
        create(&at("f"), b"", 0o600).unwrap();
        let mut left: Vec<String> = fs::read_dir(home.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, [".homectl-new-alive", ".homectl-new-link", ".homectl-notes", "f"]);
    }
}
