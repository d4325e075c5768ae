//! `status`: what is true now, asked of the machines and of the API; nothing is assumed and nothing is written.

use super::certificates;
use super::fleet::{self, Fleet};
use super::tap;
use super::world::World;
use crate::cli::{Global, Target};
use crate::cluster::Node;
use crate::error::{Result, exit};
use crate::kube::{self, ApiError};
use crate::report::{EtcdStatus, LinkStatus, NodeStatus, Reporter, SnapshotStatus, Status};
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
    let status = look(&world, &fleet).await;
    out.status(&status);
    Ok(code(&status, &fleet.offline))
}

/// What is wrong counts first; of machines that are `offline`, that they are.
fn code(status: &Status, offline: &[(String, String)]) -> u8 {
    let answers = |n: &&NodeStatus| !offline.iter().any(|(name, _)| *name == n.name);
    let nodes = status.nodes.iter().filter(answers).cloned().collect();
    let is_well = Status { nodes, ..status.clone() }.lacks().is_empty();
    match (is_well, offline.is_empty()) {
        (false, _) => exit::FAILED,
        (true, false) => exit::OFFLINE,
        (true, true) => exit::OK,
    }
}

/// Everything that can be seen now.
pub(super) async fn look(world: &World, fleet: &Fleet) -> Status {
    let (machines, told) = tokio::join!(certificates::ask_all(world, fleet, SCRIPT), api(world, fleet));
    let mut status = Status { cluster: world.cluster.name.clone(), kubernetes: world.cluster.kubernetes.to_string(), ..Status::default() };
    status.under_way = world.secrets().map(|s| s.under_way(world.now)).unwrap_or_default();
    status.unknown.extend(fleet.offline.iter().cloned());
    status.unknown.extend(certificates::clocks(fleet.facts.iter()));
    let (known, in_api) = told.unwrap_or_else(|seen| {
        status.unknown.push(("API".into(), seen));
        (Vec::new(), None)
    });
    status.certificates = certificates::all(world, &machines, in_api.as_deref());
    status.nodes = world.cluster.nodes.iter().map(|n| node(n, &known, fleet)).collect();
    let peers = Peers::of(world, &machines);
    for (name, told) in machines {
        match told {
            Ok(reply) => read(world.now, &peers, &name, &reply, &mut status),
            Err(seen) => status.unknown.push((name, seen)),
        }
    }
    status
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
            "etcd" => status.etcd.push(etcd(name, rest).unwrap_or_else(|| EtcdStatus::silent(name, rest))),
            "snapshot" => status.snapshots.extend(snapshot(name, rest, now)),
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
    let errors: Vec<&str> = status["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    Some(EtcdStatus {
        member: node.into(),
        healthy: errors.is_empty(),
        why: errors.join("; "),
        leader: status["leader"].as_u64() == Some(id),
        learner: status["isLearner"] == true,
        db_size: status["dbSize"].as_u64().unwrap_or(0),
    })
}

/// `TAKEN SINCE`, Unix seconds: when the newest snapshot was taken (`-`: there is none) and since when one should have been.
fn snapshot(node: &str, rest: &str, now: i64) -> Option<SnapshotStatus> {
    let (taken, since) = rest.split_once(' ')?;
    let ago = |at: &str| at.parse::<i64>().ok().map(|at| u64::try_from(now - at).unwrap_or_default());
    Some(SnapshotStatus { node: node.into(), age: ago(taken), due_for: ago(since)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Said by etcdctl 3.6.16, shortened.
    const ALARM: &str = r#"[{"Endpoint":"https://10.77.0.1:2379","Status":{"header":{"cluster_id":1,"member_id":7,"revision":9,"raft_term":2},"version":"3.6.16","dbSize":20480,"leader":7,"errors":["memberID:7 alarm:NOSPACE "],"dbSizeQuota":16384}}]"#;

    #[test]
    fn what_etcd_holds_against_itself_is_told() {
        let member = etcd("attic", ALARM).unwrap();
        assert_eq!((member.healthy, member.leader, member.why.trim()), (false, true, "memberID:7 alarm:NOSPACE"));
        assert!(etcd("attic", "Error: context deadline exceeded").is_none());
        let well = ALARM.replace("\"memberID:7 alarm:NOSPACE \"", "");
        assert_eq!(etcd("attic", &well).map(|m| (m.healthy, m.why)), Some((true, String::new())));
    }

    #[test]
    fn a_machine_that_is_off_hides_nothing() {
        let node = |name: &str, ready| NodeStatus {
            name: name.into(),
            role: "worker".into(),
            version: None,
            ready: Some(ready),
            reason: String::new(),
            overlay: String::new(),
            reachable: ready,
        };
        let off = [("shed".to_owned(), "no route".to_owned())];
        let mut status = Status { nodes: vec![node("attic", true), node("shed", false)], ..Status::default() };
        assert_eq!((code(&status, &off), code(&status, &[])), (exit::OFFLINE, exit::FAILED));
        status.etcd.push(EtcdStatus::silent("attic", "context deadline exceeded"));
        assert_eq!(code(&status, &off), exit::FAILED);
        status = Status { nodes: vec![node("attic", false), node("shed", false)], ..Status::default() };
        assert_eq!(code(&status, &off), exit::FAILED);
        status.nodes.remove(0);
        assert_eq!(code(&Status { nodes: vec![node("attic", true)], ..status }, &[]), exit::OK);
    }

    #[test]
    fn how_old_the_newest_snapshot_is() {
        let told = snapshot("attic", "1000 500", 4600).unwrap();
        assert_eq!((told.age, told.due_for), (Some(3600), 4100));
        let told = snapshot("attic", "- 500", 4600).unwrap();
        assert_eq!((told.age, told.due_for), (None, 4100));
        assert!(snapshot("attic", "", 4600).is_none());
    }
}
