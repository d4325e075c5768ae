//! All that must be the same after cut runs and after undisturbed ones.

use crate::Result;
use crate::checks::Cluster;
use crate::lab::{Lab, same_lines};
use crate::tree::Trees;
use serde_json::Value;

/// Machines, and what their API holds.
pub(super) struct Picture {
    machines: Trees,
    objects: String,
}

/// Kinds of objects that say what is going on, or are named by chance.
const PASSING: [&str; 14] = [
    "bindings",
    "certificatesigningrequests.certificates.k8s.io",
    "componentstatuses",
    "controllerrevisions.apps",
    "csinodes.storage.k8s.io",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "events",
    "events.events.k8s.io",
    "ipaddresses.networking.k8s.io",
    "leases.coordination.k8s.io",
    "pods",
    "podtemplates",
    "replicasets.apps",
];

/// The kubelets' certificates are named by the hour. Machines of the lab share what is not of networks in the kernel: the first of
/// them to be set up keeps the former values, the others find the new ones.
const PASSING_LINES: [&str; 3] = ["/var/lib/kubelet/pki/kubelet-", "/var/lib/homectl/sysctl/kernel.", "/var/lib/homectl/sysctl/vm."];

impl Picture {
    /// Of machines that are a cluster.
    pub(super) fn of(cluster: &Cluster, nodes: &[&str]) -> Result<Self> {
        let passing = |line: &str| PASSING_LINES.iter().any(|word| line.contains(word));
        Ok(Self { machines: Trees::of_states(cluster.lab, nodes)?.without(passing), objects: objects(cluster)? })
    }

    /// Of machines that are none.
    pub(super) fn of_bare(lab: &Lab, nodes: &[&str]) -> Result<Self> {
        // A reset leaves the snapshots that were taken before etcd moved: as many as runs, each with its second in its name.
        let snapshot = |line: &str| line.contains("/var/lib/homectl/snapshots/etcd-");
        Ok(Self { machines: Trees::of_machines(lab, nodes)?.without(snapshot), objects: String::new() })
    }

    pub(super) fn same_as(&self, due: &Self) -> Result {
        self.machines.same_as(&due.machines)?;
        same_lines("the API holds something else", &due.objects, &self.objects)
    }
}

/// A line for each object, without what the API server itself adds.
fn objects(cluster: &Cluster) -> Result<String> {
    let kinds = cluster.kubectl.ok(&["api-resources", "--verbs=list", "-o", "name"])?;
    let passing = |kind: &&str| !PASSING.contains(kind) && !kind.ends_with(".metrics.k8s.io");
    let kinds: Vec<&str> = kinds.lines().filter(passing).collect();
    let mut lines: Vec<String> = cluster.kubectl.items(&["get", "-A", &kinds.join(",")])?.into_iter().map(line).collect();
    lines.retain(|line| !line.contains("kube-apiserver-legacy-service-account-token-tracking"));
    lines.sort();
    Ok(lines.join("\n"))
}

fn line(mut object: Value) -> String {
    let drop = |value: &mut Value, keys: &[&str]| {
        if let Value::Object(map) = value {
            map.retain(|key, _| !keys.contains(&key.as_str()));
        }
    };
    drop(&mut object, &["status"]);
    drop(&mut object["metadata"], &["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"]);
    if object["kind"] == "Service" {
        drop(&mut object["spec"], &["clusterIP", "clusterIPs"]);
    }
    let metadata = &object["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("object {} {}/{} {object}", text(&object["kind"]), text(&metadata["namespace"]), text(&metadata["name"]))
}
