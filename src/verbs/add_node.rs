//! `add-node`: the inventory with one node more, and a plan that touches nothing but that machine and what names it.

use super::apply::{carry_out, newcomers, offline};
use super::execute::Consent;
use super::fleet::{self, Fleet};
use super::kept::Kept;
use super::planning;
use super::quorum;
use super::world::{World, secrets_beside};
use crate::cli::{AddNode, Global, NodeRole};
use crate::cluster::Lock;
use crate::error::{Failure, Result, exit};
use crate::inventory::{Edit, NewNode};
use crate::plan::{self, Plan, PlannedStep};
use crate::report::Reporter;
use crate::steps::{self, Lane, Mode};
use crate::want::{Impact, Verdict};

/// `homectl add-node`.
pub(super) async fn run(args: &AddNode, global: &Global, out: &Reporter) -> Result<u8> {
    whole_fleet(global, "add-node")?;
    let old = World::open(&args.inventory, global, out).await?;
    // The keys of the new node are made with its draft.
    let kept = Kept::of([args.inventory.clone(), secrets_beside(&args.inventory), Lock::path(&args.inventory)])?;
    let mut edit = Edit::open(&args.inventory)?;
    let there = old
        .cluster
        .node(&args.name)
        .map(|n| (n.ssh.address == args.address, n.is_control_plane() == (args.role == NodeRole::ControlPlane)));
    match there {
        None => edit.add_node(&node(args))?,
        // Written by a run of the same words that was cut off; it is gone on with.
        Some((true, true)) => {}
        Some(_) => {
            return Err(Failure::refused(format!("`{}` is in the inventory already, otherwise than this", args.name))
                .help("choose another name; a node whose address changed needs no more than `homectl apply`"));
        }
    }
    let mut world = World::draft(&edit, global, out).await?;
    let mut fleet = fleet::open(&world, global, out).await?;
    offline(&world, &fleet, global).await?;
    founded(&fleet)?;
    quorum::held(&world.cluster, &fleet).await?;
    bare(&fleet, &args.name)?;
    if there.is_none() {
        settled(&old, &fleet.without(&args.name), &args.name, global, out).await?;
    }
    let code = arrive(&args.name, format!("{} will become a node.", args.name), (&mut world, &mut fleet), &edit, global, out).await?;
    kept.settle();
    Ok(code)
}

/// The machine of `name` takes its place, where nothing else is touched by that.
pub(super) async fn arrive(
    name: &str,
    question: String,
    (world, fleet): (&mut World, &mut Fleet),
    edit: &Edit,
    global: &Global,
    out: &Reporter,
) -> Result<u8> {
    let warnings = newcomers(world, fleet).await?;
    let mut plan = planning::make(world, fleet, Mode::Present, global, out).await?;
    plan.warnings.extend(warnings);
    only_about(&plan, name)?;
    let consent = Consent { question, word: "yes".into(), to_this_only: false };
    carry_out(world, fleet, plan, &consent, &|world| world.keep(edit, out), global, out).await.map(|done| done.code)
}

fn node(args: &AddNode) -> NewNode {
    let role = if args.role == NodeRole::ControlPlane { "control-plane" } else { "worker" };
    NewNode {
        name: args.name.clone(),
        address: args.address.clone(),
        role: role.into(),
        site: args.site.clone(),
        behind_nat: args.behind_nat,
        endpoint: args.endpoint.clone(),
        user: args.user.clone(),
        port: args.port,
        host_key: args.host_key.clone(),
    }
}

/// A verb about one node needs all the others.
pub(super) fn whole_fleet(global: &Global, verb: &str) -> Result<()> {
    if global.limit.is_empty() {
        return Ok(());
    }
    Err(Failure::new(exit::USAGE, format!("{verb} goes without --limit: the other nodes have to hear of it"))
        .help("leave --limit out; --allow-offline goes on without machines that are off"))
}

fn founded(fleet: &Fleet) -> Result<()> {
    if fleet.is_founded() {
        return Ok(());
    }
    Err(Failure::refused("there is no cluster yet that a node could be added to")
        .help("write its [[node]] into the inventory, then `homectl apply`"))
}

/// A machine with somebody's, or its own, former life on it is no new one. One that a cut run of this left is.
fn bare(fleet: &Fleet, name: &str) -> Result<()> {
    let Some(facts) = fleet.facts.get(name).filter(|f| f.cluster.is_some()) else { return Ok(()) };
    if facts.cluster_node.as_deref() == Some(name) && facts.etcd_cluster_id.is_none() && facts.serving.is_empty() {
        return Ok(());
    }
    let whose = format!(
        "it was the node `{}` of the cluster `{}`",
        facts.cluster_node.as_deref().unwrap_or("?"),
        facts.cluster.as_deref().unwrap_or("?")
    );
    Err(Failure::refused("the machine is no new one").on(name).seen(whose).help(
        "if it is this cluster's node, `homectl apply` looks after it; what an older life left goes with `homectl reset` of that inventory, or by installing it anew",
    ))
}

/// Refuses while anything is due on the machines besides what a verb about `name` is for: `fleet` is the one without it.
pub(super) async fn settled(old: &World, fleet: &Fleet, name: &str, global: &Global, out: &Reporter) -> Result<()> {
    let plan = planning::make(old, fleet, Mode::Present, global, out).await?;
    let due: Vec<String> = plan
        .steps
        .iter()
        .flat_map(|s| s.items.iter().map(move |i| (s, i)))
        .filter(|(_, i)| !matches!(i.verdict, Verdict::Settled(_)))
        .map(|(s, i)| format!("{}: {}", s.id.lane, i.addr))
        .collect();
    if due.is_empty() {
        return Ok(());
    }
    let some = due.iter().take(8).fold(
        Failure::refused(format!("the cluster is not as the inventory says, apart from {name}: {} changes are due", due.len())),
        Failure::seen,
    );
    let others: Vec<&str> = old.cluster.nodes.iter().map(|n| n.name.as_str()).filter(|n| *n != name).collect();
    let limit = if old.cluster.node(name).is_some() { format!(" --limit {}", others.join(",")) } else { String::new() };
    Err(some.help(format!("first `homectl apply {}{limit}`, then this again", old.inventory.path.display())))
}

/// Refuses a plan that would restart something on another machine than that of `name`.
fn only_about(plan: &Plan, name: &str) -> Result<()> {
    // Its former member leaves etcd, and a snapshot is taken before.
    let its = |s: &PlannedStep| [steps::DISMISSAL, plan::SNAPSHOT].contains(&s.id.name.as_str());
    let others = plan.steps.iter().filter(|s| matches!(&s.id.lane, Lane::Node(node) if node != name) && !its(s));
    let felt = |impact: &Impact| match impact {
        Impact::Safe => false,
        // A timer that starts anew disturbs nobody.
        Impact::Restart(units) => !units.iter().all(|u| u.strip_suffix(".timer").is_some()),
        Impact::Disruptive | Impact::Irreversible => true,
    };
    let items = others.flat_map(|s| s.items.iter().map(move |i| (s, i)));
    let hit =
        items.filter_map(|(s, i)| i.verdict.change().filter(|c| felt(&c.impact)).map(|c| format!("{}: {} ({})", s.id.lane, i.addr, c.why)));
    let hits: Vec<String> = hit.collect();
    if hits.is_empty() {
        return Ok(());
    }
    let failure = Failure::refused(format!("this would touch more than {name} and what names it"));
    Err(hits.iter().fold(failure, Failure::seen).help("make that change by itself, with `homectl apply`, and then this"))
}
