//! `replace-node`: another machine, or the same one with an empty disk, under the name, the number and the keys of a node.

use super::add_node::{arrive, settled, whole_fleet};
use super::apply::offline;
use super::fleet::{self, Fleet};
use super::kept::Kept;
use super::moving::Moving;
use super::quorum;
use super::world::{World, secrets_beside};
use crate::cli::{Global, ReplaceNode};
use crate::cluster::Lock;
use crate::error::{Failure, Result};
use crate::inventory::Edit;
use crate::report::Reporter;
use std::path::Path;

/// `homectl replace-node`.
pub(super) async fn run(args: &ReplaceNode, global: &Global, out: &Reporter) -> Result<u8> {
    whole_fleet(global, "replace-node")?;
    let old = World::open(&args.inventory, global, out).await?;
    let Some(node) = old.cluster.node(&args.name) else {
        return Err(old.cluster.stranger(format!("there is no node `{}`", args.name)));
    };
    let kept = Kept::of([args.inventory.clone(), secrets_beside(&args.inventory), Lock::path(&args.inventory)])?;
    let mut edit = Edit::open(&args.inventory)?;
    if let Some(address) = &args.address {
        edit.set_address(&args.name, address)?;
    }
    if let Some(key) = &args.host_key {
        edit.set_host_key(&args.name, key);
    }
    let control_plane = node.is_control_plane();
    if control_plane && old.cluster.control_planes().count() == 1 {
        return Err(only_one(&args.name, &args.inventory));
    }
    let mut world = World::draft(&edit, global, out).await?;
    world.moving = Some(Moving::Replaced(args.name.clone()));
    let mut fleet = fleet::open(&world, global, out).await?;
    if let Some(key) = fleet.renewed.get(&args.name) {
        edit.set_host_key(&args.name, key);
    }
    offline(&world, &fleet, global).await?;
    quorum::held(&world.cluster, &fleet).await?;
    empty(&world, &fleet, &args.name, control_plane)?;
    // One that was cut off is gone on with.
    if fleet.facts.get(&args.name).is_some_and(|f| f.cluster.is_none()) {
        settled(&old, &fleet.without(&args.name), &args.name, global, out).await?;
    }
    let question = format!("This machine takes the place of {}.", args.name);
    let code = arrive(&args.name, question, (&mut world, &mut fleet), &edit, global, out).await?;
    kept.settle();
    Ok(code)
}

/// What nobody else has cannot be had from anybody.
fn only_one(name: &str, inventory: &Path) -> Failure {
    Failure::refused(format!("{name} is the only control plane: nobody else has what its etcd knew")).help(format!(
        "write the new machine's address into {0}; if its disk is the old one, `homectl apply {0}` is all; if it is empty: homectl restore {0} --from BACKUP",
        inventory.display()
    ))
}

/// The new machine has nothing of a node on it, or not what matters: a control plane without etcd's data has lost its disk.
fn empty(world: &World, fleet: &Fleet, name: &str, control_plane: bool) -> Result<()> {
    let facts = fleet.facts.get(name).ok_or_else(|| {
        Failure::failed("the new machine does not answer; nothing was changed anywhere")
            .on(name)
            .help("is it on, and is its address right?")
    })?;
    let Some(cluster) = &facts.cluster else { return Ok(()) };
    let (node, ours) = (facts.cluster_node.as_deref().unwrap_or("?"), *cluster == world.cluster.name);
    // What a cut run of this left: the record of its membership is written last.
    let unfinished = control_plane && (!facts.etcd_data || facts.etcd_cluster_id.is_none()) || facts.serving.is_empty();
    if ours && node == name && unfinished {
        return Ok(());
    }
    let damaged = "it is still that node and has its data: `homectl apply` mends it, also after a change of its address. If its etcd does not \
         start any more because that data is damaged, and the others have the majority, on it: systemctl disable --now etcd kube-apiserver && \
         mv /var/lib/etcd/member /var/lib/etcd/damaged && rm -f /var/lib/homectl/etcd-cluster-id; then this again: it joins anew, from what \
         the others have";
    let help = if ours && node == name && control_plane {
        damaged
    } else if ours && node == name {
        "it is still that node: `homectl apply` mends it, also after a change of its address"
    } else {
        "check the address; what an older life left there goes with `homectl reset` of that inventory, or by installing it anew"
    };
    Err(Failure::refused("the machine is not empty")
        .on(name)
        .seen(format!("it is the node `{node}` of the cluster `{cluster}`"))
        .help(help))
}
