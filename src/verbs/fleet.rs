//! The machines of one run: connected to and asked for facts, all at once.

use super::ran;
use super::world::{World, known_hosts};
use crate::cli::Global;
use crate::cluster::{Cluster, Node};
use crate::error::{Failure, Result};
use crate::exec::EventKind;
use crate::facts::{self, Facts, Member};
use crate::inventory::{Inventory, Machine};
use crate::kube::Api;
use crate::report::Reporter;
use crate::secrets::{SecretText, Secrets};
use crate::ssh::{self, Ask, ConnectSpec, Connection, Doors, KeyRing, RemoteError};
use crate::steps;
use futures::future::{join_all, try_join_all};
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Open sessions and what is true at their other ends.
pub(super) struct Fleet {
    pub(super) hosts: BTreeMap<String, Connection>,
    pub(super) facts: BTreeMap<String, Facts>,
    ours: Ours,
    /// Nodes that did not answer, with what was seen.
    pub(super) offline: Vec<(String, String)>,
    /// The client that looked at the API, once one did.
    pub(super) api: OnceLock<Api>,
    /// Host keys that the operator took in place of recorded ones, by node.
    pub(super) renewed: BTreeMap<String, String>,
}

/// Connects to every node (or those of `--limit`) and asks each for its facts.
///
/// Nodes that do not answer are *offline*; every other trouble (a key, sudo, a changed host key) is told for all
/// nodes together and ends the verb before anything was touched.
pub(super) async fn open(world: &World, global: &Global, out: &Reporter) -> Result<Fleet> {
    let (fleet, failures) = open_all(world, global, out).await?;
    Failure::together(failures).map(|()| fleet)
}

/// The same, with the trouble besides: the machines that have it are left out.
pub(super) async fn open_all(world: &World, global: &Global, out: &Reporter) -> Result<(Fleet, Vec<Failure>)> {
    let mut nodes = limited(world, global)?;
    nodes.extend(world.moving.as_ref().and_then(|m| m.leaver()).map(|(_, node)| node));
    let mut access = Access::of(global, out).await?;
    let mut asks = join_all(nodes.iter().map(|node| ask(world, node, &access, out))).await;
    first_contacts(world, &nodes, &mut asks, &mut access, out).await?;
    let mut fleet = Fleet {
        hosts: BTreeMap::new(),
        facts: BTreeMap::new(),
        ours: Ours::of(world),
        offline: Vec::new(),
        api: OnceLock::new(),
        renewed: access.renewed,
    };
    let mut failures = Vec::new();
    for (node, answer) in nodes.iter().zip(asks) {
        match answer {
            Ok((host, facts)) => {
                fleet.hosts.insert(node.name.clone(), host);
                fleet.facts.insert(node.name.clone(), facts);
            }
            Err(Trouble::Remote(RemoteError::Unreachable { target, seen })) => {
                out.sink().tell(EventKind::Unreachable { node: node.name.clone(), seen: seen.clone() });
                fleet.offline.push((node.name.clone(), format!("cannot reach {target}: {seen}")));
            }
            Err(Trouble::Remote(e)) => failures.push(e.into_failure(&node.name)),
            Err(Trouble::Facts(why)) => failures.push(unread(&node.name, why)),
        }
    }
    fleet.ours.recognise(&mut fleet.facts);
    ran::ask(world, &mut fleet).await;
    fleet.ask_members(world).await;
    Ok((fleet, failures))
}

impl Fleet {
    /// Whether any machine that answered has etcd's data.
    pub(super) fn is_founded(&self) -> bool {
        self.facts.values().any(|f| f.etcd_data)
    }

    /// The same machines but for one.
    pub(super) fn without(&self, name: &str) -> Self {
        let mut rest = Self {
            hosts: self.hosts.clone(),
            facts: self.facts.clone(),
            ours: self.ours.clone(),
            offline: self.offline.iter().filter(|(node, _)| node != name).cloned().collect(),
            api: OnceLock::new(),
            renewed: BTreeMap::new(),
        };
        rest.hosts.remove(name);
        rest.facts.remove(name);
        rest
    }

    /// The others have no part in this run any more.
    pub(super) fn keep_only(&mut self, name: &str) {
        self.hosts.retain(|node, _| node == name);
        self.facts.retain(|node, _| node == name);
        self.offline.retain(|(node, _)| node == name);
    }

    /// Asks every machine for its facts once more.
    pub(super) async fn ask_again(&mut self, world: &World) -> Result<()> {
        let asks = self.hosts.iter().map(|(node, host)| async move {
            let reply = host.run(&facts::script(), &mut |_| ()).await.map_err(|e| e.into_failure(node))?;
            let facts = facts::parse(&reply.output, clock()).map_err(|why| unread(node, why))?;
            Ok::<_, Failure>((node.clone(), facts))
        });
        self.facts = try_join_all(asks).await?.into_iter().collect();
        self.ours.recognise(&mut self.facts);
        ran::ask(world, self).await;
        self.ask_members(world).await;
        Ok(())
    }

