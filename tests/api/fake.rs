//! A small API server that answers as a test tells it, over TLS with client certificates, one thread a connection.

use crate::pki::{Leaf, leaf};
use homectl::secrets::Secrets;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, server::WebPkiClientVerifier};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What came in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

/// What goes out.
pub(crate) enum Answer {
    Json(u16, serde_json::Value),
    Text(u16, &'static str),
    /// The connection ends without an answer.
    HangUp,
}

type Script = dyn Fn(&Request, usize) -> Answer + Send + Sync;

/// The server; its requests so far.
pub(crate) struct Fake {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Fake {
    /// Starts one that answers with `script`, which is told how many requests came before.
    pub(crate) fn start(secrets: &Secrets, script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (tls, script, log): (_, Arc<Script>, _) = (tls(secrets), Arc::new(script), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, script, log) = (Arc::clone(&tls), Arc::clone(&script), Arc::clone(&log));
                std::thread::spawn(move || serve(stream, tls, &*script, &log));
            }
        });
        Self { port, seen }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// `METHOD path` of each request.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().iter().map(|r| format!("{} {}", r.method, r.path)).collect()
    }
}

fn tls(secrets: &Secrets) -> Arc<ServerConfig> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let ca = CertificateDer::from_pem_slice(secrets.cluster_ca.cert.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(ca).unwrap();
    let serving = leaf(&secrets.cluster_ca, &Leaf { name: "apiserver", dns: &["kubernetes"], server: true, ..Leaf::default() });
    let chain = vec![CertificateDer::from_pem_slice(serving.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(serving.key.expose().as_bytes()).unwrap();
    let clients = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    Arc::new(ServerConfig::builder().with_client_cert_verifier(clients).with_single_cert(chain, key).unwrap())
}

/// Serves one connection until it ends or is hung up.
fn serve(stream: TcpStream, tls: Arc<ServerConfig>, script: &Script, log: &Mutex<Vec<Request>>) {
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream));
    while let Some(request) = read(&mut stream) {
        let before = {
            let mut log = log.lock().unwrap();
            log.push(request.clone());
            log.len() - 1
        };
        let (code, kind, body) = match script(&request, before) {
            Answer::Json(code, value) => (code, "application/json", value.to_string()),
            Answer::Text(code, text) => (code, "text/plain", text.to_owned()),
            Answer::HangUp => return,
        };
        let head = format!("HTTP/1.1 {code} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        if stream.get_mut().write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

fn read(stream: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    if stream.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut length, mut content_type) = (0, String::new());
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "content-type" => value.clone_into(&mut content_type),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Request { method, path, content_type, body: String::from_utf8(body).ok()? })
}
