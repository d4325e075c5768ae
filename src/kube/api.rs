//! The client: one call is one request with a time limit, tried again where that can help, on whichever control
//! plane answers.

use super::resource::discovered;
use super::tunnel::{Tally, client};
use super::{ApiError, Credentials, Resource, Target, split};
use http::{Method, Request, header};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The field manager of everything that homectl applies.
pub const FIELD_MANAGER: &str = "homectl";

/// Tries of one call, the first included.
const TRIES: u32 = 6;
/// Time for one try.
const CALL: Duration = Duration::from_secs(15);
/// Time for a control plane to say that it is ready.
const READY: Duration = Duration::from_secs(5);
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The API of one cluster. Cheap to clone; calls may run at the same time.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    ends: Vec<(String, ::kube::Client)>,
    /// Which of `ends` is used.
    current: AtomicUsize,
    tally: Arc<Tally>,
    discovered: Mutex<Option<Arc<Vec<Resource>>>>,
}

/// Traffic with the API so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ApiCounters {
    pub requests: u64,
    /// Bytes sent, TLS included.
    pub up: u64,
    /// Bytes received, TLS included.
    pub down: u64,
}

/// One request, kept so that it can be made again.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) accept: &'a str,
    /// Content type and body.
    pub(super) body: Option<(&'a str, Vec<u8>)>,
}

impl<'a> Call<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, accept: "application/json", body: None }
    }

    fn named(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn request(&self) -> Result<Request<Vec<u8>>, ApiError> {
        let mut request = Request::builder().method(self.method.clone()).uri(self.path).header(header::ACCEPT, self.accept);
        if let Some((kind, _)) = &self.body {
            request = request.header(header::CONTENT_TYPE, *kind);
        }
        let body = self.body.as_ref().map(|(_, b)| b.clone()).unwrap_or_default();
        request.body(body).map_err(|e| ApiError::Garbled { call: self.named(), seen: e.to_string() })
    }
}

impl Api {
    /// A client for these control planes, in order of preference; nothing is sent yet.
    ///
    /// # Errors
    /// Where the credentials cannot be used.
    pub fn new(targets: &[Target], credentials: &Credentials) -> Result<Self, ApiError> {
        let tally = Arc::new(Tally::default());
        let ends = targets.iter().map(|t| Ok((t.node.clone(), client(t, credentials, &tally)?))).collect::<Result<_, ApiError>>()?;
        Ok(Self(Arc::new(Inner { ends, current: AtomicUsize::new(0), tally, discovered: Mutex::new(None) })))
    }

    /// Settles on the first control plane whose `/readyz` answers and returns its name.
    ///
    /// # Errors
    /// What each of them answered.
    pub async fn ready(&self) -> Result<&str, ApiError> {
        let mut seen = Vec::new();
        for (i, (node, client)) in self.0.ends.iter().enumerate() {
            match self.once(client, &Call::get("/readyz"), READY).await {
                Ok(_) => {
                    self.0.current.store(i, Ordering::Relaxed);
                    return Ok(node);
                }
                Err(e) => seen.push(format!("{node}: {e}")),
            }
        }
        Err(ApiError::Lost { seen: if seen.is_empty() { "there is no control plane".into() } else { seen.join("; ") } })
    }

    /// The control plane in use.
    #[must_use]
    pub fn node(&self) -> &str {
        self.0.ends.get(self.0.current.load(Ordering::Relaxed)).map_or("", |(node, _)| node)
    }

    /// Traffic so far.
    #[must_use]
    pub fn counters(&self) -> ApiCounters {
        let t = &self.0.tally;
        let read = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        ApiCounters { requests: read(&t.requests), up: read(&t.up), down: read(&t.down) }
    }

    /// The text that a path answers with: `/readyz`, `/version`, `/api/v1/nodes/NAME/proxy/healthz`.
    pub async fn get_raw(&self, path: &str) -> Result<String, ApiError> {
        self.send(&Call { accept: "*/*", ..Call::get(path) }).await
    }

    /// The kind `kind` of `api_version`; `None` where the API does not serve it (yet).
    pub async fn resource(&self, api_version: &str, kind: &str) -> Result<Option<Resource>, ApiError> {
        if let Some(known) = Resource::builtin(api_version, kind) {
            return Ok(Some(known));
        }
        let (group, version) = split(api_version);
        let all = self.discovery().await?;
        Ok(all.iter().find(|r| r.group == group && r.version == version && r.kind == kind).cloned())
    }

