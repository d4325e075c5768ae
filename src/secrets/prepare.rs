//! What every verb does first: the identity, the secrets file, and what is missing in it.

use super::identity::shut;
use super::{IdentityChoice, Secrets, identity, open, save};
use crate::cluster::Cluster;
use crate::error::{Failure, Result};
use std::path::Path;

/// Secrets that are complete for a cluster and saved.
#[derive(Debug)]
pub struct Prepared {
    pub secrets: Secrets,
    pub identity: IdentityChoice,
    /// Whether there was no secrets file before.
    pub made: bool,
    /// What was added or renewed, one line each; empty for new secrets.
    pub changes: Vec<String>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// Secrets to look with: complete and saved, or shut.
#[derive(Debug)]
pub enum ToLook {
    Open(Box<Prepared>),
    /// There is a secrets file and nobody here whom it is for: why, as a fragment.
    Shut(String),
}

/// As [`prepare`], for what only looks: where nobody named an identity, and there is none here that opens the secrets file, it
/// stays shut.
///
/// # Errors
/// As [`prepare`]; also an identity that was named and does not fit.
pub fn prepare_to_look(path: &Path, cluster: &Cluster, flag: Option<&Path>, now: i64) -> Result<ToLook> {
    match shut(path, flag)? {
        Some(why) => Ok(ToLook::Shut(why)),
        None => prepare_as_is(path, cluster, flag, now).map(|prepared| ToLook::Open(Box::new(prepared))),
    }
}

/// As [`prepare`], also where an authority has run out: then nothing is added, since nothing could be signed, and a warning says so.
///
/// # Errors
/// As [`prepare`], but for that.
pub fn prepare_as_is(path: &Path, cluster: &Cluster, flag: Option<&Path>, now: i64) -> Result<Prepared> {
    prepare_by(path, cluster, flag, now, |secrets| match secrets.authorities_end()? {
        (_, end) if end <= now => Ok(Vec::new()),
        _ => secrets.refresh(cluster, now),
    })
}

/// Opens the secrets file `path` of `cluster`, or makes it; adds what is missing; saves it where it changed.
///
/// `flag` is `--identity`; `now` in Unix seconds.
///
/// # Errors
/// As [`identity()`], [`open`], [`Secrets::ensure`] and [`save`]. The cluster was bootstrapped and its secrets are gone: refused,
/// since new authorities would not fit it.
pub fn prepare(path: &Path, cluster: &Cluster, flag: Option<&Path>, now: i64) -> Result<Prepared> {
    prepare_by(path, cluster, flag, now, |secrets| secrets.refresh(cluster, now))
}

/// `add` puts what is missing into secrets that are there, and says what that was.
fn prepare_by(
    path: &Path,
    cluster: &Cluster,
    flag: Option<&Path>,
    now: i64,
    add: impl FnOnce(&mut Secrets) -> Result<Vec<String>>,
) -> Result<Prepared> {
    let made = !path.exists();
    if let Some(id) = cluster.etcd_cluster_id.as_ref().filter(|_| made) {
        return Err(Failure::refused(format!("{} is missing, but its cluster exists", path.display()))
            .seen(format!("the lock records etcd cluster {id}"))
            .help("take the file from version control, or from a backup (homectl backup unpack); or make it anew from the machines: homectl recover"));
    }
    let identity = identity(flag, path)?;
    let (secrets, changes) = if made {
        (Secrets::make(cluster, now)?, Vec::new())
    } else {
        let mut secrets = open(path, &cluster.name, &identity.identity)?;
        let changes = add(&mut secrets)?;
        (secrets, changes)
    };
    save(path, &secrets, &identity.identity, &[])?;
    let warnings = secrets.warnings(now)?;
    Ok(Prepared { secrets, identity, made, changes, warnings })
}
