//! A node on its way out, or another machine on its way into its place: what that adds to a plan.

use super::fleet::Fleet;
use super::ground::Ground;
use super::world::World;
use crate::addons;
use crate::cluster::{Cluster, Node, nth};
use crate::error::{Failure, Result};
use crate::facts::{Facts, Member};
use crate::kube::{self, Api, ApiError, Away};
use crate::plan::{self, Item, PlannedStep};
use crate::report::Reporter;
use crate::steps::{self, Step, StepId};
use crate::want::{Seats, Seen, Verdict};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a machine shows that it is on, in the API.
const HEARD: &str = "its kubelet renews its lease in the API";

/// What becomes of one node, where a verb is about that.
#[derive(Debug, Clone)]
pub enum Moving {
    /// It leaves; the world's cluster is the one without it.
    Leaves(Box<Leaving>),
    /// Another machine takes its name, its number and its keys.
    Replaced(String),
}

/// A node that leaves.
#[derive(Debug, Clone)]
pub struct Leaving {
    name: String,
    /// By which etcd knows its member.
    overlay: Ipv4Addr,
    /// The cluster as it still is, where the machine is there to be emptied and cleaned.
    before: Option<Cluster>,
    /// Its `[[node]]` is gone already, its number is not: what a run leaves that was cut at its very end.
    cut: bool,
}

impl Moving {
    /// `node` leaves; its machine is there, emptied, and cleaned of what it has by `before`, the cluster as it still is.
    #[must_use]
    pub fn leaves(node: &Node, before: Cluster) -> Self {
        Self::Leaves(Box::new(Leaving { name: node.name.clone(), overlay: node.overlay, before: Some(before), cut: false }))
    }

    /// `node` leaves, and its machine is gone already.
    #[must_use]
    pub fn gone(node: &Node) -> Self {
        Self::Leaves(Box::new(Leaving { name: node.name.clone(), overlay: node.overlay, before: None, cut: false }))
    }

    /// The node that leaves.
    #[must_use]
    pub fn leaves_whom(&self) -> Option<&str> {
        if let Self::Leaves(leaving) = self { Some(&leaving.name) } else { None }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Leaves(leaving) => &leaving.name,
            Self::Replaced(name) => name,
        }
    }

    pub(super) fn is_replaced(&self, node: &str) -> bool {
        matches!(self, Self::Replaced(name) if name == node)
    }

    /// The machine that leaves, in the cluster that it is still part of; nothing where it is gone already.
    #[must_use]
    pub fn leaver(&self) -> Option<(&Cluster, &Node)> {
        let Self::Leaves(leaving) = self else { return None };
        let before = leaving.before.as_ref()?;
        Some((before, before.node(&leaving.name)?))
    }

    /// What a departure adds in the API, where the Node object `seen` is there or not; `all` are the steps on machines, `losses`
    /// what emptying it would lose.
    #[must_use]
    pub fn in_api(&self, seen: Vec<Seen>, losses: &kube::Leaving, all: &[Step]) -> InApi {
        let there = is_there(&seen);
        InApi {
            first: (there && self.is_emptied()).then(|| emptying(self, losses)),
            last: Some((addons::farewell_step(self.name(), &gates(self, all)), seen)),
            notes: losses.losses.clone(),
        }
    }

    /// Whether the node's machine is there, and is emptied and cleaned.
    fn is_emptied(&self) -> bool {
        matches!(self, Self::Leaves(leaving) if leaving.before.is_some())
    }

    fn drain(&self) -> StepId {
        StepId::cluster(&format!("drain-{}", self.name()))
    }
}

impl World {
    /// The same without one node, which is on its way out; a `dead` one is not asked any more.
    pub(super) fn without(mut self, name: &str, dead: bool) -> Result<Self> {
        let number = self.lock.numbers.get(name).copied();
        let overlay = match (self.cluster.node(name), number) {
            (Some(node), _) => node.overlay,
            (None, Some(number)) => nth(self.cluster.network.overlay, u32::from(number)),
            (None, None) => return Err(self.cluster.stranger(format!("there is no node `{name}`"))),
        };
        let mut after = self.cluster.clone();
        after.nodes.retain(|n| n.name != name);
        if after.control_planes().next().is_none() {
            return Err(Failure::refused(format!("{name} is the last control plane"))
                .help("add another one first (homectl add-node … --role control-plane); a whole cluster ends with homectl reset"));
        }
        let block = self.cluster.node(name).is_some();
        let before = (!dead && block).then(|| std::mem::replace(&mut self.cluster, after.clone()));
        self.cluster = after;
        self.moving = Some(Moving::Leaves(Box::new(Leaving { name: name.to_owned(), overlay, before, cut: !dead && !block })));
        Ok(self)
    }
}

