//! `status`: what is true now, asked of the machines and of the API; nothing is assumed and nothing is written.

use super::certificates;
use super::fleet::{self, Fleet};
use super::tap;
use super::world::World;
use crate::cli::{Global, Target};
use crate::cluster::Node;
use crate::error::{Result, exit};
use crate::kube::{self, ApiError};
use crate::report::{Certificate, EtcdStatus, LinkStatus, NodeStatus, Reporter, Status};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

const SCRIPT: &str = concat!(include_str!("certificates.sh"), include_str!("status.sh"));
/// For the API to say something.
const PATIENCE: Duration = Duration::from_secs(8);

/// `homectl status`.
pub(super) async fn run(args: &Target, global: &Global, out: &Reporter) -> Result<u8> {
    let world = World::open_to_look(&args.inventory, global, out).await?;
    let fleet = fleet::open(&world, global, out).await?;
    let (machines, told) = tokio::join!(certificates::ask_all(&world, &fleet, SCRIPT), api(&world, &fleet));
    let mut status = Status { cluster: world.cluster.name.clone(), kubernetes: world.cluster.kubernetes.to_string(), ..Status::default() };
    status.unknown.extend(fleet.offline.iter().cloned());
    let (known, in_api) = told.unwrap_or_else(|seen| {
        status.unknown.push(("API".into(), seen));
        (Vec::new(), None)
    });
    status.certificates = certificates::all(&world, &machines, in_api.as_deref());
    status.nodes = world.cluster.nodes.iter().map(|n| node(n, &known, &fleet)).collect();
    let peers = Peers::of(&world, &machines);
    for (name, told) in machines {
        match told {
            Ok(reply) => read(world.now, &peers, &name, &reply, &mut status),
            Err(seen) => status.unknown.push((name, seen)),
        }
    }
    out.status(&status);
    let valid = !status.certificates.iter().any(Certificate::expired);
    let well = valid && status.nodes.iter().all(|n| n.ready == Some(true)) && status.etcd.iter().all(|e| e.healthy);
    Ok(if !fleet.offline.is_empty() {
        exit::OFFLINE
    } else if well {
        exit::OK
    } else {
        exit::FAILED
    })
}

/// The nodes as the API knows them, and the one serving certificate that lies in it.
async fn api(world: &World, fleet: &Fleet) -> Result<(Vec<kube::NodeStatus>, Option<Vec<u8>>), String> {
    let secrets = world.secrets().map_err(|why| format!("not looked at: {why}"))?;
    let api = tap::client(&world.cluster, secrets, &fleet.hosts).map_err(|e| e.what().to_owned())?;
    let asked = async {
        api.ready().await?;
        Ok::<_, ApiError>((api.nodes().await?, certificates::in_api(&api).await?))
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

fn node(node: &Node, known: &[kube::NodeStatus], fleet: &Fleet) -> NodeStatus {
    let seen = known.iter().find(|k| k.name == node.name);
    NodeStatus {
        name: node.name.clone(),
        role: if node.is_control_plane() { "control-plane".into() } else { "worker".into() },
        version: seen.map(|s| s.version.clone()),
        ready: seen.map(|s| s.ready),
        reason: seen.map(|s| s.why.clone()).unwrap_or_default(),
        overlay: node.overlay.to_string(),
        reachable: fleet.hosts.contains_key(&node.name),
    }
}

/// Whose WireGuard key is whose.
struct Peers {
    /// Nodes by public key.
    names: BTreeMap<String, String>,
    /// What another's is called.
    other: &'static str,
}

impl Peers {
    /// As the secrets have it, or as the machines say where those are shut.
    fn of(world: &World, machines: &BTreeMap<String, Result<String, String>>) -> Self {
        let own = |(name, told): (&String, &Result<String, String>)| {
            let key = told.as_ref().ok()?.lines().find_map(|l| l.strip_prefix("key "))?;
            Some((key.to_owned(), name.clone()))
        };
        match world.secrets() {
            Ok(secrets) => Self { names: secrets.overlay_keys(), other: "a foreign peer" },
            Err(_) => Self { names: machines.iter().filter_map(own).collect(), other: "a peer that did not answer, or a foreign one" },
        }
    }
}

/// Sorts one machine's reply into the status. `now` is our clock, for a machine that does not tell its own.
fn read(now: i64, peers: &Peers, name: &str, reply: &str, status: &mut Status) {
    let now = reply.lines().find_map(|l| l.strip_prefix("now ")?.parse::<i64>().ok()).unwrap_or(now);
    for line in reply.lines() {
        let Some((kind, rest)) = line.split_once(' ') else { continue };
        match kind {
            "handshake" => status.links.extend(link(peers, name, rest, now)),
            "etcd" => match etcd(name, rest) {
                Some(member) => status.etcd.push(member),
                None => status.etcd.push(EtcdStatus { member: name.into(), healthy: false, leader: false, learner: false, db_size: 0 }),
            },
            _ => {}
        }
    }
}

fn link(peers: &Peers, node: &str, rest: &str, now: i64) -> Option<LinkStatus> {
    let (key, at) = rest.split_once(char::is_whitespace)?;
    let peer = peers.names.get(key).map_or(peers.other, String::as_str);
    let at: i64 = at.trim().parse().ok()?;
    let handshake = if at == 0 { None } else { u64::try_from(now - at).ok().or(Some(0)) };
    Some(LinkStatus { node: node.into(), peer: peer.into(), handshake })
}

fn etcd(node: &str, rest: &str) -> Option<EtcdStatus> {
    let reply: Value = serde_json::from_str(rest).ok()?;
    let status = &reply.as_array()?.first()?["Status"];
    let id = status["header"]["member_id"].as_u64()?;
    Some(EtcdStatus {
        member: node.into(),
        healthy: status["errors"].as_array().is_none_or(Vec::is_empty),
        leader: status["leader"].as_u64() == Some(id),
        learner: status["isLearner"] == true,
        db_size: status["dbSize"].as_u64().unwrap_or(0),
    })
}
