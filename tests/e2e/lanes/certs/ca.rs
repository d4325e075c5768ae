//! Other authorities under a cluster that is used.

use super::Story;
use crate::Result;
use crate::checks::{machines, workloads};
use crate::kubectl::Kubectl;
use crate::lab::{kubectl, write};
use crate::scene::{ensure, eventually};
use crate::shell::Ran;
use std::cell::RefCell;
use std::time::Duration;

/// The lane's part of it.
pub(super) fn tell(story: &Story) -> Result {
    let scene = story.scene;
    let old = story.cluster.lab.sh(story.cluster.control_plane(), "cat /etc/kubernetes/pki/ca.crt")?;
    let restarts = RefCell::new(Vec::new());
    scene.step("known: everybody trusts both, and the old ones sign", || {
        *restarts.borrow_mut() = story.known(&old)?;
        Ok(())
    })?;
    scene.check("known: nothing more happens while pods trust the old ones alone", || story.waits());
    scene.step("alone: pods begin again, and the new ones take over", || story.taken_over(&restarts.borrow()))?;
    scene.check("alone: everything is signed by the new ones, and nobody knows the old ones", || story.alone(&old));
    scene.check("alone: what people use works", || story.used());
    scene.check("alone: a kubeconfig from before is of no use", || story.strangers());
    Ok(())
}

/// Which authority's bundle lies where, whatever reads it.
const BUNDLES: &str = "/etc/kubernetes/pki/ca.crt /etc/kubernetes/pki/etcd/ca.crt /etc/kubernetes/pki/front-proxy-ca.crt";