/// What the steps are made from: without the machine that leaves, and without a member that etcd is to forget.
pub(super) fn facts(ground: &Ground) -> Result<BTreeMap<String, Facts>> {
    let mut facts = ground.facts.clone();
    if let Some(Moving::Leaves(leaving)) = ground.moving {
        facts.remove(&leaving.name);
    }
    if let Some((_, member)) = dismissed(ground)? {
        for members in facts.values_mut().filter_map(|f| f.members.as_mut()?.as_mut().ok()) {
            members.retain(|m| m.id != member.id);
        }
    }
    Ok(facts)
}

/// The member that etcd is to forget, and the node whose own member is asked to. Refused where the rest would have no majority.
fn dismissed<'a>(ground: &Ground<'a>) -> Result<Option<(&'a Node, &'a Member)>> {
    let Some(moving) = ground.moving else { return Ok(None) };
    steps::majority(ground.facts)?;
    let answered = steps::answered(ground.facts).and_then(Result::ok);
    let Some((by, members)) = answered.and_then(|(by, members)| Some((ground.cluster.node(by)?, members))) else {
        return Err(Failure::refused("no control plane that stays can be asked who is in etcd")
            .help("bring one back first: without the others nobody can tell what may go"));
    };
    let member = match moving {
        Moving::Leaves(leaving) => steps::member_at(members, leaving.overlay),
        Moving::Replaced(name) => ground.cluster.node(name).and_then(|n| {
            let lost = ground.facts.get(name).is_some_and(|f| !f.etcd_data);
            steps::member_at(members, n.overlay).filter(|m| lost && m.started())
        }),
    };
    let Some(member) = member else { return Ok(None) };
    if !moving.is_emptied() && member.healthy {
        return Err(alive(moving.name(), &format!("its member of etcd answers at {}", member.client)));
    }
    steps::without(members, member).map(|_| Some((by, member)))
}

/// Puts what happens on machines into the steps of those who stay; gives back what the operator should know.
pub(super) fn on_machines(ground: &Ground, goes: Vec<Step>, all: &mut Vec<Step>) -> Result<Vec<String>> {
    let Some(moving) = ground.moving else { return Ok(Vec::new()) };
    let mut notes = Vec::new();
    all.extend(goes);
    if let Some((by, member)) = dismissed(ground)? {
        let members = ground.facts.get(&by.name).and_then(|f| f.members.as_ref()?.as_ref().ok());
        notes.extend(members.map(|m| steps::without(m, member)).transpose()?);
        let mut dismissal = steps::dismissal(by, member);
        dismissal.after.push(moving.drain());
        // A member that restarts is one more that is away: those that are dead are out of the count by then.
        for step in all.iter_mut().filter(|s| s.rolling == Some("etcd")) {
            step.after.push(dismissal.id.clone());
        }
        // First on its machine: what follows there waits for nothing else of it.
        all.insert(0, dismissal);
    }
    let gates: Vec<StepId> = gates(moving, all);
    steps::depart(all, moving.name(), &gates);
    Ok(notes)
}

/// The machine that is said to be gone is not: it would go on as a node, with keys and an address that another one gets.
fn alive(name: &str, seen: &str) -> Failure {
    Failure::refused("its machine is not gone; nothing was changed anywhere")
        .on(name)
        .seen(seen)
        .help("if this is the right node: switch that machine off, and run this again; a node whose machine works leaves by `homectl remove-node` without --dead")
}

fn gates(moving: &Moving, all: &[Step]) -> Vec<StepId> {
    let dismissal = all.iter().filter(|s| s.id.name == steps::DISMISSAL).map(|s| s.id.clone());
    [moving.drain()].into_iter().chain(dismissal).collect()
}

