//! What must be the same after every item: words in the API, a file in a volume, and the cluster's own names for itself.

use super::ETCDCTL;
use crate::Result;
use crate::checks::Cluster;
use crate::scene::{ensure, eventually};
use serde_json::Value;

const NEST: &str = include_str!("../../manifests/nest.yaml");

pub(super) struct Canary {
    /// Where its volume lies.
    pub(super) node: &'static str,
    /// Of the namespace that every cluster has: whoever answers with it is the same cluster.
    uid: String,
    /// Of the etcd cluster.
    etcd: u64,
}

impl Canary {
    pub(super) fn released(cluster: &Cluster) -> Result<Self> {
        let node = cluster.nodes.iter().find(|n| !n.control_plane).ok_or("no worker")?.name;
        let kubectl = &cluster.kubectl;
        kubectl.apply(&NEST.replace("NODE", node))?;
        let (pods, _) = eventually(120, "the canary's pod", || kubectl.pods("canary", "app=canary"))?;
        kubectl.exec("canary", &pods[0].name, &["sh", "-c", "echo sunflower >/seeds/kind && sync"])?;
        Ok(Self { node, uid: uid(cluster)?, etcd: etcd(cluster)? })
    }

    /// Through every API server.
    pub(super) fn sings(&self, cluster: &Cluster) -> Result {
        for kubectl in cluster.kubectl.contexts()? {
            let get = |kind: &str, path: &str| {
                kubectl.ok(&["--request-timeout=5s", "get", kind, "-n", "canary", "-o", &format!("jsonpath={path}")])
            };
            let told = [get("configmap/song", "{.data.song}")?, get("secret/nest", "{.data.where}")?];
            ensure(told == ["tweet", "dGhlLW9sZC1vYWs="], || format!("{told:?} through {}", kubectl.server().unwrap_or_default()))?;
        }
        let pods = cluster.kubectl.pods("canary", "app=canary")?;
        let kind = cluster.kubectl.exec("canary", &pods[0].name, &["cat", "/seeds/kind"])?;
        let now = (uid(cluster)?, etcd(cluster)?);
        ensure(kind == "sunflower\n" && now == (self.uid.clone(), self.etcd), || {
            format!("{kind:?}, {now:?}, was {} {}", self.uid, self.etcd)
        })
    }

    /// When its container started.
    pub(super) fn since(cluster: &Cluster) -> Result<String> {
        let pods = cluster.kubectl.pods("canary", "app=canary")?;
        Ok(pods[0].started.clone())
    }
}

fn uid(cluster: &Cluster) -> Result<String> {
    cluster.kubectl.ok(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"])
}

fn etcd(cluster: &Cluster) -> Result<u64> {
    let said = cluster.lab.sh(cluster.control_plane(), &format!("{ETCDCTL} ctl endpoint status -w json"))?;
    let told: Value = serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))?;
    told[0]["Status"]["header"]["cluster_id"].as_u64().ok_or_else(|| format!("no ID in {said}"))
}
