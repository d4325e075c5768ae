//! Leases, by which somebody shows that it lives: watched for their renewal, never compared with a clock, as nobody knows whose
//! is right.

use super::nodes::condition;
use super::{Api, ApiError, Resource};
use serde_json::Value;
use std::time::{Duration, Instant};

/// For a controller manager to lead: a lease that nobody gave back runs out after fifteen seconds.
const LED: Duration = Duration::from_mins(1);
/// For a kubelet to be heard of: it renews its lease every ten seconds.
const HEARD: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(500);

/// What watching a lease showed.
enum Watched {
    Renewed,
    /// Not within the time; the lease as it stayed.
    Still(Value),
    /// There is no such lease.
    Missing,
}

impl Api {
    /// Waits until some controller manager leads: it takes ended pods out of their Services, and makes others in their place. One
    /// that leads renews its lease every two seconds; after a restart of them all nobody does, for a while.
    ///
    /// # Errors
    /// Nobody led for a minute, or the API does not answer.
    pub async fn led(&self, told: &(dyn Fn(&str) + Sync)) -> Result<(), ApiError> {
        match self.watch_lease("kube-system", "kube-controller-manager", LED, false, &|| told("some controller manager leads")).await? {
            Watched::Renewed | Watched::Missing => Ok(()),
            Watched::Still(lease) => Err(ApiError::NotYet {
                seconds: LED.as_secs(),
                seen: format!(
                    "no controller manager leads: its lease was renewed last at {} by {}",
                    lease["spec"]["renewTime"], lease["spec"]["holderIdentity"]
                ),
            }),
        }
    }

    /// Whether a node's kubelet lives, as far as the API hears of it: told at once of one that was given up, else after at most
    /// half a minute. `told` hears what is waited for.
    ///
    /// # Errors
    /// The API does not answer.
    pub async fn is_heard_of(&self, node: &str, told: &(dyn Fn() + Sync)) -> Result<bool, ApiError> {
        let live = match self.node_object(node).await {
            Err(e) if e.is_not_found() => return Ok(false),
            other => other?,
        };
        // The controllers say so once its lease ran out.
        if condition(&live, "Ready").is_none_or(|c| c["status"] == "Unknown") {
            return Ok(false);
        }
        // One that has just come has no lease yet for a while.
        Ok(matches!(self.watch_lease("kube-node-lease", node, HEARD, true, told).await?, Watched::Renewed))
    }

    /// Watches for `limit`; a lease that is not there is waited for where it `may_come`, and then counts as renewed.
    async fn watch_lease(
        &self,
        namespace: &str,
        name: &str,
        limit: Duration,
        may_come: bool,
        told: &(dyn Fn() + Sync),
    ) -> Result<Watched, ApiError> {
        let Some(leases) = Resource::builtin("coordination.k8s.io/v1", "Lease") else { return Ok(Watched::Missing) };
        let end = Instant::now() + limit;
        let mut first = None;
        loop {
            let lease = self.get(&leases, namespace, name).await?;
            let renewed = lease.as_ref().map(|lease| lease["spec"]["renewTime"].clone());
            if *first.get_or_insert_with(|| renewed.clone()) != renewed {
                return Ok(Watched::Renewed);
            }
            let over = Instant::now() >= end;
            match lease {
                None if over || !may_come => return Ok(Watched::Missing),
                Some(lease) if over => return Ok(Watched::Still(lease)),
                _ => {}
            }
            told();
            tokio::time::sleep(POLL).await;
        }
    }
}
