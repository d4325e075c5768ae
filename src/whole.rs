//! Files on the operator's side that land whole: the old one is there, or the new one, whatever happens in between.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

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
    settled(path)
}

/// Makes `path`, which must not be there.
///
/// # Errors
/// What the file system said; `AlreadyExists` where somebody was first.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = beside(path, bytes, mode)?;
    new.persist_noclobber(path)?;
    settled(path)
}

fn beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<tempfile::NamedTempFile> {
    let mut new = tempfile::Builder::new().prefix(".homectl-").permissions(Permissions::from_mode(0o600)).tempfile_in(folder(path))?;
    new.as_file().set_permissions(Permissions::from_mode(mode))?;
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    Ok(new)
}

fn settled(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
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
}
