//! What every drill on living machines begins and ends with: the cluster, which has to be whole, and its locks.

use super::super::execute::{self, Consent};
use super::super::fleet::{self, Fleet};
use super::super::status;
use super::super::tap;
use super::super::world::World;
use crate::cli::Global;
use crate::cluster::Node;
use crate::error::{Failure, Result, exit};
use crate::kube::Api;
use crate::report::Reporter;
use crate::secrets::Secrets;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// For everything to be as it was, after a drill.
const WHOLE: Duration = Duration::from_mins(1);

/// A cluster, connected to.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) fleet: Fleet,
    pub(super) api: Api,
}

impl Stage {
    /// Connects to every machine.
    pub(super) async fn open(inventory: &Path, global: &Global, out: &Reporter) -> Result<Self> {
        let world = World::open_to_look(inventory, global, out).await?;
        // Whom it is about is no limit to whom is asked.
        let all = Global { limit: Vec::new(), ..global.clone() };
        named(&world, global)?;
        secrets(&world)?;
        let fleet = fleet::open(&world, &all, out).await?;
        let api = tap::client(&world.cluster, secrets(&world)?, &fleet.hosts)?;
        Ok(Self { world, fleet, api })
    }

    /// The secrets, which are there since this was opened.
    pub(super) fn secrets(&self) -> Result<&Secrets> {
        secrets(&self.world)
    }

    /// The node that `--node` names, where it does.
    pub(super) fn node(&self, global: &Global) -> Result<Option<&Node>> {
        named(&self.world, global)
    }

    /// Refuses unless the cluster is whole; `more` is what the drill itself has found missing.
    pub(super) async fn must_be_whole(&self, more: Vec<String>) -> Result<()> {
        let mut lacks = self.lacks().await;
        lacks.extend(more);
        if lacks.is_empty() {
            return Ok(());
        }
        Err(Failure::refused("the cluster is not whole, so nothing is taken from it")
            .seen(lacks.join("\n"))
            .help("homectl status shows all of it: mend that first, then try again"))
    }

    /// What the cluster lacks to be whole, each with the check that says so.
    async fn lacks(&self) -> Vec<String> {
        let (status, nodes) = tokio::join!(status::look(&self.world, &self.fleet), self.api.nodes());
        let unknown = status.unknown.iter().map(|(place, seen)| format!("{place}: could not be looked at: {seen}"));
        let told = status.lacks().into_iter().map(|(check, seen)| format!("{check}: {seen}"));
        let members = self.world.cluster.control_planes().filter(|p| !status.etcd.iter().any(|m| m.member == p.name && !m.learner));
        let members = members.map(|p| format!("etcd: {} has no voting member that answers", p.name));
        let closed = nodes.unwrap_or_default().into_iter().filter(|n| n.unschedulable).map(|n| {
            let whose = if n.cordoned_by_us { "homectl apply gives it back" } else { "kubectl uncordon gives it back" };
            format!("nodes: {} takes no pods (it is cordoned; {whose})", n.name)
        });
        unknown.chain(told).chain(members).chain(closed).collect()
    }

    /// The same, as long as there is something to wait for.
    pub(super) async fn lacks_at_last(&self, stop: &CancellationToken) -> Vec<String> {
        let from = Instant::now();
        loop {
            let lacks = self.lacks().await;
            if lacks.is_empty() || from.elapsed() > WHOLE || stop.is_cancelled() {
                return lacks.into_iter().map(|lack| format!("afterwards: {lack}")).collect();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Asks, then takes every machine's lock: nobody works on them meanwhile.
    pub(super) async fn agreed(&self, question: String, out: &Reporter) -> Result<Vec<Box<dyn Send + Sync>>> {
        Consent { question, word: "yes".into(), to_this_only: false }.ask(out).await?;
        execute::hold(&self.fleet, &format!("{:08x}", rand::random::<u32>())).await
    }
}

fn named<'a>(world: &'a World, global: &Global) -> Result<Option<&'a Node>> {
    match global.limit.as_slice() {
        [] => Ok(None),
        [name] => {
            let stranger = || world.cluster.stranger(format!("--node names `{name}`, which is no node"));
            world.cluster.node(name).map(Some).ok_or_else(stranger)
        }
        _ => Err(Failure::new(exit::USAGE, "a drill is about one node at a time").help(format!("name one of {}", world.cluster.names()))),
    }
}

fn secrets(world: &World) -> Result<&Secrets> {
    world.secrets().map_err(|why| {
        Failure::new(exit::USAGE, "a drill asks the API, which takes the cluster's secrets")
            .seen(why)
            .help("name the age identity that opens them: --identity FILE, or HOMECTL_IDENTITY")
    })
}

/// What `act` gives, unless somebody stops it first.
pub(super) async fn unless<T>(stop: &CancellationToken, act: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = act => Some(done),
        () = stop.cancelled() => None,
    }
}
