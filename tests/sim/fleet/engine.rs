//! Runs of the engine over the fleet: facts → steps → look → plan → run, as the verbs do it.

use super::api::{Api, ApiFault, Store};
use super::host::{Cut, Fault, Host, Operator};
use super::machine::{Machine, Picture};
use super::restoring::Restored;
use super::supply::Shelf;
use super::survey::{Survey, survey};
use crate::world::World;
use futures::future::join_all;
use homectl::addons;
use homectl::cluster::{Node, Release};
use homectl::exec::{EventKind, Report, Run, Sink};
use homectl::facts::{self, Facts};
use homectl::plan::{Item, Observed, Plan, Rollout};
use homectl::ssh::{Connection, Remote};
use homectl::steps::{self, Lane, Mode, Step};
use homectl::verbs::{Ground, InApi, Moving, Pace, Restoring};
use homectl::want::{Run as Does, Verdict, Want, probe};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// What happens to a run that was not meant to.
#[derive(Clone, Default)]
pub(crate) struct Trouble {
    /// Machines on which the first item that was not tried yet is spoiled.
    pub(crate) spoil: Vec<String>,
    /// Only every so-manieth item, told by its address; 0 and 1: all.
    pub(crate) some: usize,
    /// Where inside of it, for items that are not tried at every command.
    pub(crate) at: usize,
    /// The command there fails; otherwise everything on the machine ends there.
    pub(crate) fails: bool,
    /// The operator's side ends with the first machine that does.
    pub(crate) together: bool,
    pub(crate) faults: BTreeMap<String, Fault>,
    pub(crate) api: Option<ApiFault>,
}

/// How a run went.
pub(crate) struct Ran {
    /// What was to be done.
    pub(crate) plan: Plan,
    pub(crate) report: Report,
    /// Machines whose connection was lost, in whatever way.
    pub(crate) cut: Vec<String>,
    /// What was told, as JSON lines.
    pub(crate) events: String,
}

/// What the operator is about, besides what the inventory says.
#[derive(Clone, Default)]
pub(crate) struct Errand {
    /// Releases that machines may run besides the one that is wanted.
    pub(crate) others: Vec<Release>,
    pub(crate) moving: Option<Moving>,
    pub(crate) restoring: Option<Restored>,
    /// How it is gone about.
    pub(crate) pace: Pace,
    /// The one machine that takes part; then the API is left out, as `--limit` has it.
    pub(crate) only: Option<String>,
}

/// Machines and an operator with an inventory.
pub(crate) struct Fleet {
    dir: TempDir,
    pub(crate) world: World,
    pub(crate) errand: Errand,
    /// What the last run restored, as the verb made it of the errand.
    pub(crate) restoring: Option<Restoring>,
    pub(crate) api: Api,
    /// Items that were spoiled, by machine and address, and before which of their commands next; `None`: no more.
    pub(crate) tried: BTreeMap<String, Option<usize>>,
    /// How many of the nodes have a machine.
    there: usize,
    /// The last replies of each machine.
    looks: Mutex<BTreeMap<(String, usize), Look>>,
}

/// What a machine said, and in which state.
struct Look {
    script: String,
    state: Vec<u8>,
    reply: String,
}

/// What still runs there ends before its place goes.
impl Drop for Fleet {
    /// Of every shell on every machine, not only the last one.
    fn drop(&mut self) {
        self.machines().for_each(|m| m.kill());
        let place = self.dir.path().to_string_lossy().into_owned();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
            if pid != std::process::id().to_string() && String::from_utf8_lossy(&environ).contains(&place) {
                let _ = Command::new("kill").args(["-KILL", &pid]).output();
            }
        }
    }
}

/// In memory, where it can be: thousands of files come and go.
fn place() -> TempDir {
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    builder.prefix("homectl-sim.");
    if memory.is_dir() { builder.tempdir_in(memory).unwrap() } else { builder.tempdir().unwrap() }
}

impl Fleet {
    /// Fresh machines.
    pub(crate) fn new(world: World) -> Self {
        let all = world.cluster.nodes.len();
        Self::of_the_first(all, world)
    }

