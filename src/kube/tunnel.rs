//! The way to an API server: a TCP stream that the control plane's SSH session opens, counted, with TLS on it.

use super::ApiError;
use crate::pki::{Ca, issue_for_a_day, visitor};
use crate::secrets::Secrets;
use crate::ssh::{Connection, Stream};
use ::kube::client::ConfigExt;
use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connected, Connection as HyperConnection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The name every API server's certificate carries; no address is ever verified.
pub const SERVER_NAME: &str = "kubernetes";

/// How long a stream and the TLS handshake on it may take.
const CONNECT: Duration = Duration::from_secs(10);

/// One API server and the host whose session leads to it.
#[derive(Clone)]
pub struct Target {
    /// Name of the control plane.
    pub node: String,
    pub connection: Connection,
    /// As seen from that host.
    pub address: String,
    pub port: u16,
}

/// Who we are and whom we trust.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// PEM of the cluster CA; two certificates while another takes its place.
    ca: String,
    /// PEM of the client certificate.
    cert: String,
    key: crate::secrets::SecretText,
}

impl Credentials {
    /// Any client certificate that `ca` signed (all PEM, the key PKCS#8).
    #[must_use]
    pub fn new(ca: String, cert: String, key: crate::secrets::SecretText) -> Self {
        Self { ca, cert, key }
    }

    /// homectl's own for one run, made of the cluster's CA; it is written nowhere. `now` in Unix seconds.
    ///
    /// # Errors
    /// The CA has expired or is damaged.
    pub fn visitor(secrets: &Secrets, now: i64) -> crate::error::Result<Self> {
        let authority = secrets.authority(Ca::Cluster);
        let pair = issue_for_a_day(authority, &visitor(), now)?;
        Ok(Self::new(secrets.trusted(Ca::Cluster), pair.cert, pair.key))
    }
}

/// Traffic with the API, all connections.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: AtomicU64,
    pub(super) up: AtomicU64,
    pub(super) down: AtomicU64,
}

/// An HTTP client for one target: HTTP/2 where the server speaks it, so that parallel calls share one stream.
pub(super) fn client(target: &Target, credentials: &Credentials, tally: &Arc<Tally>) -> Result<::kube::Client, ApiError> {
    let bad = |e: &dyn std::fmt::Display| ApiError::Lost { seen: format!("the operator's certificate or the cluster CA is unusable: {e}") };
    let mut config = ::kube::Config::new(Uri::from_static("https://kubernetes:6443"));
    let roots = x509_parser::pem::Pem::iter_from_buffer(credentials.ca.as_bytes()).map(|pem| pem.map(|p| p.contents));
    config.root_cert = Some(roots.collect::<Result<_, _>>().map_err(|e| bad(&e))?);
    config.auth_info.client_certificate_data = Some(data_encoding::BASE64.encode(credentials.cert.as_bytes()));
    config.auth_info.client_key_data = Some(data_encoding::BASE64.encode(credentials.key.expose().as_bytes()).into());
    // Nothing to do where it was installed before, as main does.
    rustls::crypto::ring::default_provider().install_default().ok();
    let tls = config.rustls_client_config().map_err(|e| bad(&e))?;
    let name = SERVER_NAME.try_into().map_err(|e| bad(&e))?;
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .with_server_name_resolver(FixedServerNameResolver::new(name))
        .enable_all_versions()
        .wrap_connector(Tunnel { target: target.clone(), tally: Arc::clone(tally) });
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(Duration::from_secs(5))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .build(https);
    let service = tower::ServiceBuilder::new().layer(config.base_uri_layer()).map_err(tower::BoxError::from).service(http);
    Ok(::kube::client::ClientBuilder::new(service, "default").build())
}

/// Opens streams to one target.
#[derive(Clone)]
struct Tunnel {
    target: Target,
    tally: Arc<Tally>,
}

impl tower::Service<Uri> for Tunnel {
    type Response = TokioIo<Counted>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { target, tally } = self.clone();
        Box::pin(async move {
            let open = target.connection.tunnel(&target.address, target.port);
            let stream = tokio::time::timeout(CONNECT, open).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
            Ok(TokioIo::new(Counted { stream: stream.map_err(io::Error::other)?, tally }))
        })
    }
}

/// A stream whose bytes are counted.
struct Counted {
    stream: Box<dyn Stream>,
    tally: Arc<Tally>,
}

impl HyperConnection for Counted {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.tally.down.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = polled {
            self.tally.up.fetch_add(n as u64, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
