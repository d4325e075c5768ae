//! Texts that stand for keys and certificates where plans are made without any machine and files are shown for review:
//! the same every time, and of no use to anybody.

use super::{Authority, Pair, SecretText, Secrets, WireGuardKey};
use crate::cluster::Cluster;
use crate::pki;

impl Secrets {
    /// What stands for the secrets of `cluster`: steps only carry them.
    #[must_use]
    pub fn placeholders(cluster: &Cluster) -> Self {
        let authority = |name: &str| Authority { cert: pem("CERTIFICATE", name), key: SecretText::new(pem("PRIVATE KEY", name)) };
        let pair = |owner: &str, name: &str| Pair {
            cert: pem("CERTIFICATE", &format!("{owner} {name}")),
            key: SecretText::new(pem("PRIVATE KEY", &format!("{owner} {name}"))),
        };
        let leaves = pki::leaves(cluster);
        Self {
            cluster: cluster.name.clone(),
            cluster_ca: authority("cluster"),
            etcd_ca: authority("etcd"),
            front_proxy_ca: authority("front-proxy"),
            service_account: SecretText::new(pem("PRIVATE KEY", "service-account")),
            service_account_public: pem("PUBLIC KEY", "service-account"),
            encryption_key: SecretText::new("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".into()),
            wireguard: cluster.nodes.iter().map(|n| (n.name.clone(), wireguard(&n.name))).collect(),
            leaves: leaves.into_iter().map(|l| ((l.owner.clone(), l.name.to_owned()), pair(&l.owner, l.name))).collect(),
            etcd_cluster_id: None,
        }
    }
}

fn wireguard(name: &str) -> WireGuardKey {
    WireGuardKey { private: SecretText::new(key(&format!("private {name}"))), public: key(&format!("public {name}")) }
}

/// 32 bytes in base64 that begin with `text`.
fn key(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(32, b'.');
    data_encoding::BASE64.encode(&bytes)
}

fn pem(label: &str, text: &str) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", data_encoding::BASE64.encode(text.as_bytes()))
}
