//! Where backups are kept: one file, a folder of them, or a bucket of an S3-compatible store; the last two are rotated.

use super::s3::Bucket;
use crate::error::{Failure, Result};
use futures::future::BoxFuture;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// After a backup's cluster and time.
const END: &str = ".backup.age";
/// How a backup's name tells its time, UTC.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// A place for backups.
pub enum Place {
    /// A file of this name, and nothing else.
    File(PathBuf),
    Folder(PathBuf),
    /// Somewhere else: a bucket, a folder of another machine.
    Shelf(Box<dyn Shelf>),
}

/// What keeps files that are not on this computer. What it does fails by the wire, or by what is at its other end.
pub trait Shelf: Send + Sync {
    /// Keeps `file` as `name`; there is none of that name yet.
    fn put<'a>(&'a self, name: &'a str, file: &'a Path) -> BoxFuture<'a, Result<()>>;

    /// Everything that it holds, whatever that is.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Kept>>>;

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Brings it into the file `to`, which is there.
    fn get<'a>(&'a self, name: &'a str, to: &'a Path) -> BoxFuture<'a, Result<()>>;

    /// For people: where a file of this name is.
    fn show(&self, name: &str) -> String;
}

/// A backup that a place keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub name: String,
    pub bytes: u64,
}

/// `home-20261122T060000Z.backup.age`: sorted by name is sorted by time.
#[must_use]
pub fn file_name(cluster: &str, at: jiff::Timestamp) -> String {
    format!("{cluster}-{}{END}", at.strftime(TIME))
}

/// Whether `name` is one that [`file_name`] gives to backups of `cluster`.
fn is_of(name: &str, cluster: &str) -> bool {
    let time = name.strip_prefix(cluster).and_then(|rest| rest.strip_prefix('-')?.strip_suffix(END));
    time.is_some_and(|time| jiff::civil::DateTime::strptime(TIME, time).is_ok())
}

impl Place {
    /// `BUCKET/PREFIX` of an S3-compatible store. `env` looks up variables of the environment.
    ///
    /// # Errors
    /// Wrong usage: credentials are missing, or it cannot be the name of a bucket.
    pub fn bucket(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        Bucket::parse(text, env).map(|bucket| Self::Shelf(Box::new(bucket)))
    }

    /// Where a file that is to be kept here is written first: on the same disk, where that can be.
    ///
    /// # Errors
    /// The disk.
    pub fn staging(&self) -> Result<NamedTempFile> {
        let folder = match self {
            Self::File(path) => path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf(),
            Self::Folder(folder) => folder.clone(),
            Self::Shelf(_) => std::env::temp_dir(),
        };
        let failed = |e: std::io::Error| Failure::failed(format!("{} cannot be written to: {e}", folder.display()));
        std::fs::create_dir_all(&folder).map_err(failed)?;
        // Made 0600.
        tempfile::Builder::new().prefix(".backup-").tempfile_in(&folder).map_err(failed)
    }