impl Story<'_> {
    fn rotate_ca(&self, flags: &[&str]) -> Result<Ran> {
        let inventory = self.homectl.inventory().display().to_string();
        let words: Vec<&str> = ["rotate-ca", inventory.as_str(), "--yes"].into_iter().chain(flags.iter().copied()).collect();
        self.homectl.words("certs", &words)
    }

    /// The first stage; the commands by which pods begin again.
    fn known(&self, old: &str) -> Result<Vec<String>> {
        self.ask(self.asker())?;
        let ran = self.rotate_ca(&[])?.with(0)?;
        let gap = self.gap(self.asker())?;
        self.scene.figure("certs rotate-ca until new authorities are trusted, seconds", ran.took);
        self.scene.figure("API through the proxy meanwhile, longest without an answer, seconds", Duration::from_secs_f64(gap));
        let restarts: Vec<String> = ran.err.lines().filter_map(|l| l.trim().strip_prefix("kubectl ")).map(str::to_owned).collect();
        ensure(restarts.contains(&"-n kube-system rollout restart deployment/coredns".to_owned()), || ran.seen())?;
        for node in self.cluster.names() {
            let counted = self.cluster.lab.sh(node, &format!("for f in {BUNDLES}; do [ ! -e $f ] || grep -c BEGIN $f; done | sort -u"))?;
            ensure(counted.trim() == "2", || format!("{node}: authorities in the bundles: {counted}"))?;
        }
        let lab = self.cluster.lab;
        for node in self.planes() {
            lab.put(node, "/run/e2e-old.crt", old.as_bytes(), "644")?;
            let by_old = "openssl verify -no-CApath -CAfile /run/e2e-old.crt /etc/kubernetes/pki/apiserver.crt /var/lib/kubelet/pki/kubelet-server-current.pem";
            lab.sh(node, by_old)?;
        }
        let maps = self.cluster.kubectl.items(&["get", "configmaps", "-A", "--field-selector=metadata.name=kube-root-ca.crt"])?;
        let both = |map: &serde_json::Value| map["data"]["ca.crt"].as_str().is_some_and(|t| t.matches("BEGIN").count() == 2);
        ensure(maps.len() >= 4 && maps.iter().all(both), || format!("{} maps", maps.len()))?;
        let status = self.homectl.run("status", &[])?.with(0)?;
        ensure(status.out.contains("new authorities are on their way in (1 of 3"), || status.seen())?;
        ensure(gap < self.bound(), || format!("{gap:.1} s without an answer"))?;
        self.settled()?;
        Ok(restarts)
    }

    fn bound(&self) -> f64 {
        if self.planes().count() == 1 { 30.0 } else { 5.0 }
    }

    fn waits(&self) -> Result {
        let ran = self.rotate_ca(&[])?.with(4)?;
        ensure(ran.err.contains("rollout restart deployment/coredns"), || ran.seen())?;
        self.settled()
    }

    fn taken_over(&self, restarts: &[String]) -> Result {
        let kubectl = &self.cluster.kubectl;
        for restart in restarts {
            kubectl.ok(&restart.split(' ').collect::<Vec<_>>())?;
        }
        for restart in restarts.iter().filter(|r| r.contains(" rollout ")) {
            let status = restart.replace(" restart ", " status --timeout=90s ");
            kubectl.run(&status.split(' ').collect::<Vec<_>>(), "", Duration::from_secs(100))?.ok()?;
        }
        eventually(60, "old pods are gone", || machines::system_pods(self.cluster))?;
        self.ask(self.asker())?;
        let ran = self.rotate_ca(&[])?.with(0)?;
        let gap = self.gap(self.asker())?;
        self.scene.figure("certs rotate-ca until the old authorities are gone, seconds", ran.took);
        self.scene.figure("API through the proxy meanwhile, longest without an answer, seconds", Duration::from_secs_f64(gap));
        ensure(gap < self.bound(), || format!("{gap:.1} s without an answer"))
    }

    /// openssl on what lies there and on what is shown.
    fn alone(&self, old: &str) -> Result {
        let lab = self.cluster.lab;
        // A line of its key: those before it say little but the name, which the new one has, too.
        let line = old.lines().nth(4).ok_or("no certificate")?;
        let bundle = lab.sh(self.cluster.control_plane(), "cat /etc/kubernetes/pki/ca.crt")?;
        for node in self.cluster.names() {
            let there = lab.sh(node, "cat /etc/kubernetes/pki/ca.crt")?;
            ensure(there == bundle && there.matches("BEGIN").count() == 1 && !there.contains(line), || format!("{node}: {there}"))?;
            let kubelet = "openssl verify -no-CApath -CAfile /etc/kubernetes/pki/ca.crt /var/lib/kubelet/pki/kubelet-client-current.pem /var/lib/kubelet/pki/kubelet-server-current.pem";
            lab.sh(node, kubelet)?;
            let left = lab.sh(node, &format!("grep -rlF '{line}' /etc /opt/homectl/lib || :"))?;
            ensure(left.is_empty(), || format!("{node}: the old authority is in {left}"))?;
            let address = lab.sh(node, "ip -4 -o addr show wg0 | awk '{ sub(\"/.*\", \"\", $4); print $4 }'")?;
            let shown = |port: u16, ca: &str, more: &str| {
                let ask = format!(
                    "openssl s_client -connect {}:{port} -verify_return_error -no-CApath -CAfile /etc/kubernetes/pki/{ca} {more} </dev/null 2>&1 | grep -E 'Verify return code|Verification' || :",
                    address.trim()
                );
                let said = lab.sh(node, &ask)?;
                ensure(said.contains("Verification: OK") || said.contains("return code: 0 (ok)"), || format!("{node}:{port}: {said}"))
            };
            shown(10250, "ca.crt", "")?;
            if self.planes().any(|p| p == node) {
                let pki = "/etc/kubernetes/pki/etcd";
                shown(6443, "ca.crt", "")?;
                shown(2379, "etcd/ca.crt", &format!("-cert {pki}/healthcheck-client.crt -key {pki}/healthcheck-client.key"))?;
                shown(2380, "etcd/ca.crt", &format!("-cert {pki}/peer.crt -key {pki}/peer.key"))?;
            }
        }
        let status = self.homectl.run("status", &[])?.with(0)?;
        ensure(!status.out.contains("on their way in"), || status.seen())?;
        self.settled()
    }

    fn used(&self) -> Result {
        let path = self.homectl.dir.join("kubeconfig-new");
        write(&path, &self.homectl.run("kubeconfig", &[])?.ok()?)?;
        let cluster =
            crate::checks::Cluster { kubectl: Kubectl::new(kubectl()?, &path), nodes: self.cluster.nodes.clone(), ..*self.cluster };
        eventually(60, "all nodes Ready", || machines::ready(&cluster))?;
        eventually(90, "all pods ready", || machines::system_pods(&cluster))?;
        let dns = cluster.kubectl.items(&["get", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns"])?;
        let name = dns.first().and_then(|p| p["metadata"]["name"].as_str()).ok_or("no CoreDNS")?.to_owned();
        let log = cluster.kubectl.ok(&["logs", "-n", "kube-system", &name, "--since=30s"])?;
        ensure(!log.contains("x509"), || log)?;
        // A pod that begins now, by a deployment that a controller makes, on a token that it asks for.
        cluster.kubectl.ok(&["create", "namespace", "after"])?;
        eventually(60, "the new namespace has the new authority", || {
            let map = cluster.kubectl.ok(&["get", "configmap", "kube-root-ca.crt", "-n", "after", "-o", "jsonpath={.data.ca\\.crt}"])?;
            ensure(map.matches("BEGIN").count() == 1, || map)
        })?;
        if self.metrics() { workloads::top(&cluster) } else { Ok(()) }
    }

    /// The kubeconfig of before trusts another, and bears another's signature.
    fn strangers(&self) -> Result {
        let before = &self.cluster.kubectl;
        let trusting = before.run(&["get", "nodes"], "", Duration::from_secs(20))?;
        ensure(trusting.code != Some(0), || "the server of today was trusted".into())?;
        let blind = before.run(&["--insecure-skip-tls-verify", "get", "nodes"], "", Duration::from_secs(20))?;
        ensure(blind.err.contains("nauthorized"), || blind.seen())
    }
}
