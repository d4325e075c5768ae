//! Planning without any machine: what new ones, as the inventory describes them, would get. Nothing is asked, and no
//! secret is opened: placeholders stand for keys and certificates.

use super::world;
use crate::addons::{self, Owned};
use crate::artifacts::LockMode;
use crate::cli::Global;
use crate::cluster::{Arch, Cluster};
use crate::error::{Failure, Result};
use crate::facts::Facts;
use crate::os;
use crate::plan::{Draft, Observed, Plan};
use crate::report::Reporter;
use crate::secrets::Secrets;
use crate::steps::{self, Ctx, Mode, Step};
use crate::want::Want;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The cluster of the inventory at `path`, with the nodes of `--limit` or all.
pub(super) async fn cluster(path: &Path, global: &Global, out: &Reporter) -> Result<(Cluster, Vec<String>)> {
    let inventory = world::read(path, out)?;
    let lock = world::lock(&inventory, global, LockMode::Complete, out).await?;
    let cluster = inventory.resolve(&lock)?;
    let asked = |name: &String| global.limit.is_empty() || global.limit.contains(name);
    let names = cluster.nodes.iter().map(|n| n.name.clone()).filter(asked).collect();
    Ok((cluster, names))
}

/// The steps of each of these nodes, then of the API where all are asked for: one lane at a time, since those of a thousand
/// nodes are large.
pub(super) fn each(cluster: &Cluster, names: &[String], now: i64, take: &mut dyn FnMut(Vec<Step>)) -> Result<()> {
    let secrets = Secrets::placeholders(cluster);
    let facts: BTreeMap<String, Facts> =
        cluster.nodes.iter().map(|n| (n.name.clone(), Facts::assumed(&n.name, n.arch.unwrap_or(Arch::Amd64)))).collect();
    let wanted: BTreeSet<&String> = names.iter().collect();
    for node in cluster.nodes.iter().filter(|n| wanted.contains(&n.name)) {
        let facts_of = &facts[&node.name];
        let os = os::of(facts_of).ok_or_else(|| Failure::bug("no distribution is assumed"))?;
        let ctx = Ctx { cluster, node, facts: facts_of, all: &facts, secrets: &secrets, os, now };
        take(steps::acquaint(steps::node(&ctx)?));
    }
    if names.len() == cluster.nodes.len() {
        take(addons::steps(cluster, &secrets, &Owned::default(), &|_| true)?);
    }
    Ok(())
}

/// The plan for new machines, to be looked at; `in_short` without the lines of what is new.
pub(super) fn plan(cluster: &Cluster, names: &[String], now: i64, in_short: bool) -> Result<Plan> {
    let mut draft = Draft::only_shown(in_short);
    each(cluster, names, now, &mut |steps| {
        let seen = |s: &Step| s.wants.iter().map(Want::on_a_new_machine).collect();
        let observed: Observed = steps.iter().map(|s| (s.id.clone(), seen(s))).collect();
        draft.add(steps, &observed);
    })?;
    let mut plan = draft.finish(&cluster.name, Mode::Present)?;
    plan.warnings = vec!["no machine was asked: this is what new ones would get, with placeholders for keys and certificates".into()];
    Ok(plan)
}
