//! Making what is missing and renewing what runs out. What still holds is never touched, so plans are byte-stable.

use super::{Secrets, ServiceAccountKey, WireGuardKey};
use crate::cluster::Cluster;
use crate::error::{Failure, Result, exit};
use crate::pki::{self, Ca, NamedLeaf, encryption_key, issue, judge, make_authority, reissue};
use std::collections::BTreeMap;

/// Seconds before an authority's end from when on it is mentioned: leaves get shorter than a year then.
const MENTION: i64 = 365 * 24 * 60 * 60;

impl Secrets {
    /// New secrets for `cluster`: authorities, keys, and every node's leaves. `now` is in Unix seconds.
    ///
    /// # Errors
    /// The system's random source failed.
    pub fn make(cluster: &Cluster, now: i64) -> Result<Self> {
        let account = ServiceAccountKey::generate()?;
        let mut secrets = Self {
            cluster: cluster.name.clone(),
            cluster_ca: make_authority(Ca::Cluster.common_name(), now)?,
            etcd_ca: make_authority(Ca::Etcd.common_name(), now)?,
            front_proxy_ca: make_authority(Ca::FrontProxy.common_name(), now)?,
            service_account: account.private,
            service_account_public: account.public,
            encryption_key: encryption_key(),
            encryption_number: 1,
            encryption_next: None,
            authorities_next: None,
            wireguard: BTreeMap::new(),
            leaves: BTreeMap::new(),
            etcd_cluster_id: None,
        };
        secrets.ensure(cluster, now)?;
        Ok(secrets)
    }

    /// Adds what new nodes need and renews leaves that no longer hold; says whether anything changed.
    ///
    /// Nothing of nodes that are gone is dropped (they may come back), and no authority is ever made anew.
    ///
    /// # Errors
    /// The secrets are another cluster's; an authority has expired.
    pub fn ensure(&mut self, cluster: &Cluster, now: i64) -> Result<bool> {
        Ok(!self.refresh(cluster, now)?.is_empty())
    }

    /// As [`Secrets::ensure`], with one line for each change: `attic/apiserver: lacks DNS k8s.home.lan`.
    ///
    /// # Errors
    /// As [`Secrets::ensure`].
    pub fn refresh(&mut self, cluster: &Cluster, now: i64) -> Result<Vec<String>> {
        self.belongs_to(&cluster.name)?;
        let mut changes = Vec::new();
        for node in &cluster.nodes {
            if !self.wireguard.contains_key(&node.name) {
                self.wireguard.insert(node.name.clone(), WireGuardKey::generate());
                changes.push(format!("{}/wireguard: made", node.name));
            }
        }
        for leaf in pki::leaves(cluster) {
            if let Some(why) = self.renew(&leaf, now)? {
                changes.push(format!("{}/{}: {why}", leaf.owner, leaf.name));
            }
        }
        Ok(changes)
    }

    /// Issues every leaf of `cluster` anew that was made before `since` (Unix seconds), with the key it has; says how many.
    ///
    /// # Errors
    /// As [`Secrets::ensure`].
    pub fn reissue(&mut self, cluster: &Cluster, since: i64, now: i64) -> Result<usize> {
        let mut made = 0;
        for leaf in pki::leaves(cluster) {
            let Some(old) = self.leaf(&leaf.owner, leaf.name) else { continue };
            if pki::begins(&old.cert).is_some_and(|at| at + pki::BACKDATE >= since) {
                continue;
            }
            let pair = reissue(self.authority(leaf.spec.ca), &leaf.spec, &old.key, now)?;
            self.leaves.insert((leaf.owner, leaf.name.to_owned()), pair);
            made += 1;
        }
        Ok(made)
    }

    /// Issues `leaf` where there is none that holds, and says why.
    fn renew(&mut self, leaf: &NamedLeaf, now: i64) -> Result<Option<String>> {
        let authority = self.authority(leaf.spec.ca);
        let (pair, why) = match self.leaf(&leaf.owner, leaf.name) {
            None => (issue(authority, &leaf.spec, now)?, "made".to_owned()),
            Some(old) if !old.is_whole() => (issue(authority, &leaf.spec, now)?, "key and certificate did not match".to_owned()),
            Some(old) => match judge(&leaf.spec, &authority.cert, &old.cert, now) {
                Ok(_) => return Ok(None),
                // The key stays: a node that renewed its own certificate has it too.
                Err(why) => (reissue(authority, &leaf.spec, &old.key, now)?, why),
            },
        };
        self.leaves.insert((leaf.owner.clone(), leaf.name.to_owned()), pair);
        Ok(Some(why))
    }

    /// What the operator should know about the authorities at `now`: which end within a year.
    ///
    /// # Errors
    /// A certificate cannot be read.
    pub fn warnings(&self, now: i64) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        for ca in Ca::ALL {
            let left = self.authority(ca).left(now)?;
            if left <= 0 {
                warnings.push(format!("the {ca} expired {} ago, and nothing can be signed by it: homectl certs rescue", pki::span(-left)));
            } else if left < MENTION {
                warnings.push(format!(
                    "the {ca} ends in {} days, and certificates cannot outlive it: homectl certs rotate-ca",
                    left / (24 * 60 * 60)
                ));
            }
        }
        Ok(warnings)
    }

    /// Refuses secrets that are not of the cluster `name`.
    pub(super) fn belongs_to(&self, name: &str) -> Result<()> {
        if self.cluster == name {
            return Ok(());
        }
        let what = format!("the secrets are of the cluster `{}`, the inventory is of `{name}`", self.cluster);
        Err(Failure::new(exit::INVENTORY, what).help("put the right secrets file beside the inventory; a cluster cannot be renamed"))
    }
}