    /// Fresh machines, for the first so many nodes.
    pub(crate) fn of_the_first(there: usize, world: World) -> Self {
        let dir = place();
        let (errand, tried) = (Errand::default(), BTreeMap::new());
        let fleet =
            Self { api: api(dir.path(), &world, Store::new()), dir, world, errand, restoring: None, tried, there, looks: Mutex::default() };
        for machine in fleet.machines() {
            machine.install();
            let id = steps::founding_id(&fleet.world.cluster, &fleet.world.secrets.etcd_ca.cert);
            let id = u64::from_str_radix(&id, 16).unwrap().to_string();
            fs::write(machine.ctl().join("founding-id"), id + "\n").unwrap();
        }
        fleet
    }

    /// The same once more, as it is now.
    pub(crate) fn copy(&self) -> Self {
        let dir = place();
        for part in ["machines", "ctl"] {
            let status = Command::new("cp").arg("-a").arg(self.dir.path().join(part)).arg(dir.path()).status().unwrap();
            assert!(status.success());
        }
        let world = self.world.clone();
        let api = self.api.at(dir.path(), &world);
        let (errand, tried) = (self.errand.clone(), self.tried.clone());
        let fleet = Self { api, dir, world, errand, restoring: None, tried, there: self.there, looks: Mutex::default() };
        fleet.machines().for_each(|m| m.write_shell());
        fleet
    }

    /// The machines once more, under another inventory.
    pub(crate) fn copy_of(&self, world: World) -> Self {
        let mut fleet = self.copy();
        fleet.becomes(world);
        fleet.machines().for_each(|m| m.write_shell());
        fleet
    }

    /// The inventory says something else from now on; the machines are there.
    pub(crate) fn becomes(&mut self, world: World) {
        self.there = world.cluster.nodes.len();
        self.api = self.api.at(self.dir.path(), &world);
        self.world = world;
    }

    pub(crate) fn machine(&self, name: &str) -> Machine {
        Machine::at(self.dir.path(), name)
    }

    /// Those that take part in a run: of the nodes that there are, and of one that leaves.
    pub(crate) fn machines(&self) -> impl Iterator<Item = Machine> {
        let leaver = self.errand.moving.as_ref().and_then(|m| m.leaver()).map(|(_, node)| node);
        let all = self.world.cluster.nodes.iter().take(self.there).chain(leaver);
        all.filter(|n| self.errand.only.as_ref().is_none_or(|only| *only == n.name)).map(|n| self.machine(&n.name))
    }

    /// Machines for the other nodes, which are workers: copies of the last one there is, with what is their own.
    pub(crate) fn multiply(&mut self) {
        let last = self.machines().last().expect("a machine");
        let facts = self.world.facts[&last.name].clone();
        for node in &self.world.cluster.nodes[self.there..] {
            self.machine(&node.name).become_like(&last);
            self.world.facts.insert(node.name.clone(), Facts { hostname: node.name.clone(), ..facts.clone() });
        }
        let steps = self.world.node_steps(Mode::Present);
        for node in &self.world.cluster.nodes[self.there..] {
            let lane = Lane::Node(node.name.clone());
            let wants: Vec<&Want> = steps.iter().filter(|s| s.id.lane == lane).flat_map(|s| &s.wants).collect();
            self.machine(&node.name).take_on(
                &last,
                &wants,
                self.world.secrets.leaf(&node.name, homectl::pki::name::KUBELET).expect("a certificate"),
            );
        }
        self.there = self.world.cluster.nodes.len();
    }

    /// Everything that must be the same whatever happened on the way.
    pub(crate) fn picture(&self) -> Picture {
        let of = |m: Machine| m.picture().into_iter().map(move |(k, v)| (format!("{} {k}", m.name), v));
        let mut all: Picture = self.machines().flat_map(of).collect();
        self.api.forget_the_dead();
        all.extend(self.api.store.lock().unwrap().iter().map(|(k, v)| (k.clone(), v.to_string())));
        all
    }

