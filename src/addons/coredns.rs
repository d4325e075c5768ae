//! The cluster's DNS.

use super::Entry;
use crate::cluster::{Cluster, Node};
use crate::error::Result;
use crate::secrets::Secrets;
use crate::template::{context, render};

const IMAGE: &str = "registry.k8s.io/coredns/coredns:v1.14.7";

pub(super) const ENTRY: Entry = Entry { name: "coredns", title: "cluster DNS", serving: None, render: yaml };

fn yaml(cluster: &Cluster, _: &Secrets) -> Result<String> {
    let values = context! {
        image => IMAGE,
        domain => &cluster.network.domain,
        address => cluster.dns_service().to_string(),
        replicas => cluster.nodes.iter().filter(|n| takes_it(n)).count().clamp(1, 2),
    };
    render("addons/coredns/coredns.yaml", values)
}

/// Whether DNS may run there: it tolerates the control plane's taint, but none of the user's.
fn takes_it(node: &Node) -> bool {
    node.taints.iter().all(|t| t.effect == "PreferNoSchedule")
}
