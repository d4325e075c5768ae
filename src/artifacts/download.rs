//! One file into the cache: resumed where it broke off, hashed as it comes, given up when it crawls or never ends.

use super::origin::{Limits, Miss, Origin};
use super::store::Progress;
use crate::cluster::Artifact;
use crate::error::{Failure, Result};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Pieces between network and disk; more is only memory.
const QUEUE: usize = 8;

/// Called with every piece that arrives.
pub(super) type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// How one try ended, when not in failure.
enum Try {
    /// Everything came; the sum of all of it.
    Whole { sum: String, size: u64, resumed: bool },
    /// It broke off; how many bytes this try brought, and what was seen.
    Broken { gained: u64, why: String },
}

/// Downloads `artifact` to `part` and proves its sum.
///
/// # Errors
/// Not there, not reachable, too slow, too large, or not what the lock says. The partial file stays for the next run,
/// except when its content was wrong.
pub(super) async fn download(origin: &Origin, artifact: &Artifact, part: &Path, progress: OnProgress<'_>) -> Result<()> {
    let url = origin.place(&artifact.url)?;
    let mut tries_left = origin.limits.retries;
    let mut backoff = origin.limits.backoff;
    let mut fresh_start = false;
    loop {
        match attempt(origin, artifact, part, progress).await? {
            Try::Whole { sum, .. } if sum == artifact.sha256 => return Ok(()),
            // What lay here from an earlier run may have been wrong: once more from the beginning.
            Try::Whole { resumed: true, .. } if !fresh_start => {
                fresh_start = true;
                remove(part)?;
            }
            Try::Whole { sum, size, .. } => return Err(wrong_sum(artifact, url.as_str(), part, &sum, size)),
            Try::Broken { gained, why } => {
                if tries_left == 0 {
                    return Err(Failure::failed(format!("downloading {url} broke off: {why}")).help(origin.advice()));
                }
                tries_left -= 1;
                if gained == 0 {
                    tokio::time::sleep(backoff).await;
                    backoff *= 2;
                }
            }
        }
    }
}

async fn attempt(origin: &Origin, artifact: &Artifact, part: &Path, progress: OnProgress<'_>) -> Result<Try> {
    let (have, hasher) = hash_existing(part).await?;
    let url = origin.place(&artifact.url)?;
    let mut body = match origin.open(&artifact.url, have).await {
        Ok(body) => body,
        Err(Miss::NotFound) => return Err(Failure::failed(format!("{url} is not there")).help(origin.advice())),
        Err(Miss::Broken(why)) => return Ok(Try::Broken { gained: 0, why }),
        Err(Miss::Failed(failure)) => return Err(failure),
    };
    let resumed = have > 0 && body.start == have;
    let (mut done, hasher) = if resumed { (have, hasher) } else { (0, Sha256::new()) };
    if !resumed && body.start != 0 {
        return Err(Failure::failed(format!("{url} sends another part of the file than was asked for")));
    }
    too_large(body.total.unwrap_or(0), &url, &origin.limits)?;
    let writer = Writer::start(part, done, hasher);
    let began = done;
    let mut pace = Pace::new(&origin.limits);
    let mut broken = None;
    loop {
        let chunk = match tokio::time::timeout_at(pace.until, body.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => break,
            Ok(Err(why)) => {
                broken = Some(why);
                break;
            }
            Err(_) => Bytes::new(),
        };
        done += chunk.len() as u64;
        too_large(done, &url, &origin.limits)?;
        let more = chunk.len() as u64;
        if !chunk.is_empty() && writer.send(chunk).await.is_err() {
            break;
        }
        progress(Progress { done, total: body.total });
        if let Some(crawl) = pace.count(more) {
            broken = Some(crawl);
            break;
        }
    }
    let sum = writer.finish(part).await?;
    Ok(match broken {
        Some(why) => Try::Broken { gained: done - began, why },
        None => Try::Whole { sum, size: done, resumed },
    })
}

fn too_large(size: u64, url: &url::Url, limits: &Limits) -> Result<()> {
    if size <= limits.download {
        return Ok(());
    }
    Err(Failure::failed(format!("{url} is larger than {} MiB, no program of ours is", limits.download >> 20))
        .help("something else answers there: look at the mirror or the proxy"))
}

/// Bytes in the current window.
struct Pace {
    window: Duration,
    least: u64,
    until: Instant,
    bytes: u64,
}