    /// The kind `kind` of a group, in the version the API prefers; `None` where it serves none.
    pub async fn resource_of_group(&self, group: &str, kind: &str) -> Result<Option<Resource>, ApiError> {
        if let Some(known) = Resource::builtin_of_group(group, kind) {
            return Ok(Some(known));
        }
        Ok(self.discovery().await?.iter().find(|r| r.group == group && r.kind == kind).cloned())
    }

    /// Asks again what the API serves when it is next needed: after custom resources were defined.
    pub fn forget_discovery(&self) {
        *self.0.discovered.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn discovery(&self) -> Result<Arc<Vec<Resource>>, ApiError> {
        let cached = self.0.discovered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = cached {
            return Ok(known);
        }
        let core = Call { accept: DISCOVERY, ..Call::get("/api") };
        let groups = Call { accept: DISCOVERY, ..Call::get("/apis") };
        let (core, groups) = tokio::try_join!(self.json(&core), self.json(&groups))?;
        let known = Arc::new(discovered(&[core, groups]));
        *self.0.discovered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&known));
        Ok(known)
    }

    /// Makes a call and reads the answer as JSON.
    pub(super) async fn json(&self, call: &Call<'_>) -> Result<Value, ApiError> {
        let text = self.send(call).await?;
        serde_json::from_str(&text).map_err(|e| ApiError::Garbled { call: call.named(), seen: e.to_string() })
    }

    /// Makes a call once, on the control plane in use: for whoever asks again by itself.
    pub(super) async fn attempt(&self, call: &Call<'_>) -> Result<(), ApiError> {
        let at = self.0.current.load(Ordering::Relaxed);
        let Some((_, client)) = self.0.ends.get(at) else { return Err(ApiError::Lost { seen: "there is no control plane".into() }) };
        self.once(client, call, CALL).await.map(|_| ())
    }

    /// Reads a path once, on the control plane in use, within `limit`: for whoever wants to see how it answers.
    ///
    /// # Errors
    /// It did not; nothing is tried again.
    pub async fn ask(&self, path: &str, limit: Duration) -> Result<(), ApiError> {
        let at = self.0.current.load(Ordering::Relaxed);
        let Some((_, client)) = self.0.ends.get(at) else { return Err(ApiError::Lost { seen: "there is no control plane".into() }) };
        self.once(client, &Call::get(path), limit).await.map(|_| ())
    }

    /// Makes a call, again where that can help, moving to another control plane where one is lost.
    /// Every call here may be made twice: reads, server-side applies, guarded patches, deletions.
    async fn send(&self, call: &Call<'_>) -> Result<String, ApiError> {
        let mut attempt = 0;
        loop {
            let at = self.0.current.load(Ordering::Relaxed);
            let Some((_, client)) = self.0.ends.get(at) else {
                return Err(ApiError::Lost { seen: "there is no control plane".into() });
            };
            let error = match self.once(client, call, CALL).await {
                Ok(text) => return Ok(text),
                Err(e) => e,
            };
            attempt += 1;
            if attempt >= TRIES || !error.is_transient() {
                return Err(error);
            }
            if matches!(error, ApiError::Lost { .. } | ApiError::Timeout { .. }) {
                let next = (at + 1) % self.0.ends.len();
                self.0.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed).ok();
            }
            tokio::time::sleep(pause(attempt, &error)).await;
        }
    }

    async fn once(&self, client: &::kube::Client, call: &Call<'_>, limit: Duration) -> Result<String, ApiError> {
        self.0.tally.requests.fetch_add(1, Ordering::Relaxed);
        let answer = tokio::time::timeout(limit, client.request_text(call.request()?)).await;
        let answer = answer.map_err(|_| ApiError::Timeout { seconds: limit.as_secs(), call: call.named() })?;
        answer.map_err(|e| ApiError::from_kube(&call.named(), &e))
    }
}

/// How long to wait before try `attempt + 1`: what the server asked for (within reason), else doubling from 100 ms
/// with up to half as much again of jitter.
fn pause(attempt: u32, error: &ApiError) -> Duration {
    if let ApiError::Status { retry_after, .. } = error
        && *retry_after > 0
    {
        return Duration::from_secs(u64::from(*retry_after).min(10));
    }
    let base = 100u64 << attempt.saturating_sub(1).min(5);
    Duration::from_millis(base + rand::random_range(0..=base / 2))
}
