//! Whether etcd has its majority and keeps it: asked by every verb about one node, where versions begin to move, and where members
//! restart.

use super::fleet::{Fleet, note};
use super::ground::Ground;
use super::moving;
use crate::cluster::{Cluster, Component};
use crate::error::{Failure, Result};
use crate::plan::{Draft, Rollout};
use crate::steps;
use std::collections::BTreeSet;

/// Refuses where no member of etcd answers for the cluster: nobody may come or go then.
pub(super) async fn held(cluster: &Cluster, fleet: &Fleet) -> Result<()> {
    let mut facts = fleet.facts.clone();
    note(&mut facts, fleet.members(cluster, true).await);
    steps::majority(&facts)
}

/// Refuses a plan that would begin with a change of versions while a member of etcd does not answer, or whose restarts would take
/// the majority away. Gives back the nodes whose members do not answer and are brought up by the plan: they are first.
pub(super) async fn guard(ground: &Ground<'_>, fleet: &Fleet, rollout: &Rollout, draft: &Draft) -> Result<BTreeSet<String>> {
    let (restarted, begins) = (draft.disturbed("etcd"), begins(ground, rollout));
    let none_is_up = ground.pace.together || ground.restoring.is_some();
    let moves = !rollout.moves.is_empty() && ground.pace.back.is_none();
    if none_is_up || restarted.is_empty() && !moves {
        return Ok(BTreeSet::new());
    }
    let mut facts = moving::facts(ground)?;
    if ground.moving.is_none() {
        note(&mut facts, fleet.members(ground.cluster, true).await);
    }
    // One that was cut is gone on with where that may be what brings members back.
    if begins || moves && !ground.cluster.control_planes().any(|n| draft.acts(&n.name, "etcd")) {
        steps::majority(&facts)?;
    }
    // Another version of etcd is no cure for a member that does not answer, so it is not counted as one.
    // Without a majority there is nothing to be taken away; what this plan does may bring it back.
    let Some(Ok((_, members))) = steps::answered(&facts) else { return Ok(BTreeSet::new()) };
    let sick: BTreeSet<String> = steps::sick(ground.cluster, members).iter().map(|n| n.name.clone()).collect();
    let (mended, left): (BTreeSet<String>, BTreeSet<String>) =
        sick.into_iter().partition(|node| draft.acts(node, "etcd") && !(begins && rollout.etcd));
    if begins && let Some(node) = left.first() {
        return Err(Failure::refused("versions begin to move only while every member of etcd answers")
            .on(node)
            .seen(steps::arithmetic(members))
            .help("there, `systemctl status etcd` and `journalctl -u etcd` say why it does not answer; mend that first, with the version that runs"));
    }
    steps::restarts(ground.cluster, members, &restarted, &mended)?;
    Ok(mended)
}

/// Whether versions are to move and no machine has begun: what has begun is gone on with, since it may be what mends the cluster.
fn begins(ground: &Ground, rollout: &Rollout) -> bool {
    let Some(wanted) = ground.releases.first().filter(|_| !rollout.moves.is_empty() && ground.pace.back.is_none()) else { return false };
    let runs = |c: Component| ground.facts.values().filter_map(move |f| f.programs.get(c.as_str())).any(|sum| wanted.knows(c, sum));
    !runs(Component::KubeApiserver) && !runs(Component::Kubelet)
}
