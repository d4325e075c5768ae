//! Pods, services, names, the way out, and policies.

use super::Cluster;
use crate::Result;
use crate::kubectl::Pod;
use crate::scene::{ensure, eventually};
use std::collections::BTreeSet;

pub(crate) const WEB: &str = include_str!("../manifests/web.yaml");
const GUESTS: &str = include_str!("../manifests/guests.yaml");
const POLICY: &str = include_str!("../manifests/policy.yaml");
const PAGE: &str = "http://web.e2e.svc.cluster.local/";

/// A pod on every node, all ready.
pub(crate) fn web(cluster: &Cluster, deadline: u64) -> Result<Vec<Pod>> {
    everywhere(cluster, "e2e", "app=web", deadline)
}

fn everywhere(cluster: &Cluster, namespace: &str, label: &str, deadline: u64) -> Result<Vec<Pod>> {
    let (pods, _) = eventually(deadline, &format!("pods {label} on every node"), || {
        let pods = cluster.kubectl.pods(namespace, label)?;
        let nodes: BTreeSet<&str> = pods.iter().map(|pod| pod.node.as_str()).collect();
        ensure(nodes.len() == cluster.nodes.len(), || format!("on {nodes:?} only"))?;
        Ok(pods)
    })?;
    Ok(pods)
}

/// Each pod reaches each other's address.
pub(crate) fn direct(cluster: &Cluster, pods: &[Pod]) -> Result {
    for from in pods {
        for to in pods {
            let page = cluster.kubectl.get("e2e", &from.name, &format!("http://{}:8080/", to.address));
            let page = page.map_err(|error| format!("from {} to {}: {error}", from.node, to.node))?;
            ensure(page == to.node, || format!("from {} to {}: the page says '{page}'", from.node, to.node))?;
        }
    }
    Ok(())
}

/// Through the service's address and by its name, every node is reached from every node. A node hears of new pods a moment after the API does.
pub(crate) fn service(cluster: &Cluster, pods: &[Pod]) -> Result {
    eventually(15, "every pod answers for the service everywhere", || service_now(cluster, pods)).map(drop)
}

fn service_now(cluster: &Cluster, pods: &[Pod]) -> Result {
    let address = cluster.kubectl.ok(&["get", "service", "web", "-n", "e2e", "-o", "jsonpath={.spec.clusterIP}"])?;
    let nodes: BTreeSet<String> = pods.iter().map(|pod| pod.node.clone()).collect();
    for url in [format!("http://{address}/"), PAGE.to_owned()] {
        for from in pods {
            // One command makes many calls, each of which may go to any node.
            let many = format!("for i in $(seq 40); do timeout 5 wget -q -O - {url} || exit 1; done");
            let page = cluster.kubectl.exec("e2e", &from.name, &["sh", "-c", &many]);
            let page = page.map_err(|error| format!("{url} from {}: {error}", from.node))?;
            let seen: BTreeSet<String> = page.lines().map(str::to_owned).collect();
            ensure(seen == nodes, || format!("{url} from {}: answers of {seen:?}", from.node))?;
        }
    }
    Ok(())
}

/// Once, by name, from every pod.
pub(crate) fn by_name(cluster: &Cluster, pods: &[Pod]) -> Result {
    for from in pods {
        cluster.kubectl.get("e2e", &from.name, PAGE).map_err(|error| format!("from {}: {error}", from.node))?;
    }
    Ok(())
}

/// A neighbour on the LAN that tells everybody the address it sees.
const ANSWER: &str = r#"#!/bin/sh
while read -r line && [ "${#line}" -gt 1 ]; do :; done
printf 'HTTP/1.0 200 OK\r\n\r\n%s\n' "$REMOTE_ADDR"
"#;
const SOCKET: &str = "[Socket]\nListenStream=8099\nAccept=yes\n";
const SERVICE: &str = "[Service]\nExecStart=/tmp/e2e-answer\nStandardInput=socket\nStandardOutput=socket\n";

