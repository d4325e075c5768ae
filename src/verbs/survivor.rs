//! Before one control plane's data becomes the cluster: whether the others are really gone. Where they are not, two clusters
//! would answer behind every node's proxy, each with what the other does not know.

use super::fleet::{self, Fleet};
use super::world::World;
use crate::cli::Global;
use crate::cluster::Cluster;
use crate::error::{Failure, Result};
use crate::report::Reporter;
use crate::steps;

/// Connects to the control plane `survivor`, and to whichever of the others answer.
///
/// # Errors
/// What is wrong with the survivor.
pub(super) async fn open(world: &World, survivor: &str, global: &Global, out: &Reporter) -> Result<Fleet> {
    let limit = world.cluster.control_planes().map(|n| n.name.clone()).collect();
    let (fleet, failures) = fleet::open_all(world, &Global { limit, ..global.clone() }, out).await?;
    let (own, others): (Vec<Failure>, Vec<Failure>) = failures.into_iter().partition(|f| f.node() == Some(survivor));
    Failure::together(own)?;
    for failure in others {
        out.talk(&format!("Whether it is gone could not be seen: {failure}"));
    }
    Ok(fleet)
}

/// Refuses where etcd has its majority, or where another machine answers that has data of etcd; `id` is the etcd cluster that the
/// restore makes, which may be there already, from a run that was cut.
///
/// # Errors
/// A refusal that says who is there.
pub(super) async fn is_last(cluster: &Cluster, fleet: &Fleet, survivor: &str, id: &str) -> Result<()> {
    if fleet.facts.get(survivor).is_some_and(|f| f.etcd_cluster_id.as_deref() == Some(id)) {
        return Ok(());
    }
    for (node, told) in fleet.members(cluster, true).await {
        if let Ok(members) = told {
            return Err(Failure::refused("etcd has its majority: nothing is lost, and a cluster of one would be a second one beside it")
                .seen(format!("{node}: {}", steps::arithmetic(&members)))
                .help(
                    "a control plane that is gone, or whose data is, is replaced with `homectl replace-node`; what is older than that comes \
                     back with `homectl restore --from BACKUP`",
                ));
        }
    }
    let others: Vec<&str> = fleet.facts.iter().filter(|(n, f)| *n != survivor && f.etcd_data).map(|(n, _)| n.as_str()).collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!("{survivor} is not the last one: other control planes answer, and have their data of etcd"))
        .seen(format!("with data: {}", others.join(", ")))
        .help(
            "with them etcd may have its majority again, and nothing is lost: `homectl apply --allow-offline` starts what is stopped; `journalctl -u etcd` there says why \
             it does not answer. If what they have is of no use any more, on each of them: systemctl disable --now etcd kube-apiserver && \
             mv /var/lib/etcd/member /var/lib/etcd/before-restore && rm -f /var/lib/homectl/etcd-cluster-id",
        ))
}