    /// Keeps `file` as `name` (a [`Place::File`] has its own); says where.
    ///
    /// # Errors
    /// The disk, the store; there is one of that name.
    pub async fn keep(&self, file: NamedTempFile, name: &str) -> Result<String> {
        let path = match self {
            Self::File(path) => path.clone(),
            Self::Folder(folder) => folder.join(name),
            Self::Shelf(_) => return Box::pin(self.keep_copy(file.path(), name)).await,
        };
        let failed = |e: std::io::Error| Failure::failed(format!("{} could not be written: {e}", path.display()));
        file.as_file().sync_all().map_err(failed)?;
        let persisted = if matches!(self, Self::File(_)) { file.persist(&path) } else { file.persist_noclobber(&path) };
        persisted.map_err(|e| match e.error.kind() {
            ErrorKind::AlreadyExists => Failure::failed(format!("{} is there already, and is not replaced", path.display()))
                .help("names tell seconds: run the command again"),
            _ => failed(e.error),
        })?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|d| d.sync_all()).map_err(failed)?;
        Ok(path.display().to_string())
    }

    /// Keeps a copy of the file `staged` as `name`; says where.
    ///
    /// # Errors
    /// As [`Place::keep`].
    pub async fn keep_copy(&self, staged: &Path, name: &str) -> Result<String> {
        if let Self::Shelf(far) = self {
            far.put(name, staged).await?;
            return Ok(far.show(name));
        }
        let own = self.staging()?;
        std::fs::copy(staged, own.path()).map_err(|e| Failure::failed(format!("{} cannot be written: {e}", own.path().display())))?;
        self.keep(own, name).await
    }

    /// The backups of `cluster` here, newest first.
    ///
    /// # Errors
    /// The disk, the store.
    pub async fn list(&self, cluster: &str) -> Result<Vec<Kept>> {
        let mut all = self.list_all().await?;
        all.retain(|kept| is_of(&kept.name, cluster));
        Ok(all)
    }

    /// The backups of all clusters here, of each newest first.
    ///
    /// # Errors
    /// The disk, the store.
    pub async fn list_all(&self) -> Result<Vec<Kept>> {
        let mut all = match self {
            Self::File(_) => Vec::new(),
            Self::Folder(folder) => in_folder(folder).map_err(|e| Failure::failed(format!("{} cannot be read: {e}", folder.display())))?,
            Self::Shelf(far) => far.list().await?,
        };
        all.retain(|kept| kept.name.rsplit_once('-').is_some_and(|(cluster, _)| is_of(&kept.name, cluster)));
        all.sort_by(|a, b| b.name.cmp(&a.name));
        Ok(all)
    }

    /// Removes all backups of `cluster` but the newest `keep`; the names of those that went. Nothing else is ever touched.
    ///
    /// # Errors
    /// The disk, the store.
    pub async fn rotate(&self, cluster: &str, keep: usize) -> Result<Vec<String>> {
        let mut gone = Vec::new();
        for old in self.list(cluster).await?.into_iter().skip(keep) {
            match self {
                Self::File(_) => {}
                Self::Folder(folder) => std::fs::remove_file(folder.join(&old.name))
                    .map_err(|e| Failure::failed(format!("{} could not be removed: {e}", folder.join(&old.name).display())))?,
                Self::Shelf(far) => far.remove(&old.name).await?,
            }
            gone.push(old.name);
        }
        Ok(gone)
    }

    /// Where `name` lies, where that is on this computer.
    #[must_use]
    pub fn here(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path.clone()),
            Self::Folder(folder) => Some(folder.join(name)),
            Self::Shelf(_) => None,
        }
    }

    /// For people: where `name` is, or would be.
    #[must_use]
    pub fn show(&self, name: &str) -> String {
        match (self.here(name), self) {
            (None, Self::Shelf(far)) => far.show(name),
            (path, _) => path.unwrap_or_default().display().to_string(),
        }
    }

    /// What is kept here as `name`, on this computer (it stays encrypted): itself, or a copy that goes with the second value.
    ///
    /// # Errors
    /// The disk, the store; there is none.
    pub async fn bring(&self, name: &str) -> Result<(PathBuf, Option<NamedTempFile>)> {
        let Self::Shelf(far) = self else { return Ok((self.here(name).unwrap_or_default(), None)) };
        let file = tempfile::Builder::new().prefix(".backup-").tempfile();
        let file = file.map_err(|e| {
            Failure::failed(format!("there is no place for a temporary file: {e}")).help("make room, or set TMPDIR to a folder that has it")
        })?;
        far.get(name, file.path()).await?;
        Ok((file.path().to_path_buf(), Some(file)))
    }
}

fn in_folder(folder: &Path) -> std::io::Result<Vec<Kept>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if let (true, Ok(name)) = (meta.is_file(), entry.file_name().into_string()) {
            all.push(Kept { name, bytes: meta.len() });
        }
    }
    Ok(all)
}
