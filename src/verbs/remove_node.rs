//! `remove-node`: pods first, etcd's member next, then what is on the machine, and last its name here.

use super::add_node::whole_fleet;
use super::apply::{carry_out, offline};
use super::execute::Consent;
use super::fleet::{self, Fleet};
use super::planning;
use super::put_back::put_back;
use super::quorum;
use super::world::World;
use crate::cli::{Global, RemoveNode};
use crate::error::{Failure, Result, exit};
use crate::inventory::Edit;
use crate::report::Reporter;
use crate::steps::{Lane, Mode};

/// `homectl remove-node`.
pub(super) async fn run(args: &RemoveNode, global: &Global, out: &Reporter) -> Result<u8> {
    whole_fleet(global, "remove-node")?;
    let mut world = World::open(&args.inventory, global, out).await?.without(&args.name, args.dead)?;
    if let Some(edit) = without(args)? {
        edit.inventory()?;
    }
    let mut fleet = fleet::open(&world, global, out).await?;
    its_machine(&world, &fleet, &args.name)?;
    offline(&world, &fleet, global).await?;
    quorum::held(&world.cluster, &fleet).await?;
    let plan = planning::make(&world, &fleet, Mode::Present, global, out).await?;
    let question =
        if args.dead { "leaves the cluster; its machine is not asked" } else { "leaves the cluster; what homectl put on it goes" };
    let consent = Consent { question: format!("{} {question}.", args.name), word: args.name.clone(), to_this_only: false };
    let mut done = carry_out(&mut world, &mut fleet, plan, &consent, &|_| Ok(()), global, out).await?;
    let code = done.code;
    if code == exit::FAILED {
        let tried = !done.failed.is_empty();
        // Versions may move in it, too. What fails on the one that leaves is no program that does not come up.
        let left = Lane::Node(args.name.clone());
        done.failed.retain(|f| f.lane != left);
        put_back(&args.inventory, &done.failed, &done.ran, global, out).await;
        if tried {
            out.talk(&unfinished(args));
        }
    }
    if code == exit::OK || code == exit::OFFLINE {
        // As it is now: somebody may have written into it since.
        without(args)?.map(|edit| edit.save()).transpose()?;
    }
    let path = args.inventory.display();
    if code == exit::OFFLINE {
        let off: Vec<&str> = fleet.offline.iter().map(|(name, _)| name.as_str()).collect();
        out.talk(&format!(
            "{0} is out of {path}. {1} still counts it among its peers, so its number is kept: once that is on, run the same again.",
            args.name,
            off.join(", ")
        ));
    }
    if code == exit::OK {
        world.forget(&args.name)?;
        out.talk(&format!("{} is out of {path} and its lock (commit both).", args.name));
        if args.dead {
            out.talk(&format!(
                "Its disk still holds keys of this cluster. Where somebody else may have it: homectl certs rotate-ca {path}"
            ));
        }
    }
    Ok(code)
}

/// Where not all went well: its block stays, and whoever applies that makes the machine a node again.
fn unfinished(args: &RemoveNode) -> String {
    let (name, path, dead) = (&args.name, args.inventory.display(), if args.dead { " --dead" } else { "" });
    format!(
        "{name} has not left as a whole: its block stays in {path} until this ends well. Mend what failed, then run the same again \
         (homectl remove-node {path} {name}{dead}) before any apply, which would make it a node once more."
    )
}

/// The inventory without the node's block, where it still has one.
fn without(args: &RemoveNode) -> Result<Option<Edit>> {
    let mut edit = Edit::open(&args.inventory)?;
    Ok(edit.remove_node(&args.name).then_some(edit))
}

/// The machine that is to be cleaned is there, and is the node's.
fn its_machine(world: &World, fleet: &Fleet, name: &str) -> Result<()> {
    if let Some((_, seen)) = fleet.offline.iter().find(|(node, _)| node == name) {
        return Err(Failure::failed("the machine does not answer; nothing was changed anywhere")
            .on(name)
            .seen(seen)
            .help("switch it on, so that its pods move and it is cleaned; or, if it is gone for good, say --dead"));
    }
    let Some(facts) = fleet.facts.get(name).filter(|f| f.cluster.is_some()) else { return Ok(()) };
    let ours = facts.cluster.as_deref() == Some(world.cluster.name.as_str());
    if ours && facts.cluster_node.as_deref().is_none_or(|n| n == name) {
        return Ok(());
    }
    let whose =
        format!("node `{}` of the cluster `{}`", facts.cluster_node.as_deref().unwrap_or("?"), facts.cluster.as_deref().unwrap_or("?"));
    Err(Failure::refused("the machine at its address is another's")
        .on(name)
        .seen(whose)
        .help("check the address in the inventory; if the node's own machine is gone, say --dead"))
}