impl Pace {
    fn new(limits: &Limits) -> Self {
        Self { window: limits.slow_window, least: limits.slow_bytes, until: Instant::now() + limits.slow_window, bytes: 0 }
    }

    /// Counts what came; at the end of a window with too little, says so.
    fn count(&mut self, bytes: u64) -> Option<String> {
        self.bytes += bytes;
        let now = Instant::now();
        if now < self.until {
            return None;
        }
        if self.bytes < self.least {
            return Some(format!("only {} bytes came in {} s", self.bytes, self.window.as_secs_f32()));
        }
        self.until = now + self.window;
        self.bytes = 0;
        None
    }
}

/// Hashes and writes on a thread of its own.
struct Writer {
    chunks: mpsc::Sender<Bytes>,
    thread: tokio::task::JoinHandle<io::Result<Sha256>>,
}

impl Writer {
    fn start(part: &Path, at: u64, mut hasher: Sha256) -> Self {
        let (chunks, mut incoming) = mpsc::channel::<Bytes>(QUEUE);
        let part: PathBuf = part.to_path_buf();
        let thread = tokio::task::spawn_blocking(move || {
            let mut file = File::options().create(true).write(true).truncate(false).open(part)?;
            file.set_len(at)?;
            file.seek(SeekFrom::Start(at))?;
            while let Some(chunk) = incoming.blocking_recv() {
                hasher.update(&chunk);
                file.write_all(&chunk)?;
            }
            Ok(hasher)
        });
        Self { chunks, thread }
    }

    async fn send(&self, chunk: Bytes) -> Result<(), ()> {
        self.chunks.send(chunk).await.map_err(|_| ())
    }

    /// Waits until everything is written; the sum of the whole file.
    async fn finish(self, part: &Path) -> Result<String> {
        drop(self.chunks);
        let written = self.thread.await.map_err(|e| Failure::bug("the writer of a download died").seen(e.to_string()))?;
        written.map(|hasher| HEXLOWER.encode(&hasher.finalize())).map_err(|e| cannot_write(part, &e))
    }
}

fn cannot_write(path: &Path, e: &io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {e}", path.display()))
        .help("make room on this machine, or set XDG_CACHE_HOME to another disk")
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(cannot_write(path, &e)),
        _ => Ok(()),
    }
}

/// Length and hash of what an earlier run left.
async fn hash_existing(part: &Path) -> Result<(u64, Sha256)> {
    let path = part.to_path_buf();
    let hashed = tokio::task::spawn_blocking(move || -> io::Result<(u64, Sha256)> {
        let mut hasher = Sha256::new();
        let Ok(mut file) = File::open(&path) else { return Ok((0, hasher)) };
        let size = hash_into(&mut file, &mut hasher)?;
        Ok((size, hasher))
    });
    hashed
        .await
        .map_err(|e| Failure::bug("hashing a download died").seen(e.to_string()))?
        .map_err(|e| Failure::failed(format!("cannot read {}: {e}", part.display())))
}

/// Feeds everything to the hasher; the number of bytes.
pub(super) fn hash_into(from: &mut impl Read, hasher: &mut Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 18];
    let mut size = 0;
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return Ok(size);
        }
        hasher.update(&buffer[..n]);
        size += n as u64;
    }
}

/// What came is kept aside as `refused`, for whoever wants to look at it, and never used.
fn wrong_sum(artifact: &Artifact, url: &str, part: &Path, sum: &str, size: u64) -> Failure {
    let kept = part.with_file_name("refused");
    let mut start = [0; 64];
    let n = File::open(part).and_then(|mut f| f.read(&mut start)).unwrap_or(0);
    let start = String::from_utf8_lossy(&start[..n]).to_string();
    let aside = std::fs::rename(part, &kept).is_ok();
    let mut failure = Failure::failed(format!("{url} is not what the lock says"))
        .seen(format!("expected sha256 {}", artifact.sha256))
        .seen(format!("actual   sha256 {sum} ({size} bytes)"));
    if aside {
        failure = failure.seen(format!("kept, unused, as {}", kept.display()));
    }
    let web_page = start.trim_start().to_lowercase();
    if web_page.starts_with("<!doctype html") || web_page.starts_with("<html") {
        let first: String = start.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
        return failure
            .seen(format!("it begins with {first}"))
            .help("a web page came instead of the file: a proxy or a login portal is in the way");
    }
    failure.help("nothing was installed; if the file was damaged on its way, run again; if the mirror or upstream changed it, find out why before `homectl lock`")
}