    /// One run of homectl.
    pub(crate) async fn run(&mut self, mode: Mode, trouble: &Trouble) -> Ran {
        let operator: Operator = Arc::new(AtomicBool::new(true));
        let works: Arc<AtomicBool> = Arc::default();
        let host = |m: Machine| {
            let fault = trouble.faults.get(&m.name).copied();
            Host::of(m, operator.clone(), works.clone(), fault, trouble.together)
        };
        self.api.serves(&operator);
        let opened: Vec<Host> = self.machines().map(host).collect();
        let cuts: Vec<(String, Arc<Cut>)> = self.machines().zip(&opened).map(|(m, h)| (m.name, h.cut.clone())).collect();
        let begun: Vec<(String, Arc<AtomicUsize>)> = self.machines().zip(&opened).map(|(m, h)| (m.name, h.items.clone())).collect();
        let hosts: BTreeMap<String, Connection> =
            self.machines().zip(opened).map(|(m, h)| (m.name, Arc::new(h) as Arc<dyn Remote>)).collect();
        self.ask(&hosts).await;
        self.make_restoring();
        let (plan, steps) = self.plan(mode, &hosts).await;
        let spoiled = self.prepare(&plan, &steps, trouble);
        let programs = Shelf::new(&self.dir.path().join("programs"));
        let events: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = events.clone();
        let sink = Sink::new(move |kind: EventKind| heard.lock().unwrap().push(serde_json::to_string(&kind).unwrap()));
        works.store(true, Ordering::Relaxed);
        let sent = match &self.restoring {
            Some(restoring) => restoring.deliver(&hosts, &plan, &sink).await,
            None => Ok(()),
        };
        let run = Run { plan: &plan, hosts: &hosts, supply: &programs, api: &self.api, sink, stop: CancellationToken::new() };
        let report = if sent.is_ok() { run.go().await } else { Report::default() };
        works.store(false, Ordering::Relaxed);
        if report.failed.is_empty() && sent.is_ok() {
            for (name, begun) in begun {
                let lane = Lane::Node(name);
                assert_eq!(begun.load(Ordering::Relaxed), acting(&plan, &lane).count(), "{lane}: the plan has items that cannot be cut");
            }
        }
        self.machines().for_each(|m| m.disarm());
        self.api.spoil(None);
        for (name, place) in spoiled {
            let cut = &cuts.iter().find(|(n, _)| *n == name).expect("a machine").1;
            let failed = report.failed.iter().any(|f| f.evidence.iter().any(|line| line == "sim: Input/output error"));
            let inside = trouble.fails && failed || cut.happened() && !cut.at_the_end();
            let next = self.tried.get_mut(&place).expect("it was chosen");
            *next = next.filter(|_| inside).map(|n| n + 1);
        }
        let cut: Vec<String> = cuts.into_iter().filter(|(_, c)| c.happened()).map(|(name, _)| name).collect();
        if cut.is_empty() && operator.load(Ordering::Relaxed) {
            self.record(mode, &hosts).await;
        }
        let events = events.lock().unwrap().join("\n");
        Ran { plan, report, cut, events }
    }

    /// The operator learns what was founded, and forgets what is gone.
    async fn record(&mut self, mode: Mode, hosts: &BTreeMap<String, Connection>) {
        self.ask(hosts).await;
        let id = self.world.facts.values().find_map(|f| f.etcd_cluster_id.clone());
        self.world.cluster.etcd_cluster_id = id.filter(|_| mode == Mode::Present);
    }

    async fn ask(&mut self, hosts: &BTreeMap<String, Connection>) {
        let now = self.world.now;
        let asks = hosts.iter().map(|(name, host)| async {
            let reply = self.said(name, host, &facts::script()).await;
            (name.clone(), facts::parse(&reply, now).unwrap())
        });
        let facts = join_all(asks).await.into_iter().collect();
        self.world.facts = facts;
        let authorities = self.world.secrets.authority_sums();
        for facts in self.world.facts.values_mut() {
            facts.recognise(&self.world.cluster.name, &authorities);
        }
        let leaves = self.errand.moving.is_some();
        let asked: Vec<Node> = steps::whom_to_ask(&self.world.cluster, &self.world.facts, leaves).into_iter().cloned().collect();
        for node in asked {
            let reply = hosts[&node.name].run(&steps::members_script(&node), &mut |_| ()).await.unwrap();
            let told = facts::members(&reply.output);
            let answered = told.is_ok();
            self.world.facts.get_mut(&node.name).expect("it is there").members = Some(told);
            if answered {
                break;
            }
        }
    }

