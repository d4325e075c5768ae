//! Clusters of one and three machines, with real certificates.

use crate::house;
use crate::pki::{authority, now};
use homectl::cluster::{Addon, AddonSource, Cluster, Role};
use homectl::pki::{CLUSTER, ServiceAccountKey, issue, leaves};
use homectl::secrets::{SecretText, Secrets};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One control plane and, with `names` beyond the first, workers; the whole catalogue.
pub(crate) fn cluster(names: &[&str]) -> Cluster {
    let nodes = (1..).zip(names).map(|(number, name)| node(number, name, if number == 1 { Role::ControlPlane } else { Role::Worker }));
    let mut cluster = house::cluster(nodes.collect());
    cluster.addons = ["coredns", "local-storage", "metrics-server"].map(catalogue).into();
    cluster.api.names.clear();
    cluster
}

pub(crate) use house::node;

pub(crate) fn catalogue(name: &str) -> Addon {
    Addon { name: name.into(), needs: Vec::new(), source: AddonSource::Catalogue }
}

/// An add-on of the user's own, of one file.
pub(crate) fn own(name: &str, text: &str) -> Addon {
    let file = (PathBuf::from(format!("/home/user/{name}/all.yaml")), text.to_owned());
    Addon { name: name.into(), needs: Vec::new(), source: AddonSource::Manifests(vec![file]) }
}

/// Secrets with the leaves that add-ons and their client use.
pub(crate) fn secrets() -> Secrets {
    let cluster_ca = authority("kubernetes");
    let own = leaves(&cluster(&[])).into_iter().filter(|l| l.owner == CLUSTER);
    let pairs = own.map(|l| ((l.owner, l.name.to_owned()), issue(&cluster_ca, &l.spec, now()).unwrap())).collect();
    let service_account = ServiceAccountKey::generate().unwrap();
    Secrets {
        cluster: "home".into(),
        etcd_ca: authority("etcd"),
        front_proxy_ca: authority("front-proxy"),
        service_account: service_account.private,
        service_account_public: service_account.public,
        encryption_key: SecretText::new(String::new()),
        encryption_number: 1,
        encryption_next: None,
        authorities_next: None,
        wireguard: BTreeMap::new(),
        leaves: pairs,
        etcd_cluster_id: None,
        cluster_ca,
    }
}
