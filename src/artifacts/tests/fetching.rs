//! One artifact: from a folder, over HTTP, again from the cache; and everything that can be wrong on the way.

use super::super::{Limits, Progress, Store, Unpacked};
use super::server::{Answer, Asked, head, ok, serve};
use crate::cluster::{Artifact, Component};
use crate::error::Failure;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use url::Url;

const URL: &str = "https://dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubelet";

pub(super) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

fn program() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn artifact(bytes: &[u8]) -> Artifact {
    Artifact { url: URL.to_owned(), sha256: sha256(bytes) }
}

fn impatient() -> Limits {
    Limits {
        connect: Duration::from_secs(2),
        slow_window: Duration::from_millis(300),
        slow_bytes: 3000,
        download: 4 << 20,
        unpacked: 8 << 20,
        retries: 2,
        backoff: Duration::from_millis(5),
    }
}

fn store(mirror: &Url, cache: &TempDir) -> Store {
    Store::with_limits(Some(mirror), cache.path().to_path_buf(), impatient())
}

async fn fetch(store: &Store, artifact: &Artifact) -> Result<Unpacked, Failure> {
    store.fetch(Component::Kubelet, artifact, &|_| {}).await
}

fn said(error: &Failure) -> String {
    let text = error.to_string();
    assert!(error.remedy().is_some(), "no remedy in {text}");
    text
}

