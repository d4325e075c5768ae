//! Where backups are kept: one file, a folder of them, or a bucket of an S3-compatible store; the last two are rotated.

use super::s3::Bucket;
use crate::error::{Failure, Result, exit};
use futures::future::BoxFuture;
use std::fs::File;
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

/// What begins the name of a place on another node.
pub const ON_NODE: &str = "node:";

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
    /// A folder, or `s3://bucket/prefix`. `env` looks up variables of the environment.
    ///
    /// # Errors
    /// Wrong usage: not a place, or credentials are missing.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        if let Some(rest) = text.strip_prefix("s3://") {
            return Bucket::parse(rest, env).map(|bucket| Self::Shelf(Box::new(bucket)));
        }
        if text.starts_with(ON_NODE) {
            return Err(Failure::new(exit::USAGE, format!("`{text}` is a place that backups are sent to, by `homectl backup --to`"))
                .help("to read one that is there, copy it here first (scp), or prove the newest: homectl drill restore --from"));
        }
        match text.split_once("://") {
            Some(("file", path)) => Ok(Self::Folder(path.into())),
            Some((scheme, _)) => Err(Failure::new(exit::USAGE, format!("`{scheme}://` is no place that backups can be kept in"))
                .help("name a folder, or s3://BUCKET/PREFIX")),
            None => Ok(Self::Folder(text.into())),
        }
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
            Self::Shelf(far) => {
                far.put(name, file.path()).await?;
                return Ok(far.show(name));
            }
        };
        let failed = |e: std::io::Error| Failure::failed(format!("{} could not be written: {e}", path.display()));
        file.as_file().sync_all().map_err(failed)?;
        let persisted = if matches!(self, Self::File(_)) { file.persist(&path) } else { file.persist_noclobber(&path) };
        persisted.map_err(|e| failed(e.error))?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|d| d.sync_all()).map_err(failed)?;
        Ok(path.display().to_string())
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

    /// The backup that `text` names: a file, or an object that is fetched into a temporary one (it stays encrypted).
    ///
    /// # Errors
    /// As [`Place::parse`]; there is none.
    pub async fn fetch(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<(PathBuf, Option<NamedTempFile>)> {
        if text.starts_with(ON_NODE) {
            Self::parse(text, env)?;
        }
        let Some(rest) = text.strip_prefix("s3://") else {
            return Ok((text.strip_prefix("file://").unwrap_or(text).into(), None));
        };
        let (at, name) = rest.rsplit_once('/').ok_or_else(|| Failure::new(exit::USAGE, format!("{text} names no object")))?;
        let file = Self::Shelf(Box::new(Bucket::parse(at, env)?)).bring(name).await?;
        Ok((file.path().to_path_buf(), Some(file)))
    }

    /// A copy on this computer of what is kept here as `name` (it stays encrypted).
    ///
    /// # Errors
    /// The disk, the store; there is none.
    pub async fn bring(&self, name: &str) -> Result<NamedTempFile> {
        let file = tempfile::Builder::new().prefix(".backup-").tempfile();
        let file = file.map_err(|e| Failure::failed(format!("there is no place for a temporary file: {e}")))?;
        match self {
            Self::Shelf(far) => far.get(name, file.path()).await?,
            Self::File(path) => copy(path, file.path())?,
            Self::Folder(folder) => copy(&folder.join(name), file.path())?,
        }
        Ok(file)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).map(drop).map_err(|e| Failure::failed(format!("{} cannot be read: {e}", from.display())))
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
