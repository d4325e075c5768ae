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
    pub(super) fn of<const N: usize>(files: [PathBuf; N]) -> Result<Self> {
        let read = |path: PathBuf| match std::fs::read(&path) {
            Ok(bytes) => Ok((path, Some(bytes))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok((path, None)),
            Err(e) => Err(Failure::new(exit::INVENTORY, format!("cannot read {}: {e}", path.display()))),
        };
        Ok(Self { files: files.into_iter().map(read).collect::<Result<_>>()?, settled: false })
    }

    /// Files that were not there until a moment ago.
    pub(super) fn made(files: Vec<PathBuf>) -> Self {
        Self { files: files.into_iter().map(|path| (path, None)).collect(), settled: false }
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
        // What somebody else has written meanwhile, an editor or another run, is not ours to take back.
        for (path, bytes) in self.files.iter().filter(|(path, _)| whole::is_as_written(path)) {
            match bytes {
                Some(bytes) => drop(whole::replace(path, bytes, 0o644)),
                None => drop(std::fs::remove_file(path)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_taken_back_and_what_others_wrote_stays() {
        let home = tempfile::TempDir::new().unwrap();
        let [old, new] = ["home.toml", "home.lock"].map(|name| home.path().join(name));
        std::fs::write(&old, "before").unwrap();
        let kept = || Kept::of([old.clone(), new.clone()]).unwrap();

        let declined = kept();
        whole::replace(&old, b"changed", 0o644).unwrap();
        whole::create(&new, b"made", 0o644).unwrap();
        drop(declined);
        assert_eq!((std::fs::read_to_string(&old).unwrap().as_str(), new.exists()), ("before", false));

        let edited = kept();
        whole::replace(&old, b"changed", 0o644).unwrap();
        whole::create(&new, b"made", 0o644).unwrap();
        std::fs::write(&old, "somebody's").unwrap();
        std::fs::write(&new, "another run's").unwrap();
        drop(edited);
        let now = [&old, &new].map(|path| std::fs::read_to_string(path).unwrap());
        assert_eq!(now, ["somebody's", "another run's"]);

        let done = kept();
        whole::replace(&old, b"changed", 0o644).unwrap();
        done.settle();
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "changed");
    }
}
