use crate::report::certificates::tests::left;
use crate::report::{Certificate, EtcdStatus, LinkStatus, NodeStatus, Renewal, SnapshotStatus, Status};

fn node(name: &str, ready: Option<bool>, reachable: bool) -> NodeStatus {
    NodeStatus {
        name: name.into(),
        role: "worker".into(),
        version: ready.map(|_| "v1.36.3".into()),
        ready,
        reason: if ready == Some(false) { "KubeletNotReady".into() } else { String::new() },
        overlay: "10.77.0.1".into(),
        reachable,
    }
}

fn link(node: &str, peer: &str, handshake: Option<u64>) -> LinkStatus {
    LinkStatus { node: node.into(), peer: peer.into(), handshake }
}

fn certificate(days: i64) -> Certificate {
    left(days, Renewal::Nobody(String::new()))
}

fn member(why: &str) -> EtcdStatus {
    EtcdStatus { member: "attic".into(), healthy: why.is_empty(), why: why.into(), leader: true, learner: false, db_size: 5_250_000 }
}

/// Hours.
fn snapshot(age: Option<u64>, due_for: u64) -> SnapshotStatus {
    SnapshotStatus { node: "attic".into(), age: age.map(|hours| hours * 3600), due_for: due_for * 3600 }
}

fn status() -> Status {
    Status {
        cluster: "home".into(),
        kubernetes: "1.36.3".into(),
        nodes: vec![node("attic", Some(true), true), node("barn", Some(false), true), node("cabin", None, false)],
        certificates: vec![certificate(364), certificate(29), certificate(-2)],
        links: vec![link("attic", "barn", Some(12)), link("barn", "attic", Some(11)), link("attic", "cabin", None)],
        etcd: vec![member(""), EtcdStatus::silent("barn", "context deadline exceeded\n")],
        snapshots: vec![snapshot(Some(3), 90), snapshot(Some(14), 90), snapshot(None, 14), snapshot(None, 1), snapshot(Some(14), 1)],
        under_way: vec!["new authorities are on their way in".into()],
        unknown: vec![("cabin".into(), "connection timed out".into())],
    }
}

#[test]
fn the_screen() {
    let expected = "\
Cluster home, Kubernetes 1.36.3

Nodes
  name   role    version  ready                overlay    ssh
  attic  worker  v1.36.3  yes                  10.77.0.1  ok
  barn   worker  v1.36.3  no: KubeletNotReady  10.77.0.1  ok
  cabin  worker  -        unknown              10.77.0.1  unreachable

etcd
  member  health     role      size
  attic   healthy    leader    5.2 MB
  barn    UNHEALTHY  follower  0.0 MB

Overlay (seconds since the last handshake)
         attic  barn  cabin
  attic  -      12    never
  barn   11     -     -
  cabin  -      -     -

Certificates
  node   days           path                               subject
  attic  364            /etc/kubernetes/pki/apiserver.crt  CN=kube-apiserver
  attic  29 soon        /etc/kubernetes/pki/apiserver.crt  CN=kube-apiserver
  attic  EXPIRED 2 ago  /etc/kubernetes/pki/apiserver.crt  CN=kube-apiserver

Warnings
  new authorities are on their way in
  attic: /etc/kubernetes/pki/apiserver.crt ends in 29 days and nobody renews it
  attic: /etc/kubernetes/pki/apiserver.crt expired on 2026-11-19; homectl certs rescue makes it anew
  barn: etcd is not well: context deadline exceeded
  attic: the newest snapshot of etcd is 14 hours old; one is due every 6 hours: journalctl -u homectl-etcd-snapshot, systemctl list-timers homectl-etcd-snapshot.timer
  attic: there is no snapshot of etcd; one is due every 6 hours: journalctl -u homectl-etcd-snapshot, systemctl list-timers homectl-etcd-snapshot.timer

Could not be looked at
  cabin  connection timed out
";
    assert_eq!(status().text(false), expected);
}

#[test]
fn json_has_the_same() {
    let doc = status().json();
    assert_eq!(doc["nodes"][1]["reason"], "KubeletNotReady");
    assert_eq!(doc["certificates"][2]["days_left"], -2);
    assert_eq!(doc["certificates"][0]["renewed_by"], "nobody");
    assert_eq!(doc["warnings"].as_array().map(Vec::len), Some(6));
    assert_eq!((&doc["snapshots"][1]["age"], &doc["etcd"][1]["why"]), (&50400.into(), &"context deadline exceeded".into()));
    assert!(doc["links"][2]["handshake"].is_null());
    assert_eq!(doc["unknown"][0]["place"], "cabin");
}

#[test]
fn what_keeps_a_cluster_from_being_whole_is_told_with_the_check_that_says_so() {
    let all: Vec<String> = status().lacks().iter().map(|(check, seen)| format!("{check}: {}", &seen[..seen.len().min(40)])).collect();
    let expected = [
        "nodes: barn is not Ready: KubeletNotReady",
        "nodes: nobody knows whether cabin is Ready",
        "etcd: barn: etcd is not well: context deadline",
        "certificates: attic: /etc/kubernetes/pki/apiserver.crt",
    ];
    assert_eq!(all, expected);
    let full = Status { etcd: vec![member("memberID:7 alarm:NOSPACE ")], ..Status::default() };
    assert!(full.lacks()[0].1.contains("alarm:NOSPACE; nothing is written until its database has room"), "{:?}", full.lacks());
    // Old snapshots are a warning, nothing more.
    let late = Status { snapshots: vec![snapshot(None, 99)], ..Status::default() };
    assert!(late.lacks().is_empty());
}
