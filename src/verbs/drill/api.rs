//! `drill api`: one control plane's API server is away for a while, and everybody's way to the API is asked all the time.

use super::super::signals::{UnderWay, Words, interrupts};
use super::super::tap::PORT;
use super::stage::{Stage, unless};
use crate::cli::{DrillApi, Global};
use crate::cluster::Node;
use crate::error::{Failure, Result, exit};
use crate::kube::{Answers, Api, Asking, Credentials, Target, silent};
use crate::report::{Drill, Observed, Reporter};
use crate::ssh::Connection;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Where every node's own way to the API begins.
const PROXY: u16 = 7443;
/// Everybody is asked for so long before anything happens, and after it is over.
const AROUND: Duration = Duration::from_secs(2);
/// Nobody else may be without an answer for longer.
const GAP: Duration = Duration::from_secs(5);
/// For the API server to be ready again, once it is started.
const BACK: Duration = Duration::from_secs(90);
/// How much later than homectl the machine itself would start it, in seconds.
const LATER: u16 = 15;

const WORDS: Words = [
    "Interrupted: the API server is started again. Once more stops at once; its machine starts it by itself then.",
    "Stopped. The machine starts its API server again by itself.",
];

/// Who is stopped, and how.
struct Deed<'a> {
    node: &'a Node,
    host: &'a Connection,
    args: &'a DrillApi,
}

/// `homectl drill api`.
pub(super) async fn run(args: &DrillApi, global: &Global, out: &Reporter) -> Result<Drill> {
    let stage = Stage::open(&args.target.inventory, global, out).await?;
    let planes: Vec<&Node> = stage.world.cluster.control_planes().collect();
    let node = victim(&planes, stage.node(global)?, args)?;
    let ways = ways(&stage)?;
    let silent = silent(&ways).await.into_iter().map(|(way, seen)| format!("{way}: does not answer: {seen}"));
    stage.must_be_whole(silent.collect()).await?;
    let host = stage.fleet.hosts.get(&node.name).ok_or_else(|| Failure::bug("a machine that answers is not connected to"))?;
    let _locks = stage.agreed(question(node, &planes, args), out).await?;
    let stop = CancellationToken::new();
    let _under_way = UnderWay::begin();
    let watch = tokio::spawn(interrupts(stop.clone(), out.clone(), WORDS));
    let drill = Deed { node, host, args }.act(&stage, &ways, &stop, out).await;
    watch.abort();
    drill
}

/// The control plane that was named; without a name the last one.
fn victim<'a>(planes: &[&'a Node], named: Option<&'a Node>, args: &DrillApi) -> Result<&'a Node> {
    let node = named.or_else(|| planes.last().copied()).ok_or_else(|| Failure::bug("a cluster without a control plane"))?;
    let all = || planes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ");
    if !node.is_control_plane() {
        return Err(Failure::new(exit::USAGE, format!("{} has no API server", node.name)).help(format!("control planes are {}", all())));
    }
    if planes.len() == 1 && !args.without_api {
        return Err(Failure::refused(format!("{} is the only control plane: without it nobody answers", node.name))
            .seen("a drill must not cost the majority; one of one is all of it")
            .help(format!("--without-api allows the API to be away for {} s; pods go on running", args.seconds)));
    }
    Ok(node)
}

fn question(node: &Node, planes: &[&Node], args: &DrillApi) -> String {
    let others: Vec<&str> = planes.iter().map(|n| n.name.as_str()).filter(|name| *name != node.name).collect();
    let rest = if others.is_empty() { "nobody else answers meanwhile".into() } else { format!("{} go on answering", others.join(" and ")) };
    let how = if args.sudden { "killed, and stays away" } else { "stopped" };
    format!(
        "The API server of {} is {how} for {} s; {rest}. The machine starts it again by itself whatever happens here.",
        node.name, args.seconds
    )
}

