//! Where bytes come from: upstream, or the mirror in its place. A mirror that is set is the only source.

use crate::error::{Failure, Result};
use bytes::Bytes;
use futures::StreamExt;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use url::Url;

/// Bytes read from a file at once.
const FILE_CHUNK: usize = 256 << 10;

/// What is waited for, and how much is taken.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Until the connection stands.
    pub connect: Duration,
    /// A transfer that brings less than `slow_bytes` in this time is given up.
    pub slow_window: Duration,
    pub slow_bytes: u64,
    /// No program is larger (bytes).
    pub download: u64,
    /// All of an archive, unpacked (bytes).
    pub unpacked: u64,
    /// How often a broken transfer is taken up again.
    pub retries: u32,
    /// Before the first retry without progress; it doubles.
    pub backoff: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            slow_window: Duration::from_secs(30),
            slow_bytes: 30 * 1024,
            download: 512 << 20,
            unpacked: 2 << 30,
            retries: 3,
            backoff: Duration::from_millis(500),
        }
    }
}

/// Why there are no bytes.
pub(super) enum Miss {
    /// The source answered: there is no such file.
    NotFound,
    /// Worth another try: what happened.
    Broken(String),
    /// Final.
    Failed(Failure),
}

/// Upstream or its mirror.
#[derive(Debug)]
pub(super) struct Origin {
    mirror: Option<Url>,
    pub(super) limits: Limits,
    client: OnceLock<Result<reqwest::Client, String>>,
}

/// Bytes on their way.
pub(super) struct Body {
    /// Offset of the first byte that comes.
    pub(super) start: u64,
    /// Size of the whole file, where it was said.
    pub(super) total: Option<u64>,
    bytes: Bytes_,
}

enum Bytes_ {
    File(Box<tokio::fs::File>),
    Http(futures::stream::BoxStream<'static, reqwest::Result<Bytes>>),
}

impl Origin {
    pub(super) fn new(mirror: Option<&Url>, limits: Limits) -> Self {
        Self { mirror: mirror.cloned(), limits, client: OnceLock::new() }
    }

    /// The URL that is asked for an upstream URL.
    pub(super) fn place(&self, upstream: &str) -> Result<Url> {
        let unusable = || Failure::bug(format!("`{upstream}` is not a URL to download from"));
        let url = Url::parse(upstream).map_err(|_| unusable())?;
        let Some(mirror) = &self.mirror else { return Ok(url) };
        let host = url.host_str().ok_or_else(unusable)?;
        Url::parse(&format!("{}/{host}{}", mirror.as_str().trim_end_matches('/'), url.path())).map_err(|_| unusable())
    }

    /// What to do about a file that is not there.
    pub(super) fn advice(&self) -> &'static str {
        if self.mirror.is_some() {
            "the mirror is the only source while [artifacts] mirror is set: put the file there (https://HOST/PATH lies at MIRROR/HOST/PATH), or remove the key"
        } else {
            "check the way to the internet, or set [artifacts] mirror"
        }
    }

    /// Begins to read an upstream file at `offset`; the source may begin at 0 instead.
    pub(super) async fn open(&self, upstream: &str, offset: u64) -> Result<Body, Miss> {
        let url = self.place(upstream).map_err(Miss::Failed)?;
        if url.scheme() == "file" { open_file(&url, offset).await } else { self.open_http(url, offset).await }
    }

    async fn open_http(&self, url: Url, offset: u64) -> Result<Body, Miss> {
        let mut request = self.client().map_err(Miss::Failed)?.get(url.clone());
        if offset > 0 {
            request = request.header("Range", format!("bytes={offset}-"));
        }
        let answer = tokio::time::timeout(self.limits.slow_window, request.send()).await;
        let response = match answer {
            Err(_) => return Err(Miss::Broken(format!("no answer within {} s", self.limits.slow_window.as_secs_f32()))),
            Ok(Err(e)) => return Err(Miss::Broken(causes(&e))),
            Ok(Ok(response)) => response,
        };
        let status = response.status();
        match status.as_u16() {
            200 => {
                let total = response.content_length();
                Ok(Body { start: 0, total, bytes: Bytes_::Http(response.bytes_stream().boxed()) })
            }
            206 => {
                let Some((start, total)) = content_range(&response) else {
                    return Err(Miss::Failed(Failure::failed(format!("{url} answers a range request without saying which part it sends"))));
                };
                Ok(Body { start, total, bytes: Bytes_::Http(response.bytes_stream().boxed()) })
            }
            404 | 410 => Err(Miss::NotFound),
            // Nothing after what we have: let the sum decide.
            416 => Ok(Body { start: offset, total: Some(offset), bytes: Bytes_::Http(futures::stream::empty().boxed()) }),
            408 | 429 | 500..=599 => Err(Miss::Broken(format!("the server answered {status}"))),
            _ => Err(Miss::Failed(Failure::failed(format!("{url} cannot be had: the server answered {status}")).help(self.advice()))),
        }
    }