/// A pod's way to the LAN: the neighbour sees the node, not the pod.
pub(crate) fn way_out(cluster: &Cluster, pods: &[Pod]) -> Result {
    let spare = cluster.spare.ok_or("this lane has no neighbour")?;
    cluster.lab.put(spare, "/tmp/e2e-answer", ANSWER.as_bytes(), "755")?;
    cluster.lab.put(spare, "/run/systemd/system/e2e-answer.socket", SOCKET.as_bytes(), "644")?;
    cluster.lab.put(spare, "/run/systemd/system/e2e-answer@.service", SERVICE.as_bytes(), "644")?;
    let own = cluster.lab.sh(spare, "systemctl daemon-reload && systemctl start e2e-answer.socket && ip -4 -o addr show eth0")?;
    let own = own.split_whitespace().nth(3).and_then(|a| a.split('/').next()).ok_or("the neighbour has no address")?.to_owned();
    for pod in pods {
        let seen = cluster.kubectl.get("e2e", &pod.name, &format!("http://{own}:8099/")).map_err(|e| format!("from {}: {e}", pod.node))?;
        let node = cluster.nodes.iter().find(|node| node.name == pod.node).ok_or("a pod on no node")?;
        let due = cluster.lab.address(node.host);
        ensure(seen == due, || format!("a pod on {} is seen as {seen}, not as {due}", pod.node))?;
    }
    Ok(())
}

/// Everybody gets in; with the policy only friends do, from another machine and from the same one; without it everybody again.
pub(crate) fn policy(cluster: &Cluster) -> Result {
    cluster.kubectl.apply(GUESTS)?;
    let guests = Guests {
        servers: everywhere(cluster, "guarded", "app=server", 120)?,
        friends: everywhere(cluster, "guarded", "app=friend", 120)?,
        strangers: everywhere(cluster, "guarded", "app=stranger", 120)?,
    };
    let limit = 60;
    eventually(limit, "everybody gets in before there is a policy", || guests.hold(cluster, true))?;
    cluster.kubectl.apply(POLICY)?;
    eventually(limit, "the policy is enforced", || guests.hold(cluster, false))?;
    guests.hold(cluster, false).map_err(|error| format!("enforced, but not for long: {error}"))?;
    cluster.kubectl.ok(&["delete", "networkpolicy", "friends-only", "-n", "guarded"])?;
    eventually(limit, "everybody gets in after the policy has gone", || guests.hold(cluster, true))?;
    cluster.kubectl.ok(&["delete", "namespace", "guarded", "--wait=false"]).map(drop)
}

struct Guests {
    servers: Vec<Pod>,
    friends: Vec<Pod>,
    strangers: Vec<Pod>,
}

impl Guests {
    /// Friends get in from everywhere to everywhere; strangers do if `open`, else nowhere.
    fn hold(&self, cluster: &Cluster, open: bool) -> Result {
        for (guests, allowed) in [(&self.friends, true), (&self.strangers, open)] {
            for guest in guests {
                self.visit(cluster, guest, allowed)?;
            }
        }
        Ok(())
    }

    /// One command that knocks at every server: a line each with the address and what came of it.
    fn visit(&self, cluster: &Cluster, guest: &Pod, allowed: bool) -> Result {
        let addresses: Vec<&str> = self.servers.iter().map(|server| server.address.as_str()).collect();
        let knock = format!(
            "for a in {}; do (timeout 2 wget -q -O - http://$a:8080/ >/tmp/$a 2>&1 && echo $a in || echo $a out) & done; wait",
            addresses.join(" ")
        );
        let said = cluster.kubectl.exec("guarded", &guest.name, &["sh", "-c", &knock])?;
        for server in &self.servers {
            let due = format!("{} {}", server.address, if allowed { "in" } else { "out" });
            ensure(said.lines().any(|line| line == due), || {
                format!(
                    "{} on {} to the server on {}: '{due}' was due, not: {}",
                    guest.name,
                    guest.node,
                    server.node,
                    said.replace('\n', ", ")
                )
            })?;
        }
        Ok(())
    }
}
