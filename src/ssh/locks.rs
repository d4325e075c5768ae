//! The locks of many machines, all or none.

use super::{Connection, RemoteError};
use futures::future::try_join_all;
use std::collections::BTreeMap;

/// Every machine's lock as `who`. The same machine is first for everybody: of two runs that begin together, one gets it and the
/// other nothing.
///
/// # Errors
/// The first machine that could not be locked, and why; those that were are free again.
pub async fn lock_all(hosts: &BTreeMap<String, Connection>, who: &str) -> Result<Vec<Box<dyn Send + Sync>>, (String, RemoteError)> {
    let one = |(node, host): (&String, &Connection)| {
        let (node, host) = (node.clone(), host.clone());
        async move { host.lock(who).await.map_err(|e| (node, e)) }
    };
    let mut hosts = hosts.iter();
    let Some(first) = hosts.next() else { return Ok(Vec::new()) };
    let mut locks = vec![one(first).await?];
    locks.extend(try_join_all(hosts.map(one)).await?);
    Ok(locks)
}
