//! The operator's cache of programs: every artifact is downloaded, proven and unpacked once.

use super::download::{OnProgress, download};
use super::origin::{Limits, Origin};
use super::{cache, unpack};
use crate::cluster::{Artifact, Component};
use crate::error::{Failure, Result};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use url::Url;

/// Downloads of one run, and where they are kept.
#[derive(Debug)]
pub struct Store {
    origin: Arc<Origin>,
    root: PathBuf,
    /// One download of a sum at a time; the others wait for it.
    busy: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// How far a download is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    /// Where the source said it.
    pub total: Option<u64>,
}

/// An artifact in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// In the order of the component's members.
    pub files: Vec<UnpackedFile>,
    /// Whether it was there before.
    pub cached: bool,
}

/// One program on the operator's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedFile {
    /// In the store of a node.
    pub name: String,
    pub path: PathBuf,
    /// Lower-case hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// Where downloads are kept: `$XDG_CACHE_HOME/homectl/artifacts`.
///
/// # Errors
/// Neither `XDG_CACHE_HOME` nor `HOME` is set.
pub fn cache_dir() -> Result<PathBuf> {
    use etcetera::BaseStrategy;
    let strategy = etcetera::choose_base_strategy()
        .map_err(|e| Failure::failed(format!("there is no place for downloads: {e}")).help("set HOME or XDG_CACHE_HOME"))?;
    Ok(strategy.cache_dir().join("homectl/artifacts"))
}

impl Store {
    /// A store at `root` that downloads from the mirror, or from upstream where there is none.
    #[must_use]
    pub fn new(mirror: Option<&Url>, root: PathBuf) -> Self {
        Self::with_limits(mirror, root, Limits::default())
    }

    /// As [`Store::new`], with other patience.
    #[must_use]
    pub fn with_limits(mirror: Option<&Url>, root: PathBuf, limits: Limits) -> Self {
        Self { origin: Arc::new(Origin::new(mirror, limits)), root, busy: Mutex::default() }
    }

    /// The programs of `artifact`, from the cache or downloaded, proven and unpacked. Safe to ask many times at once,
    /// by many processes.
    ///
    /// # Errors
    /// It cannot be had, is not what the lock says, or the disk is full.
    pub async fn fetch(&self, component: Component, artifact: &Artifact, progress: OnProgress<'_>) -> Result<Unpacked> {
        let turn = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(busy.entry(artifact.sha256.clone()).or_default())
        };
        let _turn = turn.lock().await;
        let folder = self.root.join(&artifact.sha256);
        let _lock = lock(&folder).await?;
        if let Some(files) = blocking(&folder, move |folder| Ok(cache::look(folder, component))).await? {
            return Ok(Unpacked { files, cached: true });
        }
        let part = folder.join("download.part");
        download(&self.origin, artifact, &part, progress).await?;
        let sum = artifact.sha256.clone();
        let bound = self.origin.limits.unpacked;
        let unpacked = blocking(&folder, move |folder| take_out(component, folder, &part, &sum, bound)).await?;
        let files = unpacked.map_err(|e| {
            Failure::failed(format!("{} {} cannot be unpacked: {e}", component, artifact.url))
                .help("its sum is the lock's, so the archive itself is at fault, or the disk is full")
        })?;
        Ok(Unpacked { files, cached: false })
    }
}

/// Unpacks beside, moves into place, records. The inner error is the archive's.
fn take_out(component: Component, folder: &Path, part: &Path, sum: &str, bound: u64) -> io::Result<io::Result<Vec<UnpackedFile>>> {
    let fresh = tempfile::Builder::new().prefix("unpack-").tempdir_in(folder)?;
    let mut files = match unpack::unpack(component, part, sum, fresh.path(), bound) {
        Ok(files) => files,
        Err(e) => {
            let _ = std::fs::remove_file(part);
            return Ok(Err(e));
        }
    };
    let place = cache::files(folder);
    match std::fs::remove_dir_all(&place) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    std::fs::rename(fresh.keep(), &place)?;
    for file in &mut files {
        file.path = place.join(&file.name);
    }
    cache::record(folder, &files)?;
    // An archive is not needed any more; a bare program was moved.
    match std::fs::remove_file(part) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(Ok(files)),
    }
}

/// Makes the folder and takes its lock, which ends with the value (or the process).
async fn lock(folder: &Path) -> Result<std::fs::File> {
    blocking(folder, |folder| {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let file = std::fs::File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
        file.lock()?;
        Ok(file)
    })
    .await
}

async fn blocking<T: Send + 'static>(folder: &Path, work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static) -> Result<T> {
    let place = folder.to_path_buf();
    tokio::task::spawn_blocking(move || work(&place))
        .await
        .map_err(|e| Failure::bug("work on the cache died").seen(e.to_string()))?
        .map_err(|e| {
            Failure::failed(format!("the cache {} cannot be used: {e}", folder.display()))
                .help("make room on this machine, or set XDG_CACHE_HOME to another disk")
        })
}
