//! What people do with a cluster: look into pods, keep data, set limits.

use super::Cluster;
use crate::Result;
use crate::kubectl::Pod;
use crate::scene::{ensure, eventually};

const CLAIM: &str = include_str!("../manifests/claim.yaml");
const WRITER: &str = include_str!("../manifests/writer.yaml");
const HOG: &str = include_str!("../manifests/hog.yaml");

/// `exec` and `logs` on every node: both go through the API server to the kubelet.
pub(crate) fn look_inside(cluster: &Cluster, pods: &[Pod]) -> Result {
    for pod in pods {
        let said = cluster.kubectl.exec("e2e", &pod.name, &["hostname"])?;
        ensure(said.trim() == pod.name, || format!("exec in {} said {said}", pod.name))?;
        let log = cluster.kubectl.ok(&["logs", "-n", "e2e", &pod.name])?;
        ensure(log.trim() == format!("serves from {}", pod.node), || format!("the log of {} is: {log}", pod.name))?;
    }
    Ok(())
}

/// `top nodes` has figures of every node.
pub(crate) fn top(cluster: &Cluster) -> Result {
    eventually(90, "kubectl top nodes", || {
        let said = cluster.kubectl.ok(&["top", "nodes", "--no-headers"])?;
        for name in cluster.names() {
            let line = said.lines().find(|line| line.starts_with(name)).ok_or_else(|| format!("nothing of {name}: {said}"))?;
            ensure(line.contains("Mi") && !line.contains("unknown"), || format!("no figures: {line}"))?;
        }
        Ok(())
    })
    .map(drop)
}

/// A claim binds, and what one pod wrote the next one reads.
pub(crate) fn volume(cluster: &Cluster) -> Result {
    let kubectl = &cluster.kubectl;
    kubectl.apply(CLAIM)?;
    kubectl.apply(WRITER)?;
    let there = |deadline| eventually(deadline, "the pod with the volume", || kubectl.pods("e2e", "app=writer"));
    there(120)?;
    kubectl.exec("e2e", "writer", &["sh", "-c", "echo 'dear diary' >/diary/page && sync"])?;
    let phase = kubectl.ok(&["get", "pvc", "diary", "-n", "e2e", "-o", "jsonpath={.status.phase}"])?;
    ensure(phase == "Bound", || format!("the claim is {phase}"))?;
    kubectl.ok(&["delete", "pod", "writer", "-n", "e2e"])?;
    kubectl.apply(WRITER)?;
    there(120)?;
    let page = kubectl.exec("e2e", "writer", &["cat", "/diary/page"])?;
    ensure(page == "dear diary\n", || format!("the page says '{page}'"))?;
    // Here and not with the namespace, so that its directory's end is seen: the volume goes with its claim.
    kubectl.ok(&["delete", "pod", "writer", "-n", "e2e"])?;
    let volume = kubectl.ok(&["get", "pvc", "diary", "-n", "e2e", "-o", "jsonpath={.spec.volumeName}"])?;
    kubectl.ok(&["delete", "pvc", "diary", "-n", "e2e"])?;
    eventually(90, "the volume goes with its claim", || {
        let left = kubectl.ok(&["get", "pv", "-o", "name"])?;
        ensure(!left.contains(&volume), || left)
    })
    .map(drop)
}

/// The container that takes too much is killed for it, and no other.
pub(crate) fn limits(cluster: &Cluster) -> Result {
    let kubectl = &cluster.kubectl;
    kubectl.ok(&["delete", "pod", "hog", "-n", "e2e", "--ignore-not-found"])?;
    kubectl.apply(HOG)?;
    eventually(120, "the hog is killed for its memory", || {
        let pod = kubectl.json(&["get", "pod", "hog", "-n", "e2e"])?;
        let all = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
        let of = |name: &str| all.iter().find(|c| c["name"] == name).map(|c| c["state"].clone()).unwrap_or_default();
        ensure(of("hog")["terminated"]["reason"] == "OOMKilled", || format!("the hog is {}", of("hog")))?;
        ensure(of("calm")["running"].is_object(), || format!("its neighbour is {}", of("calm")))
    })?;
    kubectl.ok(&["delete", "pod", "hog", "-n", "e2e"]).map(drop)
}