fn left(cache: &TempDir, artifact: &Artifact) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(cache.path().join(&artifact.sha256))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n != "lock")
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn from_a_folder_and_then_from_the_cache() {
    let (mirror, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let bytes = program();
    let place = mirror.path().join(URL.trim_start_matches("https://"));
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(&place, &bytes).unwrap();
    let url = Url::from_file_path(mirror.path()).unwrap();
    let store = store(&url, &cache);
    let progress = Mutex::new(Vec::new());
    let first = store.fetch(Component::Kubelet, &artifact(&bytes), &|p| progress.lock().unwrap().push(p)).await.unwrap();
    let size = bytes.len() as u64;
    assert_eq!(progress.lock().unwrap().last(), Some(&Progress { done: size, total: Some(size) }));
    assert!(!first.cached);
    let file = &first.files[0];
    assert_eq!((file.name.as_str(), file.sha256.as_str(), file.size), ("kubelet", sha256(&bytes).as_str(), size));
    assert_eq!(std::fs::read(&file.path).unwrap(), bytes);
    assert_eq!(std::fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(left(&cache, &artifact(&bytes)), ["files", "manifest.json"]);
    // The mirror is not needed again.
    drop(mirror);
    let again = fetch(&store, &artifact(&bytes)).await.unwrap();
    assert!(again.cached);
    assert_eq!(again.files, first.files);
}

#[tokio::test]
async fn a_cached_file_that_was_changed_is_downloaded_again_and_a_touched_one_is_not() {
    let cache = TempDir::new().unwrap();
    let bytes = program();
    let body = ok(&bytes);
    let (mirror, asked) = serve(move |_, _| Answer::Bytes(body.clone())).await;
    let store = store(&mirror, &cache);
    let path = fetch(&store, &artifact(&bytes)).await.unwrap().files[0].path.clone();
    std::fs::File::open(&path).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert!(fetch(&store, &artifact(&bytes)).await.unwrap().cached);
    // The same size, another byte, another time.
    let mut evil = bytes.clone();
    evil[7] ^= 1;
    std::fs::write(&path, evil).unwrap();
    assert!(!fetch(&store, &artifact(&bytes)).await.unwrap().cached);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    std::fs::write(&path, b"short").unwrap();
    assert!(!fetch(&store, &artifact(&bytes)).await.unwrap().cached);
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/bin/true", &path).unwrap();
    assert!(!fetch(&store, &artifact(&bytes)).await.unwrap().cached);
    assert_eq!(asked.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn many_at_once_download_once() {
    let cache = TempDir::new().unwrap();
    let bytes = program();
    let body = ok(&bytes);
    let (mirror, asked) = serve(move |_, _| Answer::Bytes(body.clone())).await;
    // Two stores are two runs that share a cache.
    let (one, two) = (store(&mirror, &cache), store(&mirror, &cache));
    let artifact = artifact(&bytes);
    let all = futures::future::join_all((0..20).map(|i| fetch(if i % 2 == 0 { &one } else { &two }, &artifact))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_flipped_bit_is_refused_and_kept_aside() {
    let cache = TempDir::new().unwrap();
    let mut bytes = program();
    let artifact = artifact(&bytes);
    bytes[1000] ^= 1;
    let body = ok(&bytes);
    let (mirror, asked) = serve(move |_, _| Answer::Bytes(body.clone())).await;
    let error = said(&fetch(&store(&mirror, &cache), &artifact).await.unwrap_err());
    for part in [artifact.sha256.as_str(), sha256(&bytes).as_str(), mirror.as_str(), "is not what the lock says"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(left(&cache, &artifact), ["refused"]);
    assert_eq!(asked.lock().unwrap().len(), 1, "asking again would not help");
}

#[tokio::test]
async fn a_web_page_is_told_as_such() {
    let cache = TempDir::new().unwrap();
    let page = ok(b"<!DOCTYPE html>\n<title>Please log in</title>");
    let (mirror, _) = serve(move |_, _| Answer::Bytes(page.clone())).await;
    let error = said(&fetch(&store(&mirror, &cache), &artifact(&program())).await.unwrap_err());
    assert!(error.contains("a web page came instead") && error.contains("<!DOCTYPE html>"), "{error}");
}

fn range_start(request: &str) -> Option<usize> {
    request.split_once("bytes=")?.1.trim_end_matches('-').parse().ok()
}

#[tokio::test]
async fn a_broken_transfer_goes_on_where_it_broke() {
    let cache = TempDir::new().unwrap();
    let bytes = program();
    let whole = bytes.clone();
    let (mirror, asked) = serve(move |n, request| {
        let size = whole.len();
        Answer::Bytes(match (n, range_start(request)) {
            (0, None) => head("200 OK", "", size, &whole[..500_000]),
            (_, Some(from)) => {
                head("206 Partial Content", &format!("content-range: bytes {from}-{}/{size}\r\n", size - 1), size - from, &whole[from..])
            }
            other => panic!("{other:?}"),
        })
    })
    .await;
    let unpacked = fetch(&store(&mirror, &cache), &artifact(&bytes)).await.unwrap();
    assert_eq!(std::fs::read(&unpacked.files[0].path).unwrap(), bytes);
    let path = URL.trim_start_matches("https://");
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], format!("GET /{path}"));
    let from = range_start(&asked[1]).unwrap();
    assert!((1..=500_000).contains(&from), "{asked:?}");
}

/// What an earlier run left, in place before the first request.
fn leave(cache: &TempDir, artifact: &Artifact, part: &[u8]) {
    let folder = cache.path().join(&artifact.sha256);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("download.part"), part).unwrap();
}

async fn resumed(part: &[u8], ranges: bool) -> (Result<Unpacked, Failure>, Vec<String>) {
    let cache = TempDir::new().unwrap();
    let bytes = program();
    leave(&cache, &artifact(&bytes), part);
    let whole = bytes.clone();
    let (mirror, asked): (Url, Asked) = serve(move |_, request| {
        let size = whole.len();
        Answer::Bytes(match range_start(request).filter(|_| ranges) {
            None => ok(&whole),
            Some(from) if from >= size => head("416 Range Not Satisfiable", &format!("content-range: bytes */{size}\r\n"), 0, b""),
            Some(from) => {
                head("206 Partial Content", &format!("content-range: bytes {from}-{}/{size}\r\n", size - 1), size - from, &whole[from..])
            }
        })
    })
    .await;
    let result = fetch(&store(&mirror, &cache), &artifact(&bytes)).await;
    if let Ok(unpacked) = &result {
        assert_eq!(std::fs::read(&unpacked.files[0].path).unwrap(), bytes);
    }
    let asked = asked.lock().unwrap().clone();
    (result, asked)
}

#[tokio::test]
async fn what_an_earlier_run_left_is_used_or_thrown_away() {
    let bytes = program();
    let (result, asked) = resumed(&bytes[..1000], true).await;
    assert!(result.is_ok() && asked.len() == 1 && asked[0].ends_with("bytes=1000-"), "{asked:?}");
    // A server without ranges sends everything.
    let (result, asked) = resumed(&bytes[..1000], false).await;
    assert!(result.is_ok() && asked.len() == 1, "{asked:?}");
    // Everything is there already.
    let (result, asked) = resumed(&bytes, true).await;
    assert!(result.is_ok() && asked.len() == 1, "{asked:?}");
    // It was something else: once more from the beginning.
    for wrong in [vec![1; 1000], vec![1; bytes.len() + 5]] {
        let (result, asked) = resumed(&wrong, true).await;
        assert!(result.is_ok() && asked.len() == 2 && range_start(&asked[1]).is_none(), "{asked:?}");
    }
}

#[tokio::test]
async fn a_transfer_that_breaks_again_and_again_is_given_up_and_kept_for_later() {
    let cache = TempDir::new().unwrap();
    let bytes = program();
    let body = head("200 OK", "", bytes.len(), &bytes[..1000]);
    let (mirror, asked) = serve(move |_, _| Answer::Bytes(body.clone())).await;
    let error = said(&fetch(&store(&mirror, &cache), &artifact(&bytes)).await.unwrap_err());
    assert!(error.contains("broke off") && error.contains(mirror.as_str()), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 3);
    assert_eq!(left(&cache, &artifact(&bytes)), ["download.part"]);
}

#[tokio::test]
async fn stalls_and_crawls_are_given_up() {
    let bytes = program();
    let start = head("200 OK", "", bytes.len(), &bytes[..100]);
    let silent = start.clone();
    for answer in [Answer::ThenSilence(silent), Answer::Slowly(start, Duration::from_millis(10)), Answer::ThenSilence(Vec::new())] {
        let cache = TempDir::new().unwrap();
        let (mirror, _) = serve(move |_, _| answer.clone()).await;
        let began = Instant::now();
        let error = said(&fetch(&store(&mirror, &cache), &artifact(&bytes)).await.unwrap_err());
        assert!(error.contains("bytes came in") || error.contains("no answer within"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn what_never_ends_is_cut_off() {
    for start in ["HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"] {
        let cache = TempDir::new().unwrap();
        let (mirror, _) = serve(move |_, _| Answer::Endless(start.as_bytes().to_vec())).await;
        let error = said(&fetch(&store(&mirror, &cache), &artifact(&program())).await.unwrap_err());
        assert!(error.contains("larger than 4 MiB"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_sends_another_part_is_refused() {
    let cache = TempDir::new().unwrap();
    let bytes = program();
    leave(&cache, &artifact(&bytes), &bytes[..1000]);
    let body = head("206 Partial Content", "content-range: bytes 5-9/10\r\n", 5, b"12345");
    let (mirror, _) = serve(move |_, _| Answer::Bytes(body.clone())).await;
    let error = fetch(&store(&mirror, &cache), &artifact(&bytes)).await.unwrap_err();
    assert!(error.what().contains("another part"), "{error}");
}

#[tokio::test]
async fn statuses() {
    for (status, requests, text) in [
        ("404 Not Found", 1, "is not there"),
        ("403 Forbidden", 1, "answered 403 Forbidden"),
        ("503 Service Unavailable", 3, "answered 503 Service Unavailable"),
    ] {
        let cache = TempDir::new().unwrap();
        let body = head(status, "", 0, b"");
        let (mirror, asked) = serve(move |_, _| Answer::Bytes(body.clone())).await;
        let error = said(&fetch(&store(&mirror, &cache), &artifact(&program())).await.unwrap_err());
        assert!(error.contains(text) && error.contains(mirror.as_str()) && error.contains("only source"), "{error}");
        assert_eq!(asked.lock().unwrap().len(), requests);
    }
}

#[tokio::test]
async fn redirects_are_followed() {
    let cache = TempDir::new().unwrap();
    let bytes = program();
    let body = ok(&bytes);
    let (mirror, _) = serve(move |_, request| {
        Answer::Bytes(if request == "GET /elsewhere" { body.clone() } else { head("302 Found", "location: /elsewhere\r\n", 0, b"") })
    })
    .await;
    assert!(fetch(&store(&mirror, &cache), &artifact(&bytes)).await.is_ok());
}

#[tokio::test]
async fn a_mirror_that_is_not_there_names_the_url() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cache = TempDir::new().unwrap();
    let gone = TempDir::new().unwrap();
    let folder = Url::from_file_path(gone.path()).unwrap();
    let error = said(&fetch(&store(&folder, &cache), &artifact(&program())).await.unwrap_err());
    assert!(error.contains(folder.path()) && error.contains("is not there"), "{error}");
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let closed = Url::parse(&format!("http://{free}")).unwrap();
    let error = said(&fetch(&store(&closed, &cache), &artifact(&program())).await.unwrap_err());
    assert!(error.contains(&free.to_string()) && error.to_lowercase().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_is_named() {
    let mirror = Url::parse("file:///nowhere").unwrap();
    let store = Store::with_limits(Some(&mirror), Path::new("/proc/version/artifacts").to_path_buf(), impatient());
    let error = said(&fetch(&store, &artifact(&program())).await.unwrap_err());
    assert!(error.contains("/proc/version/artifacts") && error.contains("XDG_CACHE_HOME"), "{error}");
}