    /// The reply to a script that only looks; the one before, where nothing has changed since.
    async fn said(&self, name: &str, host: &Connection, script: &str) -> String {
        let (machine, key) = (self.machine(name), (name.to_owned(), script.len()));
        let state = machine.state();
        let before = self.looks.lock().unwrap().get(&key).filter(|l| l.script == script && l.state == state).map(|l| l.reply.clone());
        if let Some(reply) = before {
            return reply;
        }
        let reply = host.run(script, &mut |_| ()).await.unwrap().output;
        // systemd tries again what did not start, whoever looks.
        if machine.state() == state {
            self.looks.lock().unwrap().insert(key, Look { script: script.to_owned(), state, reply: reply.clone() });
        }
        reply
    }

    async fn look(&self, name: &str, host: &Connection, steps: &[Step]) -> Observed {
        let mine: Vec<&Step> = steps.iter().filter(|s| s.id.lane == Lane::Node(name.to_owned())).collect();
        let wants: Vec<Want> = mine.iter().flat_map(|s| s.wants.iter().cloned()).collect();
        let mut seen = probe::parse(&wants, &self.said(name, host, &probe::compile(&wants)).await).into_iter();
        mine.iter().map(|s| (s.id.clone(), seen.by_ref().take(s.wants.len()).collect())).collect()
    }

    async fn plan(&self, mode: Mode, hosts: &BTreeMap<String, Connection>) -> (Plan, Vec<Step>) {
        let (world, pace) = (&self.world, &self.errand.pace);
        let now = Release { kubernetes: world.cluster.kubernetes.clone(), programs: world.cluster.programs.clone() };
        let releases: Vec<Release> = std::iter::once(now).chain(self.errand.others.iter().cloned()).collect();
        let ground = Ground {
            cluster: &world.cluster,
            secrets: &world.secrets,
            etcd_ca: Some(&world.secrets.etcd_ca.cert),
            facts: &world.facts,
            releases: &releases,
            pace,
            moving: self.errand.moving.as_ref(),
            restoring: self.restoring.as_ref(),
            now: world.now,
        };
        let mut rollout = if mode == Mode::Present { ground.rollout().unwrap() } else { Rollout::default() };
        let (nodes, _) = ground.node_steps(mode).unwrap();
        let looks = hosts.iter().map(|(name, host)| self.look(name, host, &nodes));
        let mut observed: Observed = join_all(looks).await.into_iter().flatten().collect();
        let (mut in_api, mut leaves) = (Vec::new(), InApi::default());
        if let Some((node, _)) = &pace.back {
            let live = self.api.store.lock().unwrap().get(&format!("object:v1:Node:{node}")).cloned().unwrap_or_default();
            rollout.cordoned = Some(node.clone()).filter(|_| homectl::kube::is_cordoned_by_us(&live)).into_iter().collect();
        } else if mode == Mode::Present && self.errand.only.is_none() {
            let Survey { steps, seen, cordoned } = survey(&ground, &self.api, &nodes, &observed);
            rollout.cordoned = cordoned;
            rollout.leaving = rollout.emptied().into_iter().map(|node| (node.to_owned(), homectl::kube::Leaving::default())).collect();
            if let Some((moving, name)) = self.errand.moving.as_ref().and_then(|m| Some((m, m.leaves_whom()?))) {
                let seen = vec![self.api.live(&addons::farewell(name))];
                leaves = moving.in_api(seen, &homectl::kube::Leaving::default(), &nodes);
            }
            in_api = steps;
            observed.extend(seen);
        }
        let all: Vec<Step> = nodes.iter().chain(&in_api).cloned().collect();
        let mut draft = Ground::draft(nodes, in_api, leaves, observed);
        draft.moving(&rollout);
        let mut plan = draft.finish(&world.cluster.name, mode).unwrap();
        plan.ran = rollout.ran;
        (plan, all)
    }

