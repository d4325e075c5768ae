//! The API as the engine wants it: a client that is made when the first step needs it.

use crate::addons;
use crate::cluster::Cluster;
use crate::error::{Failure, Result};
use crate::exec::{ApiLane, Unseated};
use crate::kube::{Api, ApiError, Condition, Credentials, Target};
use crate::secrets::Secrets;
use crate::ssh::{Connection, RemoteError};
use crate::want::{Object, Seats, Seen};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// The API server's port on every control plane.
pub(super) const PORT: u16 = 6443;
/// How long an API that a run has just built may take until it answers through a tunnel.
const PATIENCE: Duration = Duration::from_mins(1);

/// A client for the API of `cluster` through the sessions of its control planes.
pub(super) fn client(cluster: &Cluster, secrets: &Secrets, hosts: &BTreeMap<String, Connection>) -> Result<Api> {
    let targets: Vec<Target> = cluster
        .control_planes()
        .filter_map(|n| {
            let connection = hosts.get(&n.name)?.clone();
            Some(Target { node: n.name.clone(), connection, address: n.overlay.to_string(), port: PORT })
        })
        .collect();
    let credentials = Credentials::visitor(secrets, jiff::Timestamp::now().as_second())?;
    Api::new(&targets, &credentials).map_err(|e| Failure::failed("no client for the API could be made").seen(e.to_string()))
}

/// The API lane of one run.
pub(super) struct Tap<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) secrets: &'a Secrets,
    pub(super) hosts: &'a BTreeMap<String, Connection>,
    pub(super) api: OnceCell<Api>,
}

impl Tap<'_> {
    async fn api(&self) -> Result<&Api, String> {
        self.api.get_or_try_init(|| self.up()).await
    }

    async fn up(&self) -> Result<Api, String> {
        let api = client(self.cluster, self.secrets, self.hosts).map_err(|e| e.to_string())?;
        let began = Instant::now();
        loop {
            match api.ready().await {
                Ok(_) => return Ok(api),
                Err(e) if began.elapsed() > PATIENCE => return Err(e.to_string()),
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }
}

impl ApiLane for Tap<'_> {
    fn look<'a>(&'a self, objects: &'a [&'a Object]) -> BoxFuture<'a, Result<Vec<Seen>, String>> {
        Box::pin(async move { addons::look(self.api().await?, objects).await.map_err(|e| e.to_string()) })
    }

    fn apply<'a>(&'a self, object: &'a Object, present: bool) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let api = self.api().await?;
            addons::apply(api, object, present).await.map_err(|f| {
                let mut lines = vec![f.what().to_owned()];
                lines.extend_from_slice(f.evidence());
                lines.extend(f.remedy().map(str::to_owned));
                lines.join("\n")
            })
        })
    }

    fn seat<'a>(&'a self, seats: &'a Seats, told: &'a (dyn Fn(&str) + Sync)) -> BoxFuture<'a, Result<(), Unseated>> {
        Box::pin(async move {
            let api = self.api().await.map_err(Unseated::Api)?;
            let done = match seats {
                Seats::Drain { node } => api.drain(node, told).await,
                Seats::Uncordon { node, version } => api.uncordon(node, version.as_deref(), told).await,
            };
            done.map_err(|e| match e {
                ApiError::NotYet { .. } | ApiError::Bare { .. } => Unseated::Node(e.to_string()),
                _ => Unseated::Api(e.to_string()),
            })
        })
    }

    fn check<'a>(&'a self, conditions: &'a [Condition]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let lacking = self.api().await?.settle(conditions).await;
            if lacking.is_empty() {
                return Ok(());
            }
            Err(lacking.iter().map(|(c, seen)| format!("{c}: {seen}")).collect::<Vec<_>>().join("\n"))
        })
    }

    /// A connection that has ended does not come back in this run; a port where nobody answers may.
    fn lost(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async move {
            let mut why = None;
            for plane in self.cluster.control_planes() {
                let Some(host) = self.hosts.get(&plane.name) else { continue };
                match host.tunnel("127.0.0.1", PORT).await {
                    Err(e @ RemoteError::Lost { .. }) => why = Some(format!("{}: {e}", plane.name)),
                    Ok(_) | Err(_) => return None,
                }
            }
            why
        })
    }
}