/// What happens in the API.
#[derive(Debug, Default)]
pub struct InApi {
    /// First of all: its pods leave.
    pub(super) first: Option<PlannedStep>,
    /// Last of all: its object goes.
    pub(super) last: Option<(Step, Vec<Seen>)>,
    /// What pods lose by it.
    pub(super) notes: Vec<String>,
}

fn is_there(seen: &[Seen]) -> bool {
    matches!(seen.first(), Some(Seen::Object(Some(_)) | Seen::Applied { .. }))
}

/// The departure of a node as the API has to see it; `all` are the steps on machines.
pub(super) async fn in_api(world: &World, fleet: &Fleet, all: &[Step], out: &Reporter) -> Result<InApi> {
    let api = fleet.api.get();
    let (moving, leaving) = match &world.moving {
        Some(moving @ Moving::Leaves(leaving)) => (moving, &**leaving),
        Some(Moving::Replaced(name)) => return replaced(fleet, name, out).await.map(|()| InApi::default()),
        None => return Ok(InApi::default()),
    };
    let name = &leaving.name;
    let silent = |seen: String| {
        Failure::refused(format!("the API does not answer, so {name} cannot leave it"))
            .seen(seen)
            .help("mend the control plane first: homectl apply")
    };
    let api = api.ok_or_else(|| silent("it was not asked".into()))?;
    let object = addons::farewell(name);
    let seen = addons::look(api, &[&object]).await.map_err(|e| silent(e.to_string()))?;
    let there = is_there(&seen);
    if leaving.cut && (there || all.iter().any(|s| s.id.name == steps::DISMISSAL)) {
        return Err(Failure::refused(format!("`{name}` has no [[node]] any more, so its machine cannot be emptied and cleaned"))
            .help(format!("put its block back and run this again; or, if the machine is gone: homectl remove-node … {name} --dead")));
    }
    if there && !moving.is_emptied() && is_heard_of(api, name, out).await.map_err(|e| silent(e.to_string()))? {
        return Err(alive(name, HEARD));
    }
    let mut losses = kube::Leaving::default();
    if there && moving.is_emptied() {
        losses = api.leaving(&[name], Away::ForGood).await.map_err(|e| silent(e.to_string()))?.remove(name).unwrap_or_default();
    }
    Ok(moving.in_api(seen, &losses, all))
}

/// Its pods leave, as a step of the API; blocked where one would be gone for good.
fn emptying(moving: &Moving, leaving: &kube::Leaving) -> PlannedStep {
    let name = moving.name();
    let why = format!("kept away from {name}, and moved from it as their budgets allow");
    let change = Seats::Drain { node: name.to_owned() }.change(why);
    let verdict = plan::lost(leaving).unwrap_or(Verdict::Change(change));
    PlannedStep {
        id: moving.drain(),
        title: format!("pods leave {name}"),
        after: Vec::new(),
        items: vec![Item { addr: format!("pods:{name}"), verdict, seen: String::new() }],
        ready: None,
        rolling: None,
        aside: false,
    }
}

/// Where the new machine is still empty, nobody may be heard of under its name.
async fn replaced(fleet: &Fleet, name: &str, out: &Reporter) -> Result<()> {
    let empty = fleet.facts.get(name).is_some_and(|f| f.cluster.is_none());
    let Some(api) = fleet.api.get().filter(|_| empty) else { return Ok(()) };
    let silent = |e: ApiError| {
        Failure::refused(format!("the API does not answer, so nobody can tell whether {name}'s old machine is gone"))
            .seen(e.to_string())
            .help("mend the control plane first: homectl apply")
    };
    if is_heard_of(api, name, out).await.map_err(silent)? { Err(alive(name, HEARD)) } else { Ok(()) }
}

async fn is_heard_of(api: &Api, name: &str, out: &Reporter) -> Result<bool, ApiError> {
    let told = AtomicBool::new(false);
    let wait = || {
        if !told.swap(true, Ordering::Relaxed) {
            out.talk(&format!("{name} still counts as Ready; watching for half a minute whether its kubelet is heard of …"));
        }
    };
    api.is_heard_of(name, &wait).await
}