    /// Tells the stand-ins which files a unit reads, and what is to be spoiled; what that is, by machine.
    fn prepare(&mut self, plan: &Plan, steps: &[Step], trouble: &Trouble) -> Vec<(String, String)> {
        let mut spoiled = Vec::new();
        for machine in self.machines().collect::<Vec<_>>() {
            let lane = Lane::Node(machine.name.clone());
            let wants: Vec<&Want> = steps.iter().filter(|s| s.id.lane == lane).flat_map(|s| &s.wants).collect();
            machine.tell_reads(&wants);
            machine.disarm();
            if trouble.spoil.contains(&machine.name)
                && let Some((before, addr)) = self.next(plan, &lane, trouble.some)
            {
                let place = format!("{lane} {addr}");
                let every = addr == BEFORE || wants.iter().any(|w| w.addr() == addr && everywhere(w));
                let at = *self.tried.entry(place.clone()).or_insert(every.then_some(0));
                machine.arm(before, at.unwrap_or(trouble.at), trouble.fails);
                spoiled.push((machine.name, place));
            }
        }
        self.api.spoil(trouble.api);
        spoiled
    }

    /// The first item on a machine that is still to be spoiled, and how many run before it.
    fn next(&self, plan: &Plan, lane: &Lane, some: usize) -> Option<(Option<usize>, String)> {
        let leaves = |m: &Moving| m.leaver().is_some_and(|(_, node)| *lane == Lane::Node(node.name.clone()));
        // Of what a reset takes from a machine that leaves, some is enough: resets are cut at all of it.
        let some = if self.errand.moving.as_ref().is_some_and(|m| !leaves(m)) { 1 } else { some };
        let chosen = |addr: &str| some < 2 || addr.bytes().map(usize::from).sum::<usize>().is_multiple_of(some);
        let open = |addr: &str| chosen(addr) && !matches!(self.tried.get(&format!("{lane} {addr}")), Some(None));
        let sent = || acting(plan, lane).any(|i| self.sends(i));
        if open(BEFORE) && sent() {
            return Some((None, BEFORE.to_owned()));
        }
        acting(plan, lane).map(|i| i.addr.clone()).enumerate().find(|(_, addr)| open(addr)).map(|(n, addr)| (Some(n), addr))
    }

    /// Whether a place is made for what the item needs sent, before anything else is done.
    fn sends(&self, item: &Item) -> bool {
        let delivered = self.errand.restoring.as_ref().is_some_and(|r| r.file.is_some()) && item.addr == steps::RESTORE;
        delivered || item.verdict.change().is_some_and(|c| matches!(c.run, Does::Install(_)))
    }
}

/// What is done on a machine before the first item, where something is sent to it.
pub(crate) const BEFORE: &str = "before all items";

/// What a run does on a machine, in its order.
fn acting<'a>(plan: &'a Plan, lane: &'a Lane) -> impl Iterator<Item = &'a Item> {
    plan.steps.iter().filter(|s| s.id.lane == *lane).flat_map(|s| &s.items).filter(|i| i.verdict.change().is_some())
}

/// Items with commands of their own are spoiled at each; files and their like, which all land the same way, at one.
fn everywhere(want: &Want) -> bool {
    matches!(want, Want::Guard(_) | Want::Account(_) | Want::Packages(_))
}

fn api(dir: &Path, world: &World, store: Store) -> Api {
    Api::new(&dir.join("machines"), world.cluster.control_planes().map(|n| n.name.clone()).collect(), store)
}

/// What a plan would do, for messages.
pub(crate) fn told(plan: &Plan) -> String {
    let word = |verdict: &Verdict| match verdict {
        Verdict::Settled(_) => None,
        Verdict::Change(c) | Verdict::Deferred { change: c, .. } => Some(c.why.clone()),
        Verdict::Blocked { why, .. } => Some(format!("blocked: {why}")),
    };
    let items = plan.steps.iter().flat_map(|s| s.items.iter().map(move |i| (s, i)));
    items.filter_map(|(s, i)| Some(format!("{} {}: {}\n", s.id.lane, i.addr, word(&i.verdict)?))).collect()
}

/// For messages: where two pictures differ.
pub(crate) fn differences(one: &Picture, other: &Picture) -> Vec<String> {
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let shown = |p: &Picture, k: &String| p.get(k).map_or("nothing".to_owned(), |v| v.chars().take(300).collect());
    keys.into_iter().filter(|k| one.get(*k) != other.get(*k)).map(|k| format!("{k}: {} ≠ {}", shown(one, k), shown(other, k))).collect()
}