    /// Asks for the members of etcd, where somebody joins or leaves.
    async fn ask_members(&mut self, world: &World) {
        let told = self.members(&world.cluster, world.moving.is_some()).await;
        note(&mut self.facts, told);
    }

    /// What control planes said of the members of etcd: they are asked one after the other until one answers, where somebody has no
    /// part in a cluster that was founded, or `anyway`.
    pub(super) async fn members(&self, cluster: &Cluster, anyway: bool) -> Vec<(String, Result<Vec<Member>, String>)> {
        let mut told = Vec::new();
        for node in steps::whom_to_ask(cluster, &self.facts, anyway) {
            let Some(host) = self.hosts.get(&node.name) else { continue };
            let members = match host.run(&steps::members_script(node), &mut |_| ()).await {
                Ok(reply) => facts::members(&reply.output),
                Err(e) => Err(e.to_string()),
            };
            let answered = members.is_ok();
            told.push((node.name.clone(), members));
            if answered {
                break;
            }
        }
        told
    }

    /// How far etcd is, as each control plane says that has data of it.
    pub(super) async fn revisions(&self, cluster: &Cluster) -> Vec<u64> {
        let asks = cluster.control_planes().filter_map(|node| {
            let host = self.hosts.get(&node.name).filter(|_| self.facts.get(&node.name).is_some_and(|f| f.etcd_data))?;
            Some(async move {
                host.run(&steps::revision_script(node), &mut |_| ()).await.map(|r| steps::revisions(&r.output)).unwrap_or_default()
            })
        });
        join_all(asks).await.concat()
    }

    /// What went over each node's connections so far, where that was asked for.
    pub(super) fn tell_traffic(&self, global: &Global, out: &Reporter) {
        for (node, host) in self.hosts.iter().filter(|_| global.traffic) {
            let c = host.counters();
            out.talk(&format!("traffic {node}: {} turns, {} bytes sent, {} bytes received", c.turns, c.up, c.down));
        }
        if let Some(api) = self.api.get().filter(|_| global.traffic) {
            let c = api.counters();
            out.talk(&format!(
                "traffic API (through {}, part of the above): {} requests, {} bytes sent, {} bytes received",
                api.node(),
                c.requests,
                c.up,
                c.down
            ));
        }
    }
}

/// Unix seconds.
fn clock() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn unread(node: &str, why: String) -> Failure {
    Failure::failed("its facts could not be read").on(node).seen(why).help("run the command again; report it if it stays")
}

enum Trouble {
    Remote(RemoteError),
    Facts(String),
}

fn limited<'a>(world: &'a World, global: &Global) -> Result<Vec<&'a Node>> {
    for name in &global.limit {
        if world.cluster.node(name).is_none() {
            return Err(world.cluster.stranger(format!("--limit names `{name}`, which is no node")));
        }
    }
    Ok(world.cluster.nodes.iter().filter(|n| global.limit.is_empty() || global.limit.contains(&n.name)).collect())
}

/// What all connections of a run have in common: who is asked for passwords, and what was agreed to.
struct Access {
    sudo_password: Ask,
    keyring: KeyRing,
    doors: Doors,
    accept_new: bool,
    /// Host keys that the operator looked at.
    accepted: Vec<String>,
    /// Host keys that take the place of recorded ones, by node.
    renewed: BTreeMap<String, String>,
}

impl Access {
    async fn of(global: &Global, out: &Reporter) -> Result<Self> {
        let secret = |answer: SecretString| SecretText::new(answer.expose_secret().to_owned());
        let sudo_password = if global.ask_sudo_password {
            let password = secret(out.sudo_password().await?);
            Ask::new(move |_| Some(password.clone()))
        } else {
            Ask::nobody()
        };
        let asker = out.asker();
        let keyring = KeyRing::new(Ask::new(move |question| asker(question).map(secret)));
        Ok(Self {
            sudo_password,
            keyring,
            doors: Doors::default(),
            accept_new: global.accept_new,
            accepted: Vec::new(),
            renewed: BTreeMap::new(),
        })
    }
}

