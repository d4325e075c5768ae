//! What a cluster's secrets are.

use super::{Authorities, Authority, Next, Pair, SecretText, WireGuardKey};
use std::collections::BTreeMap;

/// All secrets of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// Name of the cluster they belong to.
    pub cluster: String,
    pub cluster_ca: Authority,
    pub etcd_ca: Authority,
    pub front_proxy_ca: Authority,
    /// Signs service-account tokens: private PKCS#8 PEM, public PKIX PEM.
    pub service_account: SecretText,
    pub service_account_public: String,
    /// 32 random bytes, base64: the secretbox key of encryption at rest.
    pub encryption_key: SecretText,
    /// Which key that is, from 1; its name on the machines follows from it.
    pub encryption_number: u32,
    /// The key that is about to take its place, where one is.
    pub encryption_next: Option<Next<SecretText>>,
    /// The authorities that are about to take the others' place, where some are.
    pub authorities_next: Option<Next<Authorities>>,
    /// By node name.
    pub wireguard: BTreeMap<String, WireGuardKey>,
    /// By (node name or `cluster`, leaf name); see `pki::leaves`.
    pub leaves: BTreeMap<(String, String), Pair>,
    /// Recorded once the cluster was bootstrapped, 16 hex digits.
    pub etcd_cluster_id: Option<String>,
}

impl Secrets {
    /// The nodes' names by their WireGuard's public key.
    #[must_use]
    pub fn overlay_keys(&self) -> BTreeMap<String, String> {
        self.wireguard.iter().map(|(node, key)| (key.public.clone(), node.clone())).collect()
    }

    /// The leaf `name` of `owner` (a node's name, or `cluster`).
    #[must_use]
    pub fn leaf(&self, owner: &str, name: &str) -> Option<&Pair> {
        self.leaves.get(&(owner.to_owned(), name.to_owned()))
    }
}
