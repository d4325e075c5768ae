//! Planning without any machine: what new ones, as the inventory describes them, would get. Nothing is asked, and no
//! secret is opened: placeholders stand for keys and certificates.

use super::world;
use crate::addons::{self, Owned};
use crate::artifacts::LockMode;
use crate::cli::Global;
use crate::cluster::{Arch, Cluster, Node};
use crate::error::{Failure, Result};
use crate::facts::Facts;
use crate::os;
use crate::plan::{Draft, Observed, Plan};
use crate::report::Reporter;
use crate::secrets::Secrets;
use crate::steps::{self, Ctx, Mode, Step};
use crate::want::Want;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::path::Path;
use std::thread::{self, ScopedJoinHandle};

/// The cluster of the inventory at `path`, with the nodes of `--limit` or all.
pub(super) async fn cluster(path: &Path, global: &Global, out: &Reporter) -> Result<(Cluster, Vec<String>)> {
    let inventory = world::read(path, out)?;
    let lock = world::lock(&inventory, global, LockMode::Complete, out).await?;
    let cluster = inventory.resolve(&lock)?;
    let asked = |name: &String| global.limit.is_empty() || global.limit.contains(name);
    let names = cluster.nodes.iter().map(|n| n.name.clone()).filter(asked).collect();
    Ok((cluster, names))
}

/// What `digest` makes of the steps of each of these nodes, then of the API's where all nodes are asked for. Lane by lane, on all
/// processors: the steps of a thousand nodes are large, and each node's name all others.
pub(super) fn each<T: Send>(cluster: &Cluster, names: &[String], now: i64, digest: impl Fn(Vec<Step>) -> T + Sync) -> Result<Vec<T>> {
    let secrets = Secrets::placeholders(cluster);
    let facts: BTreeMap<String, Facts> =
        cluster.nodes.iter().map(|n| (n.name.clone(), Facts::assumed(&n.name, n.arch.unwrap_or(Arch::Amd64)))).collect();
    let of_node = |node: &&Node| {
        let facts_of = &facts[&node.name];
        let os = os::of(facts_of).ok_or_else(|| Failure::bug("no distribution is assumed"))?;
        let ctx = Ctx { cluster, node, facts: facts_of, all: &facts, secrets: &secrets, os, now, restore: None };
        Ok(digest(steps::acquaint(steps::node(&ctx)?)))
    };
    let wanted: BTreeSet<&String> = names.iter().collect();
    let nodes: Vec<&Node> = cluster.nodes.iter().filter(|n| wanted.contains(&n.name)).collect();
    let share = nodes.len().div_ceil(thread::available_parallelism().map_or(1, NonZero::get)).max(1);
    let made = thread::scope(|scope| {
        let shares: Vec<_> = nodes.chunks(share).map(|some| scope.spawn(|| some.iter().map(of_node).collect::<Result<Vec<T>>>())).collect();
        let whole = |share: ScopedJoinHandle<'_, Result<Vec<T>>>| share.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        shares.into_iter().map(whole).collect::<Result<Vec<Vec<T>>>>()
    })?;
    let mut all: Vec<T> = made.into_iter().flatten().collect();
    if names.len() == cluster.nodes.len() {
        all.push(digest(addons::steps(cluster, &secrets, &Owned::default(), &|_| true)?));
    }
    Ok(all)
}

/// The plan for new machines, to be looked at; `in_short` without the lines of what is new.
pub(super) fn plan(cluster: &Cluster, names: &[String], now: i64, in_short: bool) -> Result<Plan> {
    let lanes = each(cluster, names, now, |steps| {
        let seen = |s: &Step| s.wants.iter().map(Want::on_a_new_machine).collect();
        let observed: Observed = steps.iter().map(|s| (s.id.clone(), seen(s))).collect();
        let mut draft = Draft::only_shown(in_short);
        draft.add(steps, &observed);
        draft
    })?;
    let mut draft = Draft::only_shown(in_short);
    for lane in lanes {
        draft.join(lane);
    }
    let mut plan = draft.finish(&cluster.name, Mode::Present)?;
    plan.warnings = vec!["no machine was asked: this is what new ones would get, with placeholders for keys and certificates".into()];
    Ok(plan)
}
