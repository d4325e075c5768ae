use crate::report::certificates::tests::left;
use crate::report::{Certificate, EtcdStatus, LinkStatus, NodeStatus, Renewal, Status};

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

fn status() -> Status {
    Status {
        cluster: "home".into(),
        kubernetes: "1.36.3".into(),
        nodes: vec![node("attic", Some(true), true), node("barn", Some(false), true), node("cabin", None, false)],
        certificates: vec![certificate(364), certificate(29), certificate(-2)],
        links: vec![link("attic", "barn", Some(12)), link("barn", "attic", Some(11)), link("attic", "cabin", None)],
        etcd: vec![EtcdStatus { member: "attic".into(), healthy: true, leader: true, learner: false, db_size: 5_250_000 }],
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
  member  health   role    size
  attic   healthy  leader  5.2 MB

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
  attic: /etc/kubernetes/pki/apiserver.crt ends in 29 days and nobody renews it
  attic: /etc/kubernetes/pki/apiserver.crt expired on 2026-11-19; homectl certs rescue makes it anew

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
    assert_eq!(doc["warnings"].as_array().map(Vec::len), Some(2));
    assert!(doc["links"][2]["handshake"].is_null());
    assert_eq!(doc["unknown"][0]["place"], "cabin");
}
