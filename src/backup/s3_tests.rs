//! Buckets: against a small store in this process, and (where `HOMECTL_TEST_S3` names its address) a real one.

use super::super::{Place, file_name};
use crate::error::Result;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

type Objects = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A store that keeps objects of the bucket `attic` and lists two a page; a request that is not signed, or by another key, is refused.
fn store() -> (String, Objects) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let objects = Objects::default();
    let kept = Arc::clone(&objects);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || while serve(stream.as_ref().unwrap(), &kept) {});
        }
    });
    (address, objects)
}

/// One request; false at the end.
fn serve(stream: &TcpStream, objects: &Objects) -> bool {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return false;
    }
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        if header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let (status, answer, size) = answer(words[0], words[1], body, objects);
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {size}\r\n\r\n");
    let mut out = stream;
    out.write_all(head.as_bytes()).unwrap();
    if words[0] != "HEAD" {
        out.write_all(&answer).unwrap();
    }
    true
}

fn answer(method: &str, target: &str, body: Vec<u8>, objects: &Objects) -> (&'static str, Vec<u8>, usize) {
    let whole = |status, bytes: Vec<u8>| {
        let size = bytes.len();
        (status, bytes, size)
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if !query.contains("X-Amz-Signature=") || !query.contains("X-Amz-Credential=key%2F") {
        return whole("403 Forbidden", b"<Error><Code>AccessDenied</Code><Message>who are you</Message></Error>".to_vec());
    }
    let Some(key) = path.strip_prefix("/attic/").or_else(|| (path == "/attic").then_some("")) else {
        return whole("404 Not Found", b"<Error><Code>NoSuchBucket</Code></Error>".to_vec());
    };
    let mut objects = objects.lock().unwrap();
    match (method, objects.get(key)) {
        ("GET", _) if query.contains("list-type=2") => whole("200 OK", list(&objects, query)),
        ("PUT", _) => {
            objects.insert(key.to_owned(), body);
            whole("200 OK", Vec::new())
        }
        ("DELETE", _) => {
            objects.remove(key);
            ("204 No Content", Vec::new(), 0)
        }
        ("GET" | "HEAD", Some(bytes)) => whole("200 OK", bytes.clone()),
        _ => whole("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>".to_vec()),
    }
}

fn list(objects: &BTreeMap<String, Vec<u8>>, query: &str) -> Vec<u8> {
    let of = |name: &str| query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default().replace("%2F", "/");
    let (prefix, from) = (of("prefix"), of("continuation-token"));
    let mut all = objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > from).peekable();
    let mut page = String::new();
    let mut last = String::new();
    for (key, bytes) in all.by_ref().take(2) {
        let size = bytes.len();
        write!(
            page,
            "<Contents><Key>{key}</Key><LastModified>2026-11-22T06:00:00.000Z</LastModified><ETag>\"x\"</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )
        .unwrap();
        key.clone_into(&mut last);
    }
    let more = all.peek().map_or_else(String::new, |_| format!("<NextContinuationToken>{last}</NextContinuationToken>"));
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>attic</Name><Prefix>{prefix}</Prefix>\
         <KeyCount>2</KeyCount><MaxKeys>2</MaxKeys>{page}{more}</ListBucketResult>"
    )
    .into_bytes()
}

fn place(address: &str, text: &str, key: &str) -> Result<Place> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let (address, key) = (address.to_owned(), key.to_owned());
    Place::bucket(text, &move |name| match name {
        "AWS_ACCESS_KEY_ID" => Some(key.clone()),
        "AWS_SECRET_ACCESS_KEY" => Some("secret".into()),
        "AWS_ENDPOINT_URL" => Some(address.clone()),
        _ => None,
    })
}

/// Five backups go in, three stay; what is fetched is what was kept.
async fn rotates(address: &str) {
    let place = place(address, "attic/home/backups/", "key").unwrap();
    let at = |day: i8| jiff::civil::date(2026, 11, day).at(6, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    for day in 1..=5 {
        let staged = place.staging().unwrap();
        std::fs::write(staged.path(), format!("backup of day {day}").repeat(100_000)).unwrap();
        let shown = place.keep(staged, &file_name("home", at(day))).await.unwrap();
        assert_eq!(shown, format!("s3://attic/home/backups/home-202611{day:02}T060000Z.backup.age"));
    }
    let of = async |cluster: &str| place.list(cluster).await.unwrap();
    assert_eq!(place.rotate(&of("cabin").await, 1, "cabin-20261101T060000Z.backup.age").await.unwrap(), Vec::<String>::new());
    let all = of("home").await;
    assert_eq!(place.rotate(&all, 3, &all[0].name).await.unwrap().len(), 2);
    let left = place.list("home").await.unwrap();
    assert_eq!(left.iter().map(|k| &k.name[5..13]).collect::<Vec<_>>(), ["20261105", "20261104", "20261103"]);
    assert_eq!(left[0].bytes, 1_500_000);
    let Place::Shelf(bucket) = &place else { panic!("a bucket") };
    let to = tempfile::NamedTempFile::new().unwrap();
    bucket.get(&left[0].name, to.path()).await.unwrap();
    assert_eq!(std::fs::read_to_string(to.path()).unwrap(), "backup of day 5".repeat(100_000));
    let missing = bucket.get("home-nothing", to.path()).await.unwrap_err();
    assert!(missing.what().ends_with("the store answered 404 Not Found") && missing.remedy().is_some(), "{missing}");
}

#[tokio::test]
async fn a_bucket_keeps_the_newest() {
    let (address, objects) = store();
    objects.lock().unwrap().insert("home/backups/notes.txt".into(), b"mine".to_vec());
    rotates(&address).await;
    assert!(objects.lock().unwrap().contains_key("home/backups/notes.txt"), "nothing else is touched");
    // One that somebody made, with a bucket `attic` and the credentials `key` and `secret`.
    if let Ok(real) = std::env::var("HOMECTL_TEST_S3") {
        rotates(&real).await;
    }
}

#[tokio::test]
async fn what_a_store_refuses_is_told_without_the_signature() {
    let (address, _) = store();
    let stranger = place(&address, "attic/x", "another").unwrap();
    let failure = stranger.list("home").await.unwrap_err();
    assert_eq!(failure.evidence(), ["AccessDenied", "who are you"]);
    let gone = place("http://127.0.0.1:9", "attic/x", "key").unwrap().list("home").await.unwrap_err();
    for failure in [&failure, &gone] {
        assert!(!failure.to_string().contains("X-Amz"), "{failure}");
        assert!(failure.remedy().is_some());
    }
}
