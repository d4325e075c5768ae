//! What a cluster's secrets are.

use super::{Authority, Pair, SecretText, WireGuardKey};
use crate::pki::Ca;
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
    pub encryption_next: Option<NextKey>,
    /// By node name.
    pub wireguard: BTreeMap<String, WireGuardKey>,
    /// By (node name or `cluster`, leaf name); see `pki::leaves`.
    pub leaves: BTreeMap<(String, String), Pair>,
    /// Recorded once the cluster was bootstrapped, 16 hex digits.
    pub etcd_cluster_id: Option<String>,
}

/// A key of encryption at rest on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextKey {
    pub key: SecretText,
    /// Whether it is the one that is written with; before that it is only read with.
    pub first: bool,
}

impl Secrets {
    /// The keys of encryption at rest with their names, the one that is written with first.
    #[must_use]
    pub fn encryption_keys(&self) -> Vec<(String, &SecretText)> {
        let mut keys = vec![(key_name(self.encryption_number), &self.encryption_key)];
        if let Some(next) = &self.encryption_next {
            let at = usize::from(!next.first);
            keys.insert(at, (key_name(self.encryption_number + 1), &next.key));
        }
        keys
    }

    /// Takes the exchange of that key one stage on: a new one is read with, then written with, then alone. Says which stage that is.
    ///
    /// Between two stages every API server must have heard of the first, and before the last everything must be written anew.
    pub fn turn_encryption_key(&mut self, fresh: impl FnOnce() -> SecretText) -> KeyStage {
        match self.encryption_next.take() {
            None => {
                self.encryption_next = Some(NextKey { key: fresh(), first: false });
                KeyStage::Read
            }
            Some(NextKey { key, first: false }) => {
                self.encryption_next = Some(NextKey { key, first: true });
                KeyStage::Written
            }
            Some(NextKey { key, first: true }) => {
                self.encryption_key = key;
                self.encryption_number += 1;
                KeyStage::Alone
            }
        }
    }

    /// Takes those keys from what API servers read, as homectl writes it; says whether all of `files` fit together. Where machines
    /// are at two stages of an exchange, it is the one in which both can read everything.
    pub fn take_encryption_keys(&mut self, files: &[&str]) -> bool {
        let mut keys: BTreeMap<u32, &str> = BTreeMap::new();
        let mut first = Vec::new();
        for file in files {
            let mut number = None;
            for (at, line) in file.lines().map(str::trim).filter(|l| l.contains("name: ") || l.starts_with("secret: ")).enumerate() {
                if let Some(secret) = line.strip_prefix("secret: ") {
                    let Some(number) = number.take() else { return false };
                    if *keys.entry(number).or_insert(secret) != secret {
                        return false;
                    }
                } else {
                    number = line.strip_prefix("- name: key").and_then(|n| n.parse().ok());
                    first.extend(number.filter(|_| at == 0));
                }
            }
        }
        let all: Vec<(u32, &str)> = keys.into_iter().collect();
        let key = |text: &str| SecretText::new(text.to_owned());
        match all.as_slice() {
            [(number, only)] => (self.encryption_number, self.encryption_key, self.encryption_next) = (*number, key(only), None),
            [(number, old), (next, new)] if *next == number + 1 => {
                self.encryption_next = Some(NextKey { key: key(new), first: first.contains(next) });
                (self.encryption_number, self.encryption_key) = (*number, key(old));
            }
            _ => return false,
        }
        true
    }

    /// The stage of that exchange; `Alone` where there is none.
    #[must_use]
    pub fn key_stage(&self) -> KeyStage {
        match &self.encryption_next {
            None => KeyStage::Alone,
            Some(NextKey { first: false, .. }) => KeyStage::Read,
            Some(NextKey { first: true, .. }) => KeyStage::Written,
        }
    }

    /// The authority `ca`.
    #[must_use]
    pub fn authority(&self, ca: Ca) -> &Authority {
        match ca {
            Ca::Cluster => &self.cluster_ca,
            Ca::Etcd => &self.etcd_ca,
            Ca::FrontProxy => &self.front_proxy_ca,
        }
    }

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

/// How far a new key of encryption at rest has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStage {
    /// API servers can read what it wrote; nobody writes with it.
    Read,
    /// API servers write with it; everything old is written anew.
    Written,
    /// It is the only one.
    Alone,
}

fn key_name(number: u32) -> String {
    format!("key{number}")
}
