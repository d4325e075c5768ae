//! Texts that stand for keys and certificates where plans are made without any machine and files are shown for review:
//! the same every time, and of no use to anybody.

use super::{Authority, Pair, SecretText, Secrets, WireGuardKey};
use crate::cluster::Cluster;
use crate::pki;

impl Secrets {
    /// What stands for the secrets of `cluster`: steps only carry them.
    #[must_use]
    pub fn placeholders(cluster: &Cluster) -> Self {
        Self::standing(cluster, "")
    }

    /// The same, and another set of which nothing is as in the first: what is made from both and differs is made from secrets.
    #[must_use]
    pub fn placeholder_sets(cluster: &Cluster) -> [Self; 2] {
        ["", "Another "].map(|salt| Self::standing(cluster, salt))
    }

    /// `salt` begins every one of them.
    fn standing(cluster: &Cluster, salt: &str) -> Self {
        let pem = |label: &str, text: &str| pem(label, &format!("{salt}{text}"));
        let authority = |name: &str| Authority { cert: pem("CERTIFICATE", name), key: SecretText::new(pem("PRIVATE KEY", name)) };
        let pair = |owner: &str, name: &str| Pair {
            cert: pem("CERTIFICATE", &format!("{owner} {name}")),
            key: SecretText::new(pem("PRIVATE KEY", &format!("{owner} {name}"))),
        };
        let wireguard = |name: &str| WireGuardKey {
            private: SecretText::new(key(&format!("{salt}private {name}"))),
            public: key(&format!("{salt}public {name}")),
        };
        let leaves = pki::leaves(cluster);
        Self {
            cluster: cluster.name.clone(),
            cluster_ca: authority("cluster"),
            etcd_ca: authority("etcd"),
            front_proxy_ca: authority("front-proxy"),
            service_account: SecretText::new(pem("PRIVATE KEY", "service-account")),
            service_account_public: pem("PUBLIC KEY", "service-account"),
            encryption_key: SecretText::new(key(&format!("{salt}encryption"))),
            encryption_number: 1,
            encryption_next: None,
            authorities_next: None,
            wireguard: cluster.nodes.iter().map(|n| (n.name.clone(), wireguard(&n.name))).collect(),
            leaves: leaves.into_iter().map(|l| ((l.owner.clone(), l.name.to_owned()), pair(&l.owner, l.name))).collect(),
            etcd_cluster_id: None,
        }
    }
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
