//! `inventory.lock`: what was resolved once and stays: versions, URLs and sums, node numbers, the etcd cluster ID.

use super::program::Programs;
use semver::Version;
use std::collections::BTreeMap;

/// The lock beside the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Name of the cluster it belongs to.
    pub cluster: String,
    pub kubernetes: Version,
    pub programs: Programs,
    /// Node numbers by name; a number is never given to another name while its node may come back.
    pub numbers: BTreeMap<String, u16>,
    /// Recorded at bootstrap, 16 hex digits.
    pub etcd_cluster_id: Option<String>,
}
