//! Where backups are kept: one file, a folder of them, or a bucket of an S3-compatible store; the last two are rotated.

use super::s3::Bucket;
use crate::error::{Failure, Result};
use futures::future::BoxFuture;
use jiff::SignedDuration;
use jiff::civil::DateTime;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::NamedTempFile;

/// After a backup's cluster and time.
const END: &str = ".backup.age";
/// How a backup's name tells its time, UTC.
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// What files that are not backups yet, or copies that are being read, are called before six letters and digits.
const STAGED: &str = ".homectl-backup-";
/// How long nobody has written to such a file when nobody is going to.
const LEFT: Duration = Duration::from_hours(1);
/// How far the clocks of two computers that keep backups in one place may be apart.
const APART: SignedDuration = SignedDuration::from_hours(1);

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
    name.rsplit_once('-').is_some_and(|(own, _)| own == cluster) && time_of(name).is_some()
}

/// The time that a backup's name tells, UTC.
fn time_of(name: &str) -> Option<DateTime> {
    let (_, time) = name.rsplit_once('-')?;
    DateTime::strptime(TIME, time.strip_suffix(END)?).ok()
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
        staged(&folder).map_err(failed)
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

    /// Removes of `all`, the backups of one cluster here, newest first, all but `keep`: `name`, which was kept just now, and the newest
    /// others. The names of those that went. Nothing else is ever touched.
    ///
    /// # Errors
    /// The disk, the store; some tell a later time than `name`: by whichever clock that is, the wrong ones could go, so none does.
    pub async fn rotate(&self, all: &[Kept], keep: usize, name: &str) -> Result<Vec<String>> {
        let others = || all.iter().map(|kept| kept.name.as_str()).filter(|other| *other != name);
        let is_ahead = |other: &&str| time_of(other).zip(time_of(name)).is_some_and(|(other, own)| other.duration_since(own) > APART);
        let ahead: Vec<&str> = others().filter(is_ahead).collect();
        if !ahead.is_empty() {
            return Err(Failure::failed(format!(
                "nothing older was removed beside {}: {} there tell a later time",
                self.show(name),
                ahead.len()
            ))
            .seen(ahead.join("\n"))
            .help(
                "one clock was wrong: this computer's now (timedatectl), or the one that gave those their names. \
                     Where this one is right, rename or remove those",
            ));
        }
        let mut gone = Vec::new();
        for old in others().skip(keep.saturating_sub(1)) {
            match self {
                Self::File(_) => {}
                Self::Folder(folder) => std::fs::remove_file(folder.join(old))
                    .map_err(|e| Failure::failed(format!("{} could not be removed: {e}", folder.join(old).display())))?,
                Self::Shelf(far) => far.remove(old).await?,
            }
            gone.push(old.to_owned());
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
        let file = staged(&std::env::temp_dir()).map_err(|e| {
            Failure::failed(format!("there is no place for a temporary file: {e}")).help("make room, or set TMPDIR to a folder that has it")
        })?;
        far.get(name, file.path()).await?;
        Ok((file.path().to_path_buf(), Some(file)))
    }
}

/// A new file of ours (0600) in `folder`, held by a lock while it is one; what runs that were cut off have left there goes.
fn staged(folder: &Path) -> std::io::Result<NamedTempFile> {
    sweep(folder);
    let file = tempfile::Builder::new().prefix(STAGED).tempfile_in(folder)?;
    // Where a file system has no locks, age alone tells.
    let _ = file.as_file().try_lock();
    Ok(file)
}

/// What cannot be looked at, or does not go, is in nobody's way.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let letters = entry.file_name().to_str().and_then(|name| name.strip_prefix(STAGED).map(str::to_owned));
        let is_ours = letters.is_some_and(|l| l.len() == 6 && l.bytes().all(|b| b.is_ascii_alphanumeric()));
        let is_old = |meta: std::fs::Metadata| meta.is_file() && meta.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFT));
        if is_ours && entry.metadata().is_ok_and(is_old) && !is_held(&entry.path()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether a run that lives has it.
fn is_held(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
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
