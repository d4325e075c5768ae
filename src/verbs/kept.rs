//! Files on the operator's side that a verb changes before it asks: what is refused, declined or stopped before a plan ran leaves
//! no trace in them.

use super::signals;
use crate::error::{Failure, Result, exit};
use crate::whole;
use std::path::PathBuf;

/// Files as they were, until a plan has run.
pub(super) struct Kept {
    files: Vec<(PathBuf, Option<Vec<u8>>)>,
    settled: bool,
}

impl Kept {
    pub(super) fn of(files: [PathBuf; 2]) -> Result<Self> {
        let read = |path: PathBuf| match std::fs::read(&path) {
            Ok(bytes) => Ok((path, Some(bytes))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok((path, None)),
            Err(e) => Err(Failure::new(exit::INVENTORY, format!("cannot read {}: {e}", path.display()))),
        };
        Ok(Self { files: files.into_iter().map(read).collect::<Result<_>>()?, settled: false })
    }

    pub(super) fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.settled || signals::ran() {
            return;
        }
        for (path, bytes) in &self.files {
            match bytes {
                Some(bytes) if std::fs::read(path).is_ok_and(|now| now != *bytes) => drop(whole::replace(path, bytes, 0o644)),
                Some(_) => {}
                None => drop(std::fs::remove_file(path)),
            }
        }
    }
}
