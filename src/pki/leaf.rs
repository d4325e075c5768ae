//! What a leaf certificate must say, and whether one does.

use std::net::IpAddr;

/// The three authorities of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ca {
    Cluster,
    Etcd,
    FrontProxy,
}

/// What a leaf may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    Client,
    Server,
    /// Both (etcd's peers).
    Both,
}

/// What a leaf must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafSpec {
    pub ca: Ca,
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub usage: Usage,
}

impl LeafSpec {
    /// One line for plans: subject, names, usage.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("CN={} {:?}", self.common_name, self.usage)
    }
}

/// Judges the PEM certificate `pem` against `spec` and the authority's PEM `ca` at `now` (Unix seconds).
///
/// `Ok` says why it is settled (`valid, 340 days left`), `Err` what is wrong: unreadable, signed by another CA,
/// names missing, usage wrong, less than a third of its life left.
///
/// # Errors
/// The reason, a fragment for a plan line.
pub fn judge(spec: &LeafSpec, ca: &str, pem: &str, now: i64) -> Result<String, String> {
    let _ = (spec, ca, pem, now);
    Err("not judged yet".into())
}