/// Every API server, as another machine reaches it, and every node's own way through its proxy.
fn ways(stage: &Stage) -> Result<Vec<(String, Api)>> {
    let credentials = Credentials::visitor(stage.secrets()?, jiff::Timestamp::now().as_second())?;
    let client = |name: String, node: &Node, connection: &Connection, address: String, port: u16| {
        let target = Target { node: node.name.clone(), connection: connection.clone(), address, port };
        let api =
            Api::new(&[target], &credentials).map_err(|e| Failure::failed("no client for the API could be made").seen(e.to_string()))?;
        Ok::<_, Failure>((name, api))
    };
    let hosts = &stage.fleet.hosts;
    let mut ways = Vec::new();
    for plane in stage.world.cluster.control_planes() {
        // The connection to a machine says nothing of how others see it.
        let Some((_, from)) = hosts.iter().find(|(name, _)| **name != plane.name).or_else(|| hosts.iter().next()) else { continue };
        ways.push(client(server(plane), plane, from, plane.overlay.to_string(), PORT)?);
    }
    for node in &stage.world.cluster.nodes {
        let Some(own) = hosts.get(&node.name) else { continue };
        ways.push(client(format!("proxy on {}", node.name), node, own, "127.0.0.1".into(), PROXY)?);
    }
    Ok(ways)
}

fn server(node: &Node) -> String {
    format!("API server on {}", node.name)
}

impl Deed<'_> {
    async fn act(&self, stage: &Stage, ways: &[(String, Api)], stop: &CancellationToken, out: &Reporter) -> Result<Drill> {
        let asking = Asking::begin(ways);
        unless(stop, tokio::time::sleep(AROUND)).await;
        let from = Instant::now();
        out.talk(&format!("{}: its API server is away for {} s from now.", self.node.name, self.args.seconds));
        if let Err(failure) = self.stop().await {
            // Whether it was stopped is not known: it is to run in any case.
            let _ = self.start().await;
            return Err(failure);
        }
        unless(stop, self.time_passes(&asking, out)).await;
        let started = Instant::now();
        if let Err(failure) = self.start().await {
            out.talk(&format!("{failure}\n{} starts its API server by itself, {LATER} s later.", self.node.name));
        }
        let server = server(self.node);
        while !asking.answered(&server, started) && started.elapsed() < BACK {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let back = asking.answered(&server, started);
        tokio::time::sleep(AROUND).await;
        let seconds = from.elapsed().as_secs_f64();
        let ways = asking.end();
        let mut wrong = judge(&ways, &server, self.args.without_api);
        if !back {
            wrong.push(format!("{server} did not answer within {} s of its start", BACK.as_secs()));
        }
        wrong.extend(stage.lacks_at_last(stop).await);
        let interrupted = stop.is_cancelled();
        let (cluster, node) = (stage.world.cluster.name.clone(), self.node.name.clone());
        Ok(Drill { name: "api", cluster, node, seconds, observed: Observed::Api { victim: server, ways }, wrong, interrupted })
    }

    /// As long as it was said, unless others suffer by it.
    async fn time_passes(&self, asking: &Asking, out: &Reporter) {
        let from = Instant::now();
        while from.elapsed() < Duration::from_secs(self.args.seconds.into()) {
            let late = asking.quietest(&server(self.node)).filter(|(_, quiet)| !self.args.without_api && *quiet > GAP);
            if let Some((way, quiet)) = late {
                let after = from.elapsed().as_secs_f64();
                out.talk(&format!("Ended after {after:.1} s: {way} has had no answer for {:.1} s.", quiet.as_secs_f64()));
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn stop(&self) -> Result<()> {
        let (seconds, sudden) = (self.args.seconds + LATER, if self.args.sudden { "yes" } else { "no" });
        let script = format!("seconds={seconds} sudden={sudden}\n{}", include_str!("stop.sh"));
        self.script(&script, "its API server was not stopped").await
    }

    async fn start(&self) -> Result<()> {
        self.script(include_str!("start.sh"), "its API server could not be started from here").await
    }

    async fn script(&self, script: &str, what: &str) -> Result<()> {
        let reply = self.host.run(script, &mut |_| ()).await.map_err(|e| e.into_failure(&self.node.name))?;
        if reply.status == 0 {
            return Ok(());
        }
        Err(Failure::failed(what).on(&self.node.name).seen(reply.output.trim()).help("journalctl -u kube-apiserver on it says more"))
    }
}

/// Who was without an answer for too long, but for the one that was stopped; nobody counts where the API may be away.
fn judge(ways: &[Answers], victim: &str, away: bool) -> Vec<String> {
    let late = ways.iter().filter(|w| !away && w.way != victim && w.longest > GAP);
    late.map(|w| format!("{} was without an answer for {:.1} s; {} s are allowed", w.way, w.longest.as_secs_f64(), GAP.as_secs())).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