    fn client(&self) -> Result<&reqwest::Client> {
        let client = self.client.get_or_init(|| {
            reqwest::Client::builder()
                .user_agent(concat!("homectl/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(self.limits.connect)
                .redirect(reqwest::redirect::Policy::custom(redirect))
                .build()
                .map_err(|e| causes(&e))
        });
        client.as_ref().map_err(|why| {
            Failure::failed(format!("no HTTP client can be made: {why}"))
                .help("TLS needs the certificate authorities of this machine: install its package `ca-certificates`")
        })
    }
}

/// At most ten, and never from a protected connection to an open one: sums are read this way.
fn redirect(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    let was_https = attempt.previous().last().is_some_and(|u| u.scheme() == "https");
    if attempt.previous().len() > 10 {
        attempt.error("more than ten redirects")
    } else if was_https && attempt.url().scheme() != "https" {
        attempt.error("redirected from https to http")
    } else {
        attempt.follow()
    }
}

async fn open_file(url: &Url, offset: u64) -> Result<Body, Miss> {
    let failed = |what: String| Miss::Failed(Failure::failed(what));
    let path: PathBuf = url.to_file_path().map_err(|()| failed(format!("{url} is not a file on this machine")))?;
    let read = |e: io::Error| {
        if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            Miss::NotFound
        } else {
            failed(format!("cannot read {}: {e}", path.display()))
        }
    };
    let mut file = tokio::fs::File::open(&path).await.map_err(read)?;
    let meta = file.metadata().await.map_err(read)?;
    if !meta.is_file() {
        return Err(failed(format!("{} is not a regular file", path.display())));
    }
    let start = if offset <= meta.len() { offset } else { 0 };
    file.seek(io::SeekFrom::Start(start)).await.map_err(read)?;
    file.set_max_buf_size(FILE_CHUNK);
    Ok(Body { start, total: Some(meta.len()), bytes: Bytes_::File(Box::new(file)) })
}

/// `bytes 100-199/200` → where it starts, and the whole size.
fn content_range(response: &reqwest::Response) -> Option<(u64, Option<u64>)> {
    let value = response.headers().get("content-range")?.to_str().ok()?;
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

impl Body {
    /// The next bytes; `None` at the end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, String> {
        match &mut self.bytes {
            Bytes_::Http(stream) => stream.next().await.transpose().map_err(|e| causes(&e)),
            Bytes_::File(file) => {
                let mut buffer = bytes::BytesMut::with_capacity(FILE_CHUNK);
                let n = file.read_buf(&mut buffer).await.map_err(|e| e.to_string())?;
                Ok((n > 0).then(|| buffer.freeze()))
            }
        }
    }
}

/// An error with all that led to it: reqwest's own words say too little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.ends_with(&text) {
            said = format!("{said}: {text}");
        }
        next = cause.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_has_the_host_in_its_path() {
        let upstream = "https://dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubelet";
        let place = |mirror: Option<&str>| {
            let mirror = mirror.map(|m| Url::parse(m).unwrap());
            Origin::new(mirror.as_ref(), Limits::default()).place(upstream).unwrap().to_string()
        };
        assert_eq!(place(None), upstream);
        let path = "dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubelet";
        for mirror in ["http://nas.lan/mirror", "http://nas.lan/mirror/", "http://nas.lan:8080", "file:///srv/a%20b"] {
            assert_eq!(place(Some(mirror)), format!("{}/{path}", mirror.trim_end_matches('/')));
        }
    }
}
