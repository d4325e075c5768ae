//! The ten years of the authorities are over, and with them everything that they signed.

use super::Story;
use crate::Result;
use crate::checks::machines;
use crate::lab::write;
use crate::scene::{ensure, eventually};
use homectl::secrets;
use std::collections::BTreeSet;
use std::time::Duration;

/// The lane's part of it.
pub(super) fn tell(story: &Story) -> Result {
    let scene = story.scene;
    scene.step("ended: the authorities run out, too, and the API with them", || story.end())?;
    scene.check("ended: it is told, and nothing but a rescue begins", || story.told_of_the_end());
    scene.step("ended: one command brings it back, below new authorities", || story.superseded())?;
    scene.check("ended: nothing is left to do, no machine has the old ones, and pods answer", || story.over());
    Ok(())
}

/// Each authority's file, and another that has the same certificate.
const FILES: [&str; 4] = ["ca", "ca-signing", "etcd/ca", "front-proxy-ca"];

impl Story<'_> {
    /// The same keys and names, of a time that is over: on the machines, and in the secrets file.
    fn end(&self) -> Result {
        self.kill()?;
        let (mut ended, first) = (Vec::new(), self.cluster.control_plane());
        for file in FILES {
            let key = file.replace("-signing", "");
            let again = format!(
                "cd /etc/kubernetes/pki && now=$(date +%s) && as() {{ date -u -d \"@$1\" +%Y%m%d%H%M%SZ; }}\n\
                 openssl x509 -in {file}.crt -signkey {key}.key -not_before \"$(as $((now - 86400 * 3650)))\" -not_after \"$(as $((now - 5)))\" -out /run/e2e-ended 2>/dev/null\n\
                 cat /run/e2e-ended >{file}.crt; cat {file}.crt"
            );
            ended.push(self.cluster.lab.sh(first, &again)?);
        }
        for node in self.cluster.names().into_iter().filter(|n| *n != first) {
            for (file, pem) in FILES.iter().zip(&ended) {
                let path = format!("/etc/kubernetes/pki/{file}.crt");
                self.cluster.lab.put(node, "/run/e2e-ended", pem.as_bytes(), "600")?;
                self.cluster.lab.sh(node, &format!("[ ! -e {path} ] || cat /run/e2e-ended >{path}"))?;
            }
        }
        let (path, said) = (self.homectl.inventory().with_extension("secrets.age"), |e: homectl::error::Failure| e.to_string());
        let identity = self.homectl.dir.join("home/.config/homectl/identity.txt");
        let identity = secrets::find_identity(Some(&identity)).map_err(said)?.ok_or("no identity")?.identity;
        let mut all = secrets::open(&path, "lab", &identity).map_err(said)?;
        (all.cluster_ca.cert, all.etcd_ca.cert, all.front_proxy_ca.cert) = (ended[0].clone(), ended[2].clone(), ended[3].clone());
        secrets::save(&path, &all, &identity, &[]).map_err(said)?;
        for node in &self.cluster.nodes {
            let units = if node.control_plane { "etcd kube-apiserver kube-controller-manager kube-scheduler" } else { "" };
            self.cluster.lab.sh(node.name, &format!("systemctl restart --no-block {units} kubelet kube-proxy"))?;
        }
        Ok(())
    }

    fn told_of_the_end(&self) -> Result {
        let all = self.certs(1)?;
        for node in self.planes() {
            let ended = |c: &&serde_json::Value| c["node"] == node && c["authority"] == true && c["expired"] == true;
            let authorities = all.iter().filter(ended).count();
            ensure(authorities == FILES.len(), || format!("{node}: {authorities} expired authorities"))?;
        }
        let status = self.homectl.run("status", &[])?.with(1)?;
        ensure(status.out.contains("homectl certs rescue"), || status.seen())?;
        let refused = self.homectl.run("apply", &["--yes"])?.with(1)?;
        ensure(refused.err.contains("expired") && refused.err.contains("homectl certs rescue"), || refused.seen())
    }

    fn superseded(&self) -> Result {
        let ran = self.homectl.words("certs", &["rescue", &self.homectl.inventory().display().to_string(), "--yes"])?.with(0)?;
        self.scene.figure("a cluster whose authorities had run out, seconds until it is back below new ones", ran.took);
        for words in ["That is disruptive", "1 of 2", "2 of 2", "every certificate that could be looked at is valid again"] {
            ensure(ran.err.contains(words), || ran.seen())?;
        }
        write(&self.homectl.dir.join("kubeconfig"), &self.homectl.run("kubeconfig", &[])?.ok()?)?;
        self.cluster.kubectl.ok(&["get", "--raw", "/readyz"])?;
        // Named before the last stage, and once more at the end.
        let restarts: BTreeSet<&str> = ran.err.lines().filter_map(|l| l.trim().strip_prefix("kubectl ")).collect();
        // Ours have begun again; whoever else there is has to be told.
        ensure(ran.err.contains("kube-system deployment/coredns began before, and begins again."), || ran.seen())?;
        ensure(!restarts.iter().any(|r| r.contains("kube-system")), || ran.seen())?;
        for restart in restarts {
            self.cluster.kubectl.run(&restart.split(' ').collect::<Vec<_>>(), "", Duration::from_mins(1))?.ok()?;
        }
        Ok(())
    }

    fn over(&self) -> Result {
        for node in self.cluster.names() {
            let counted = "for f in ca ca-signing etcd/ca front-proxy-ca; do [ ! -e /etc/kubernetes/pki/$f.crt ] || { grep -c BEGIN /etc/kubernetes/pki/$f.crt\n\
                           openssl x509 -in /etc/kubernetes/pki/$f.crt -noout -checkend 86400 >/dev/null || echo $f has ended; }; done | sort -u";
            let counted = self.cluster.lab.sh(node, counted)?;
            ensure(counted.trim() == "1", || format!("{node}: {counted}"))?;
        }
        let told =
            self.cluster.kubectl.ok(&["get", "configmap", "extension-apiserver-authentication", "-n", "kube-system", "-o", "json"])?;
        ensure(told.matches("BEGIN CERTIFICATE").count() == 2, || told)?;
        self.settled()?;
        machines::ready(self.cluster)?;
        eventually(90, "all pods ready", || machines::system_pods(self.cluster)).map(drop)
    }
}
