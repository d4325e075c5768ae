//! A small cluster for the tests of steps: a scene with texts for secrets.

use super::Ctx;
use crate::cluster::{Cluster, Node};
use crate::facts::Facts;
use crate::scenes::Scene;
use crate::secrets::{Authority, Pair, SecretText, Secrets, WireGuardKey};
use std::collections::BTreeMap;

pub(super) struct Fixture {
    pub(super) cluster: Cluster,
    pub(super) facts: BTreeMap<String, Facts>,
    pub(super) secrets: Secrets,
}

impl Fixture {
    /// One machine that is everything.
    pub(super) fn one() -> Self {
        Scene::one().into()
    }

    /// One control plane, two workers, stock Debian machines.
    pub(super) fn three() -> Self {
        Scene::three().into()
    }

    /// Three control planes and a worker.
    pub(super) fn four() -> Self {
        Scene::four().into()
    }

    /// Three control planes, one container.
    pub(super) fn contained() -> Self {
        Scene::contained().into()
    }

    /// Three houses and a public machine.
    pub(super) fn sites() -> Self {
        Scene::sites().into()
    }

    /// Without a pod network of ours.
    pub(super) fn own_network() -> Self {
        Scene::own_network().into()
    }

    /// What the steps of `name` are made from.
    pub(super) fn ctx(&self, name: &str) -> Ctx<'_> {
        let facts = &self.facts[name];
        Ctx {
            cluster: &self.cluster,
            node: self.cluster.node(name).expect("a node of the fixture"),
            facts,
            all: &self.facts,
            secrets: &self.secrets,
            os: crate::os::of(facts).expect("Debian"),
            now: 1_795_000_000,
        }
    }
}

impl From<Scene> for Fixture {
    fn from(scene: Scene) -> Self {
        Self { secrets: secrets(&scene.cluster.nodes), cluster: scene.cluster, facts: scene.facts }
    }
}

/// Texts that stand for keys and certificates: steps only carry them.
fn secrets(nodes: &[Node]) -> Secrets {
    let authority = |name: &str| Authority { cert: pem("CERTIFICATE", name), key: SecretText::new(pem("PRIVATE KEY", name)) };
    let pair = |owner: &str, name: &str| Pair {
        cert: pem("CERTIFICATE", &format!("{owner} {name}")),
        key: SecretText::new(pem("PRIVATE KEY", &format!("{owner} {name}"))),
    };
    let names = [
        "apiserver",
        "apiserver-kubelet-client",
        "apiserver-etcd-client",
        "front-proxy-client",
        "etcd-server",
        "etcd-peer",
        "etcd-healthcheck-client",
        "controller-manager",
        "scheduler",
        "admin",
        "approver",
        "kubelet",
    ];
    Secrets {
        cluster: "home".into(),
        cluster_ca: authority("cluster"),
        etcd_ca: authority("etcd"),
        front_proxy_ca: authority("front-proxy"),
        service_account: SecretText::new(pem("PRIVATE KEY", "service-account")),
        service_account_public: pem("PUBLIC KEY", "service-account"),
        encryption_key: SecretText::new("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".into()),
        wireguard: nodes.iter().map(|n| (n.name.clone(), wireguard(&n.name))).collect(),
        leaves: nodes.iter().flat_map(|n| names.iter().map(|name| ((n.name.clone(), (*name).to_owned()), pair(&n.name, name)))).collect(),
        etcd_cluster_id: None,
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
