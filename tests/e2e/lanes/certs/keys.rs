//! Keys replaced under a cluster that is used.

use super::{Story, start};
use crate::Result;
use crate::scene::{Scene, ensure, eventually};
use crate::shell::Ran;
use std::time::Duration;

/// Three control planes and a worker: the key of encryption at rest, the overlay's keys and the authorities take the place of others.
pub(crate) fn run(scene: &Scene) -> Result {
    start(scene, "four", &["attic", "cellar", "garage", "shed"], 3, |story| {
        story.fresh()?;
        scene.check("encryption at rest: another key, and every Secret written with it", || story.encryption());
        for node in ["shed", "attic"] {
            scene.check(&format!("overlay: another key for {node}, under a connection"), || story.overlay(node));
        }
        scene.check("nothing is left to do", || story.settled());
        super::ca::tell(story)
    })
}

/// etcdctl on a control plane.
const ETCDCTL: &str = "etcdctl() { /opt/homectl/bin/etcdctl --endpoints=https://$(ip -4 -o addr show wg0 | awk '{ sub(\"/.*\", \"\", $4); print $4 }'):2379 \
    --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt --key=/etc/kubernetes/pki/etcd/healthcheck-client.key \"$@\"; }\n";

impl Story<'_> {
    fn rotate(&self, key: &[&str]) -> Result<Ran> {
        let inventory = self.homectl.inventory().display().to_string();
        let words: Vec<&str> = ["rotate-key"].into_iter().chain(key.iter().copied()).chain([inventory.as_str(), "--yes"]).collect();
        self.homectl.words("certs", &words)?.with(0)
    }

    /// How each Secret in etcd begins: the provider and the name of the key, as the API server wrote them.
    fn at_rest(&self) -> Result<Vec<String>> {
        let ask = "etcdctl get /registry/secrets/ --prefix --keys-only | grep . | while read -r key; do\n\
                   etcdctl get \"$key\" --print-value-only | head -c 26; echo; done";
        let said = self.cluster.lab.sh(self.cluster.control_plane(), &format!("{ETCDCTL}{ask}"))?;
        Ok(said.lines().map(str::to_owned).collect())
    }

    fn encryption(&self) -> Result {
        let kubectl = &self.cluster.kubectl;
        for i in 0..40 {
            kubectl.ok(&["create", "secret", "generic", &format!("e2e-{i}"), "--from-literal=word=canary"])?;
        }
        let all_by = |key: &str| {
            let found = self.at_rest()?;
            ensure(found.len() > 40 && found.iter().all(|s| *s == format!("k8s:enc:secretbox:v1:{key}:")), || format!("{found:?}"))
        };
        all_by("key1")?;
        self.ask(self.asker())?;
        let ran = self.rotate(&["encryption"])?;
        let gap = self.gap(self.asker())?;
        self.scene.figure("another key of encryption at rest, three control planes and 40 Secrets, seconds", ran.took);
        self.scene.figure("API through the proxy meanwhile, longest without an answer, seconds", Duration::from_secs_f64(gap));
        all_by("key2")?;
        for node in self.planes() {
            let keys = self.cluster.lab.sh(node, "grep -c 'name: key1' /etc/kubernetes/encryption.yaml || :")?;
            ensure(keys.trim() == "0", || format!("{node} still has the old key"))?;
        }
        for i in [0, 39] {
            let word = kubectl.ok(&["get", "secret", &format!("e2e-{i}"), "-o", "jsonpath={.data.word}"])?;
            ensure(word == "Y2FuYXJ5", || word)?;
        }
        ensure(gap < 5.0, || format!("{gap:.1} s without an answer"))
    }

    /// A connection between the node and another goes on while its key changes.
    fn overlay(&self, node: &str) -> Result {
        let lab = self.cluster.lab;
        let other = if node == "attic" { "cellar" } else { "attic" };
        let key = |node: &str| lab.sh(node, "wg show wg0 public-key").map(|k| k.trim().to_owned());
        let before = key(node)?;
        let address = lab.sh(other, "ip -4 -o addr show wg0 | awk '{ sub(\"/.*\", \"\", $4); print $4 }'")?;
        for at in [node, other] {
            lab.put(at, "/var/lib/e2e-line.pl", include_bytes!("../../scripts/line.pl"), "700")?;
            lab.sh(at, "rm -f /run/e2e-hang-up /run/e2e-line")?;
        }
        let go = |what: &str| {
            format!("setsid -f perl /var/lib/e2e-line.pl {what} {} >/dev/null 2>/run/e2e-line-said </dev/null", address.trim())
        };
        lab.sh(other, &go("listen"))?;
        std::thread::sleep(Duration::from_secs(1));
        lab.sh(node, &go("call"))?;
        eventually(10, "the connection", || lab.sh(node, "grep -q ' 20$' /run/e2e-line || { cat /run/e2e-line-said; exit 1; }").map(drop))?;
        let ran = self.rotate(&["overlay", node])?;
        std::thread::sleep(Duration::from_secs(12));
        let log = lab.sh(node, "touch /run/e2e-hang-up; sleep 1; cat /run/e2e-line")?;
        ensure(log.ends_with("hung up\n"), || format!("the connection ended: {:?}", log.lines().last()))?;
        let at: Vec<f64> = log.lines().filter_map(|l| l.split_once(' ')?.0.parse().ok()).collect();
        let gap = at.windows(2).map(|w| w[1] - w[0]).fold(0.0, f64::max);
        self.scene.figure(&format!("another WireGuard key for {node}, seconds"), ran.took);
        self.scene.figure("a TCP connection of it meanwhile, longest without an answer, seconds", Duration::from_secs_f64(gap));
        let after = key(node)?;
        ensure(after != before, || "the key is the one before".into())?;
        for peer in self.cluster.names().into_iter().filter(|n| *n != node) {
            let peers = lab.sh(peer, "wg show wg0 peers")?;
            ensure(peers.contains(&after) && !peers.contains(&before), || format!("{peer}: {peers}"))?;
        }
        ensure(gap < 6.0, || format!("{gap:.1} s without an answer"))
    }
}
