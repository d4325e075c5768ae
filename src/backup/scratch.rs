//! Room for what must be in clear for a moment: memory where there is enough of it, else a private folder; gone afterwards.

use crate::error::{Failure, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder (0700) that goes with this value.
#[derive(Debug)]
pub struct Scratch {
    dir: tempfile::TempDir,
    /// Whether nothing of it reaches a disk.
    pub in_memory: bool,
}

impl Scratch {
    /// For `bytes` bytes.
    ///
    /// # Errors
    /// There is no such place.
    pub fn new(bytes: u64) -> Result<Self> {
        let memory = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).into_iter().chain([PathBuf::from("/dev/shm")]);
        let memory = memory.filter(|dir| in_memory(dir, bytes)).find_map(|dir| make(&dir).ok());
        let in_memory = memory.is_some();
        let dir = memory.map_or_else(|| make(&std::env::temp_dir()), Ok);
        let dir = dir.map_err(|e| {
            Failure::failed(format!("there is no place for temporary files: {e}")).help("make room, or set TMPDIR to a folder that has it")
        })?;
        Ok(Self { dir, in_memory })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn make(dir: &Path) -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("homectl-").permissions(std::fs::Permissions::from_mode(0o700)).tempdir_in(dir)
}

/// Whether `dir` is a file system in memory with room for `bytes`. What cannot be told counts as no.
fn in_memory(dir: &Path, bytes: u64) -> bool {
    let Ok(told) = Command::new("df").args(["-Pk", "-t", "tmpfs"]).arg(dir).env("LC_ALL", "C").output() else { return false };
    let text = String::from_utf8_lossy(&told.stdout);
    let free = text.lines().nth(1).and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    told.status.success() && free.is_some_and(|kib| kib.saturating_mul(1024) > bytes)
}