/// Hosts that were never seen: their keys are shown, and recorded where the operator says so. Without a terminal
/// nobody is asked and the refusal stands. Behind a jump host that was accepted may be another that is new.
async fn first_contacts(world: &World, nodes: &[&Node], asks: &mut [Answer], access: &mut Access, out: &Reporter) -> Result<()> {
    let mut declined = BTreeSet::new();
    for (node, answer) in nodes.iter().zip(asks) {
        if let Err(Trouble::Remote(RemoteError::HostKeyChanged { target, expected, shown })) = answer
            && world.moving.as_ref().is_some_and(|m| m.is_replaced(&node.name))
        {
            let question = format!(
                "{}: another machine takes its place. {target} shows the host key {shown}; recorded is {expected}. Is the one it shows that of the new machine?",
                node.name
            );
            if out.yes_or_no(&question).await? == Some(true) {
                access.renewed.insert(node.name.clone(), shown.clone());
                *answer = ask(world, node, access, out).await;
            }
        }
        while let Err(Trouble::Remote(RemoteError::HostKeyUnknown { target, shown })) = answer {
            if !access.accepted.contains(shown) {
                if declined.contains(shown) || !is_its_key(&node.name, target, shown, out).await? {
                    declined.insert(shown.clone());
                    break;
                }
                access.accepted.push(shown.clone());
            }
            *answer = ask(world, node, access, out).await;
        }
    }
    Ok(())
}

/// What control planes said of the members of etcd is a fact of each of them.
pub(super) fn note(facts: &mut BTreeMap<String, Facts>, told: Vec<(String, Result<Vec<Member>, String>)>) {
    for (name, members) in told {
        facts.entry(name).and_modify(|f| f.members = Some(members));
    }
}

/// Asked of the operator; nobody there means no.
async fn is_its_key(node: &str, target: &str, shown: &str, out: &Reporter) -> Result<bool> {
    let question = format!("{node}: {target} was never seen before and shows the host key {shown}. Is that its key?");
    Ok(out.yes_or_no(&question).await? == Some(true))
}

type Answer = Result<(Connection, Facts), Trouble>;

async fn ask(world: &World, node: &Node, access: &Access, out: &Reporter) -> Answer {
    let host = dial(node, world.known_hosts(), access, out).await.map_err(Trouble::Remote)?;
    let reply = host.run(&facts::script(), &mut |_| ()).await.map_err(Trouble::Remote)?;
    let facts = facts::parse(&reply.output, clock()).map_err(Trouble::Facts)?;
    Ok((host, facts))
}

async fn dial(node: &Machine, known_hosts: PathBuf, access: &Access, out: &Reporter) -> Result<Connection, RemoteError> {
    let sink = out.sink();
    sink.tell(EventKind::Connecting { node: node.name.clone(), target: node.ssh.address.clone() });
    let mut spec = ConnectSpec::new(&node.name, node.ssh.clone(), known_hosts);
    spec.accept_new = access.accept_new;
    if let Some(key) = access.renewed.get(&node.name) {
        spec.target.host_key = Some(key.clone());
    }
    spec.accepted.clone_from(&access.accepted);
    spec.sudo_password = access.sudo_password.clone();
    spec.keyring = access.keyring.clone();
    spec.doors = access.doors.clone();
    let (told, name) = (sink.clone(), node.name.clone());
    spec.recorded = Arc::new(move |_, fingerprint| {
        told.tell(EventKind::HostKeyRecorded { node: name.clone(), fingerprint: fingerprint.to_owned() });
    });
    let host = ssh::connect(&spec).await?;
    sink.tell(EventKind::Connected { node: node.name.clone() });
    Ok(host)
}

/// Connects to one machine by what the inventory alone says: no lock, no secrets, and nothing is asked of anybody else.
///
/// # Errors
/// It does not answer, or does not let in.
pub(super) async fn visit(inventory: &Inventory, node: &Machine, global: &Global, out: &Reporter) -> Result<Connection> {
    let mut access = Access::of(global, out).await?;
    loop {
        match dial(node, known_hosts(inventory), &access, out).await {
            Err(RemoteError::HostKeyUnknown { target, shown }) if !access.accepted.contains(&shown) => {
                if !is_its_key(&node.name, &target, &shown, out).await? {
                    return Err(RemoteError::HostKeyUnknown { target, shown }.into_failure(&node.name));
                }
                access.accepted.push(shown);
            }
            answer => return answer.map_err(|e| e.into_failure(&node.name)),
        }
    }
}

/// By what a machine is known to be of this cluster.
#[derive(Clone)]
struct Ours {
    cluster: String,
    /// sha256 of its authority's certificates, where the secrets tell.
    authorities: Vec<String>,
}

impl Ours {
    fn of(world: &World) -> Self {
        let authorities = world.secrets().map(Secrets::authority_sums).unwrap_or_default();
        Self { cluster: world.cluster.name.clone(), authorities }
    }

    /// A machine that lost its record is known by the authority, which machines that have theirs tell, too.
    fn recognise(&self, facts: &mut BTreeMap<String, Facts>) {
        let recorded = facts.values().find(|f| f.is_of(&self.cluster)).map(|f| f.authorities.clone());
        let authorities = if self.authorities.is_empty() { recorded.unwrap_or_default() } else { self.authorities.clone() };
        for one in facts.values_mut() {
            one.recognise(&self.cluster, &authorities);
        }
    }
}
