//! Versions → URLs and sums, from upstream's published checksum files, all of them asked at once.

use super::origin::{Limits, Miss, Origin};
use super::{release, sums};
use crate::cluster::{Arch, Artifact, Component, Programs};
use crate::error::{Failure, Result};
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

/// No checksum file is larger (bytes).
const MAX_SUMS: usize = 1 << 20;
/// Requests under way at once.
const AT_ONCE: usize = 8;

/// What was found, and what was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    pub programs: Programs,
    /// In the order of components.
    pub missing: Vec<Missing>,
}

/// A program that the source does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub component: Component,
    pub arch: Arch,
    /// The checksum file that was asked for.
    pub asked: String,
}

/// Finds the artifact of every component and architecture. `versions` has every component, `v` included.
///
/// # Errors
/// A source cannot be reached, or what it sends is no list of sums. A file that is not there is no error.
pub async fn resolve(versions: &BTreeMap<Component, String>, mirror: Option<&Url>, limits: Limits) -> Result<Resolved> {
    let origin = Origin::new(mirror, limits);
    let wanted: Vec<(Component, Arch, &String)> = versions.iter().flat_map(|(c, v)| Arch::ALL.map(|arch| (*c, arch, v))).collect();
    let lists: BTreeSet<String> = wanted.iter().map(|(c, arch, v)| release::sums_url(*c, v, *arch)).collect();
    // The first failure ends it: a machine without a network should not wait for every list in turn.
    let found: BTreeMap<String, Option<String>> = futures::stream::iter(lists)
        .map(|url| {
            let origin = &origin;
            async move { list(origin, &url).await.map(|text| (url, text)) }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let mut resolved = Resolved { programs: Programs { versions: versions.clone(), ..Programs::default() }, missing: Vec::new() };
    for (component, arch, version) in wanted {
        let list = release::sums_url(component, version, arch);
        let name = release::file(component, version, arch);
        let asked = origin.place(&list)?.to_string();
        let sum = match found.get(&list).and_then(Option::as_ref) {
            None => None,
            Some(text) => sums::find(text, &name).map_err(|why| {
                Failure::failed(format!("{asked} is not a list of sums: {why}"))
                    .help("something else answers there: look at the mirror or the proxy")
            })?,
        };
        match sum {
            Some(sha256) => {
                let artifact = Artifact { url: release::url(component, version, arch), sha256 };
                resolved.programs.artifacts.insert((component, arch), artifact);
            }
            None => resolved.missing.push(Missing { component, arch, asked }),
        }
    }
    Ok(resolved)
}

/// The text of a checksum file; `None` when the source says that there is none.
async fn list(origin: &Origin, url: &str) -> Result<Option<String>> {
    let mut backoff = origin.limits.backoff;
    let mut tries_left = origin.limits.retries.min(1);
    loop {
        match read(origin, url).await {
            Ok(text) => return Ok(Some(text)),
            Err(Miss::NotFound) => return Ok(None),
            Err(Miss::Failed(failure)) => return Err(failure),
            Err(Miss::Broken(why)) if tries_left == 0 => {
                return Err(Failure::failed(format!("{} cannot be had: {why}", origin.place(url)?)).help(origin.advice()));
            }
            Err(Miss::Broken(_)) => {
                tries_left -= 1;
                tokio::time::sleep(backoff).await;
                backoff *= 2;
            }
        }
    }
}

async fn read(origin: &Origin, url: &str) -> Result<String, Miss> {
    let mut body = origin.open(url, 0).await?;
    let mut bytes = Vec::new();
    let whole = async {
        while let Some(chunk) = body.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_SUMS {
                return Ok(false);
            }
        }
        Ok(true)
    };
    match tokio::time::timeout(origin.limits.slow_window, whole).await {
        Err(_) => Err(Miss::Broken(format!("it did not arrive within {} s", origin.limits.slow_window.as_secs_f32()))),
        Ok(Err(why)) => Err(Miss::Broken(why)),
        Ok(Ok(false)) => {
            let place = origin.place(url).map_err(Miss::Failed)?;
            Err(Miss::Failed(Failure::failed(format!("{place} is larger than 1 MiB, no list of sums is"))))
        }
        Ok(Ok(true)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}
