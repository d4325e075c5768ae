//! A web server of a few lines that can misbehave: one answer for each request, written as bytes.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// What is done with one connection.
#[derive(Clone)]
pub(super) enum Answer {
    /// Head and body, then the connection ends.
    Bytes(Vec<u8>),
    /// The same, a byte at a time with pauses.
    Slowly(Vec<u8>, Duration),
    /// The same, and then nothing, with the connection open.
    ThenSilence(Vec<u8>),
    /// The head, then zeros for ever.
    Endless(Vec<u8>),
}

/// Everything that was asked: the first line and the `range` header, in order.
pub(super) type Asked = Arc<Mutex<Vec<String>>>;

pub(super) fn ok(body: &[u8]) -> Vec<u8> {
    head("200 OK", "", body.len(), body)
}

pub(super) fn head(status: &str, more: &str, length: usize, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n").as_bytes(), body].concat()
}

/// Answers request number N (from 0) with what `answer` says about it; ends with the test's runtime.
pub(super) async fn serve(answer: impl Fn(usize, &str) -> Answer + Send + Sync + 'static) -> (Url, Asked) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
            tokio::spawn(async move {
                let Some(request) = request(&mut stream).await else { return };
                let n = {
                    let mut log = log.lock().unwrap();
                    log.push(request.clone());
                    log.len() - 1
                };
                reply(stream, answer(n, &request)).await;
            });
        }
    });
    (url, asked)
}

async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let range = head.lines().find(|l| l.to_lowercase().starts_with("range:")).map_or(String::new(), |l| format!(" {}", l.to_lowercase()));
    Some(format!("{}{range}", head.lines().next()?.trim_end_matches(" HTTP/1.1")))
}

/// A client that goes away is no failure of the server.
async fn reply(mut stream: TcpStream, answer: Answer) {
    match answer {
        Answer::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Answer::Slowly(bytes, pause) => {
            for byte in bytes {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(pause).await;
            }
        }
        Answer::ThenSilence(bytes) => {
            let _ = stream.write_all(&bytes).await;
            std::future::pending::<()>().await;
        }
        Answer::Endless(bytes) => {
            let mut more = bytes;
            while stream.write_all(&more).await.is_ok() {
                more = vec![0; 1 << 16];
            }
        }
    }
}
