//! What a change of versions means for the machines that answered: which of them move, from what, and what may not be.

use super::ground::Ground;
use super::world::World;
use crate::addons::Survey;
use crate::cli::Global;
use crate::cluster::{Component, Node, kubelet_step, kubernetes_step};
use crate::error::{Failure, Result};
use crate::facts::Facts;
use crate::kube::{Api, Away, is_cordoned_by_us};
use crate::plan::{Move, Rollout};
use crate::want::Seen;
use semver::Version;
use std::collections::BTreeSet;

/// How versions move in a run.
#[derive(Debug, Clone)]
pub struct Pace {
    /// How many workers may be empty at a time.
    pub at_once: usize,
    /// The one node that goes back to what it ran before, while nothing else is touched.
    pub back: Option<String>,
    /// Certificates made before this are renewed, in Unix seconds.
    pub since: Option<i64>,
    /// Whether nothing is up that one machine after the other could keep up: what restarts does so everywhere at once.
    pub together: bool,
}

impl Pace {
    /// Whether a run at this pace has to do with the node.
    pub(super) fn concerns(&self, node: &str) -> bool {
        self.back.as_ref().is_none_or(|back| back == node)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self { at_once: 1, back: None, since: None, together: false }
    }
}

/// The moves of the nodes that answered.
///
/// # Errors
/// Refusals, for all machines together: a version that may not follow what runs, or a control plane that does not answer while
/// versions move.
pub(super) fn checked(world: &World, ground: &Ground, global: &Global) -> Result<Rollout> {
    let rollout = of(ground)?;
    if !rollout.moves.is_empty() && world.pace.back.is_none() {
        all_planes(ground, global)?;
    }
    Ok(rollout)
}

/// The same, where every control plane takes part.
pub(super) fn of(ground: &Ground) -> Result<Rollout> {
    let (to, pace) = (&ground.cluster.kubernetes, ground.pace);
    let mut moves = Vec::new();
    let mut failures = Vec::new();
    for (node, facts) in ground.cluster.nodes.iter().filter_map(|n| Some((n, ground.facts.get(&n.name)?))) {
        if !pace.concerns(&node.name) {
            continue;
        }
        let server = running(ground, facts, Component::KubeApiserver).filter(|_| node.is_control_plane());
        let kubelet = running(ground, facts, Component::Kubelet);
        if pace.back.is_none() {
            failures.extend(server.as_ref().and_then(|from| refused(node, "API server", from, to, kubernetes_step)));
            failures.extend(kubelet.as_ref().and_then(|from| refused(node, "kubelet", from, to, kubelet_step)));
        }
        if let Some(from) = kubelet.filter(|from| from != to) {
            moves.push(Move { node: node.name.clone(), control_plane: node.is_control_plane(), from });
        }
    }
    Failure::together(failures)?;
    let forward = pace.back.is_none();
    Ok(Rollout {
        moves,
        to: Some(to.clone()),
        at_once: pace.at_once,
        snapshot: forward,
        elsewhere: forward && ground.cluster.nodes.len() > 1,
        ..Rollout::default()
    })
}

/// What the API says of it: whom homectl keeps pods away from, and what each drain would lose.
///
/// # Errors
/// The API does not answer.
pub(super) async fn ask(rollout: &mut Rollout, survey: &Survey, api: &Api) -> Result<()> {
    rollout.cordoned = Ground::cordoned(survey.seen.iter());
    let nodes = rollout.emptied();
    if nodes.is_empty() {
        return Ok(());
    }
    let failed = |e: crate::kube::ApiError| Failure::failed("the API could not be asked which pods would have to move").seen(e.to_string());
    // Emptying the last node that takes pods would only end them.
    let takes = |n: &&crate::kube::NodeStatus| n.ready && (!n.unschedulable || n.cordoned_by_us);
    rollout.elsewhere = api.nodes().await.map_err(failed)?.iter().filter(takes).count() > 1;
    let nodes = rollout.emptied();
    rollout.leaving = api.leaving(&nodes, Away::ForAWhile).await.map_err(failed)?;
    Ok(())
}

/// The node's name, where homectl keeps pods away from it.
pub(super) fn cordoned((name, seen): (&str, &Seen)) -> Option<String> {
    let (Seen::Object(Some(live)) | Seen::Applied { live, .. }) = seen else { return None };
    is_cordoned_by_us(live).then(|| name.to_owned())
}

/// The node, where homectl keeps pods away from it. An API that does not answer says nothing of it.
pub(super) async fn kept_away(api: &Api, node: &str) -> BTreeSet<String> {
    if api.ready().await.is_err() {
        return BTreeSet::new();
    }
    let nodes = api.nodes().await.unwrap_or_default();
    nodes.into_iter().filter(|n| n.cordoned_by_us && n.name == node).map(|n| n.name).collect()
}

/// The version of a node's program: that of the release that it is linked from; where the lock knows none, what the
/// machine's record says.
fn running(ground: &Ground, facts: &Facts, component: Component) -> Option<Version> {
    if facts.cluster.as_ref() != Some(&ground.cluster.name) {
        return None;
    }
    let sum = facts.programs.get(component.as_str())?;
    let recorded = || facts.cluster_kubernetes.as_ref().and_then(|v| v.parse().ok());
    ground.releases.iter().find(|r| r.knows(component, sum)).map(|r| r.kubernetes.clone()).or_else(recorded)
}

type Rule = fn(&Version, &Version) -> Result<(), (String, String)>;

fn refused(node: &Node, what: &str, from: &Version, to: &Version, rule: Rule) -> Option<Failure> {
    let (why, help) = rule(from, to).err()?;
    Some(
        Failure::refused(format!("its {what} {from} may not become {to}: {why}"))
            .on(&node.name)
            .seen(format!("it runs {from}, the inventory says {to}"))
            .help(help),
    )
}

/// No kubelet may be newer than any API server, so versions move only while every control plane takes part.
fn all_planes(ground: &Ground, global: &Global) -> Result<()> {
    let missing: Vec<&str> = ground.cluster.control_planes().map(|n| n.name.as_str()).filter(|n| !ground.facts.contains_key(*n)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let why = if global.limit.is_empty() { "do not answer" } else { "are left out by --limit" };
    Err(Failure::refused("versions move only while every control plane takes part: no kubelet may be newer than an API server")
        .seen(format!("{} {why}", missing.join(", ")))
        .help("switch them on and leave --limit out, or put the version back into the inventory"))
}
