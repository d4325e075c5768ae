//! Certificates and keys: listed, renewed by the machines and by hand, and brought back when all of them have run out.

use crate::Result;
use crate::checks::{Cluster, Node, machines};
use crate::homectl::Homectl;
use crate::kubectl::Kubectl;
use crate::lab::{self, Lab, read, write};
use crate::scene::{Scene, ensure, eventually};
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One machine that is everything: it renews by itself, and is brought back by `apply`.
pub(crate) fn one(scene: &Scene) -> Result {
    run(scene, "one", &["attic"], 1)
}

/// Three control planes and a worker: renewed by hand, keys replaced, brought back by `certs rescue`.
pub(crate) fn four(scene: &Scene) -> Result {
    run(scene, "four", &["attic", "cellar", "garage", "shed"], 3)
}

fn run(scene: &Scene, topology: &str, names: &[&'static str], planes: usize) -> Result {
    let lab = Lab::up(topology, "trixie")?;
    let homectl = Homectl::new(scene.lane)?;
    let node = |(i, (name, host)): (usize, (&&'static str, u8))| Node { name, host, control_plane: i < planes };
    let cluster = Cluster {
        lab: &lab,
        kubectl: Kubectl::new(lab::kubectl()?, &homectl.dir.join("kubeconfig")),
        nodes: names.iter().zip(11..).enumerate().map(node).collect(),
        spare: None,
    };
    let story = Story { scene, homectl: &homectl, cluster: &cluster };
    let told = story.tell();
    if told.is_err() {
        super::post_mortem(&cluster);
    }
    told
}

struct Story<'a> {
    scene: &'a Scene,
    homectl: &'a Homectl,
    cluster: &'a Cluster<'a>,
}

impl Story<'_> {
    fn tell(&self) -> Result {
        let scene = self.scene;
        scene.step("fresh: apply", || {
            self.homectl.write_inventory(&self.cluster.lab.inventory()?)?;
            self.homectl.run("apply", &["--yes"])?.with(0)?;
            write(&self.homectl.dir.join("kubeconfig"), &self.homectl.run("kubeconfig", &[])?.ok()?)
        })?;
        scene.check("list: every certificate, and who renews it", || self.list());
        let alone = self.planes().count() == 1;
        if alone {
            scene.check("timer: a control plane renews certificates of minutes, again and again", || self.timer("attic", 3));
        } else {
            scene.check("renew: all of ours, one control plane at a time", || self.renew());
        }
        scene.step("dead: everything runs out, and the API with it", || self.kill())?;
        scene.check("dead: it is told", || self.told());
        scene.step("dead: one command brings it back", || self.rescue(alone))?;
        scene.check("dead: nothing is left to do, and pods still answer", || {
            let ran = self.homectl.run("plan", &["--exit-code"])?.with(0)?;
            ensure(ran.out.contains("No changes."), || ran.seen())?;
            machines::ready(self.cluster)?;
            machines::system_pods(self.cluster)
        });
        Ok(())
    }

    fn planes(&self) -> impl Iterator<Item = &'static str> {
        self.cluster.nodes.iter().filter(|n| n.control_plane).map(|n| n.name)
    }

    fn certs(&self, code: i32) -> Result<Vec<Value>> {
        let ran = self.homectl.run("certs", &["--json"])?.with(code)?;
        let told: Value = serde_json::from_str(&ran.out).map_err(|e| format!("{e}: {}", ran.seen()))?;
        ensure(told["unknown"].as_array().is_some_and(Vec::is_empty) || code == 1, || told["unknown"].to_string())?;
        told["certificates"].as_array().cloned().ok_or_else(|| ran.seen())
    }

    /// What openssl finds on the machines is what is listed.
    fn list(&self) -> Result {
        let all = self.certs(0)?;
        for node in self.cluster.names() {
            let listed = |path: &str| all.iter().find(|c| c["node"] == node && c["path"] == path);
            let find = "for f in $(find /etc/kubernetes/pki -name '*.crt') /var/lib/kubelet/pki/kubelet-client-current.pem /var/lib/kubelet/pki/kubelet-server-current.pem; do\n\
                        echo \"$f $(date -u -d \"$(openssl x509 -in $f -noout -enddate | cut -d= -f2)\" +%Y-%m-%dT%H:%M:%SZ)\"; done";
            for line in self.cluster.lab.sh(node, find)?.lines() {
                let (path, ends) = line.split_once(' ').ok_or("no date")?;
                let one = listed(path).ok_or_else(|| format!("{node}: {path} is not listed"))?;
                ensure(one["expires"] == ends, || format!("{node}: {path}: {one}, openssl says {ends}"))?;
                let by = match path {
                    p if p.contains("kubelet/") => "kubelet",
                    p if p.ends_with("ca.crt") => "nobody",
                    _ => "its machine",
                };
                ensure(one["renewed_by"] == by, || format!("{one}"))?;
            }
        }
        let api = all.iter().find(|c| c["node"] == "API").ok_or("nothing of the API")?;
        ensure(api["renewed_by"] == "its machine", || api.to_string())?;
        let ics = self.homectl.dir.join("certs.ics");
        self.homectl.run("certs", &["--ics", &ics.display().to_string()])?.with(0)?;
        let events = read(&ics)?.matches("BEGIN:VEVENT\r\n").count();
        ensure(events == all.len(), || format!("{events} events of {} certificates", all.len()))
    }

    /// The machine's own timer and program, but for the lifetimes: two minutes instead of a year, looked at every five seconds.
    fn timer(&self, node: &str, rounds: usize) -> Result {
        let lab = self.cluster.lab;
        self.ask(node)?;
        let before = Instant::now();
        lab.sh(node, "systemctl restart etcd kube-apiserver")?;
        eventually(90, "the API answers", || self.cluster.kubectl.ok(&["get", "--raw", "/readyz"]).map(drop))?;
        let alone = self.gap(node)?;
        self.scene.say(&format!(
            "a restart of etcd and the API server: {alone:.1} s without an answer ({:.0} s in all)",
            before.elapsed().as_secs_f64()
        ));
        let short = "sed -e 's/^BACKDATE=.*/BACKDATE=20/' -e 's/^DAYS=.*/LIFE=120/' -e 's/DAYS \\* 86400/LIFE/' /opt/homectl/lib/renew-certificates >/var/lib/e2e-renew\n\
             grep -q 'now + LIFE' /var/lib/e2e-renew\n\
             s=/run/systemd/system/homectl-renewal.service.d t=/run/systemd/system/homectl-renewal.timer.d; mkdir -p $s $t\n\
             printf '[Unit]\\nStartLimitIntervalSec=0\\n[Service]\\nEnvironment=HOMECTL_RENEW_URGENT=101\\nExecStart=\\nExecStart=/bin/sh /var/lib/e2e-renew\\nRestart=no\\n' >$s/e2e.conf\n\
             printf '[Timer]\\nOnCalendar=\\nOnCalendar=*:*:0/5\\nRandomizedDelaySec=0\\nAccuracySec=1s\\n' >$t/e2e.conf\n\
             systemctl daemon-reload; systemctl restart homectl-renewal.timer; date +%s >/run/e2e-since";
        lab.sh(node, &format!("set -e\n{short}"))?;
        self.age(node, 100)?;
        self.ask(node)?;
        let renewed =
            "journalctl -u homectl-renewal.service --since @$(cat /run/e2e-since) -o cat | grep -c '/apiserver.crt: renewed' || :";
        let lived = "/opt/homectl/lib/renew-certificates --check | sort -n | head -n 1";
        let told = eventually(420, "renewals by the timer", || {
            let least = lab.sh(node, lived)?;
            ensure(!least.starts_with('-'), || format!("expired: {least}"))?;
            let n: usize = lab.sh(node, renewed)?.trim().parse().map_err(|e| format!("{e}"))?;
            ensure(n > rounds, || format!("{n} so far"))
        });
        lab.sh(node, "rm -r /run/systemd/system/homectl-renewal.*.d; systemctl daemon-reload; systemctl restart homectl-renewal.timer; /opt/homectl/lib/renew-certificates --force")?;
        eventually(90, "the API answers", || self.cluster.kubectl.ok(&["get", "--raw", "/readyz"]).map(drop))?;
        let gap = self.gap(node)?;
        let ((), took) = told?;
        self.scene.say(&format!("{rounds} renewals more of every certificate in {:.0} s", took.as_secs_f64()));
        self.scene.figure("API, renewed by the timer, longest without an answer, seconds", Duration::from_secs_f64(gap));
        ensure(gap < (2.0 * alone).max(15.0), || format!("{gap:.1} s without an answer; a restart costs {alone:.1} s"))?;
        let failed = lab.sh(node, "journalctl -u homectl-renewal.service --since @$(cat /run/e2e-since) -o cat | grep -E 'not renewed|did not come back|does not show' || :")?;
        ensure(failed.is_empty(), || failed)
    }

    /// Has every certificate of a control plane end so many seconds from now, having begun as long ago.
    fn age(&self, node: &str, left: i64) -> Result {
        let now =
            i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?.as_secs()).map_err(|e| e.to_string())?;
        self.cluster.lab.put(node, "/var/lib/e2e-age.sh", include_bytes!("../scripts/age.sh"), "700")?;
        self.cluster.lab.sh(node, &format!("sh /var/lib/e2e-age.sh {} {}", now - 20, now + left)).map(drop)
    }

    /// All again, with the keys there are; nobody is without an API for longer than a connection is given up.
    fn renew(&self) -> Result {
        let before = self.certs(0)?;
        self.ask("shed")?;
        let flags = ["renew", &self.homectl.inventory().display().to_string(), "--yes"].map(str::to_owned);
        let ran = self.homectl.words("certs", &flags.each_ref().map(String::as_str))?.with(0)?;
        self.scene.figure("certs renew of three control planes, seconds", ran.took);
        let gap = self.gap("shed")?;
        self.scene.figure("API through the proxy while all is renewed, longest without an answer, seconds", Duration::from_secs_f64(gap));
        let after = self.certs(0)?;
        let end = |all: &[Value], one: &Value| {
            all.iter().find(|c| c["node"] == one["node"] && c["path"] == one["path"]).map(|c| c["expires"].clone())
        };
        for one in before.iter().filter(|c| c["renewed_by"] == "its machine" || c["renewed_by"] == "homectl") {
            ensure(end(&after, one).is_some_and(|e| e.as_str() > one["expires"].as_str()), || format!("not renewed: {one}"))?;
        }
        ensure(gap < 5.0, || format!("{gap:.1} s without an answer"))?;
        let ran = self.homectl.words("certs", &flags.each_ref().map(String::as_str))?.with(0)?;
        ensure(ran.out.contains("No changes."), || ran.seen())
    }

    /// Every certificate of everybody has run out, and everything was restarted since.
    fn kill(&self) -> Result {
        let lab = self.cluster.lab;
        for node in self.planes() {
            self.age(node, -5)?;
        }
        let first = self.cluster.control_plane();
        for node in &self.cluster.nodes {
            let overlay = lab.sh(node.name, "ip -4 -o addr show wg0 | awk '{ sub(\"/.*\", \"\", $4); print $4 }'")?;
            lab.sh(
                first,
                &format!("now=$(date +%s); sh /var/lib/e2e-age.sh $((now - 900)) $((now - 5)) kubelet {} {}", node.name, overlay.trim()),
            )?;
            for what in ["client", "server"] {
                let pem = lab.sh(first, &format!("cat /run/e2e-{what}.pem"))?;
                let path = format!("/var/lib/kubelet/pki/kubelet-{what}-dead.pem");
                lab.put(node.name, &path, pem.as_bytes(), "600")?;
                lab.sh(node.name, &format!("ln -sfn {path} /var/lib/kubelet/pki/kubelet-{what}-current.pem"))?;
            }
        }
        for node in &self.cluster.nodes {
            let units = if node.control_plane { "etcd kube-apiserver kube-controller-manager kube-scheduler" } else { "" };
            lab.sh(node.name, &format!("systemctl restart --no-block {units} kubelet kube-proxy"))?;
        }
        eventually(60, "the API is gone", || match self.cluster.kubectl.ok(&["--request-timeout=3s", "get", "--raw", "/readyz"]) {
            Ok(said) => Err(said),
            Err(_) => Ok(()),
        })
        .map(drop)
    }

    fn told(&self) -> Result {
        let all = self.certs(1)?;
        for name in self.cluster.names() {
            let dead = all.iter().filter(|c| c["node"] == name && c["expired"] == true).count();
            ensure(dead >= 2, || format!("{name}: {dead} expired"))?;
        }
        let ran = self.homectl.run("status", &[])?.with(1)?;
        ensure(ran.out.contains("Warnings") && ran.out.contains("homectl certs rescue"), || ran.seen())
    }

    fn rescue(&self, by_apply: bool) -> Result {
        let ran = if by_apply {
            self.homectl.run("apply", &["--yes"])?.with(0)?
        } else {
            let ran = self.homectl.words("certs", &["rescue", &self.homectl.inventory().display().to_string(), "--yes"])?.with(0)?;
            ensure(ran.err.contains("every certificate that could be looked at is valid again"), || ran.seen())?;
            ran
        };
        self.scene.figure("a cluster of which everything had run out, seconds until it is back", ran.took);
        self.cluster.kubectl.ok(&["get", "--raw", "/readyz"])?;
        eventually(60, "all nodes Ready", || machines::ready(self.cluster))?;
        let all = self.certs(0)?;
        ensure(all.iter().all(|c| c["expired"] == false), || format!("{all:?}"))
    }

    /// Has a machine ask the API ten times a second, through its own proxy.
    fn ask(&self, node: &str) -> Result {
        let lab = self.cluster.lab;
        lab.put(node, "/var/lib/e2e-asks", include_bytes!("../scripts/asks.sh"), "700")?;
        lab.sh(node, "rm -f /run/e2e-stop; setsid -f sh /var/lib/e2e-asks 127.0.0.1 >/dev/null 2>&1 </dev/null")?;
        std::thread::sleep(Duration::from_secs(2));
        Ok(())
    }

    /// Ends that: the longest time without an answer, in seconds.
    fn gap(&self, node: &str) -> Result<f64> {
        let log = self.cluster.lab.sh(node, "touch /run/e2e-stop; sleep 4; cat /run/e2e-api")?;
        let good: Vec<f64> = log.lines().filter(|l| l.ends_with(" ok")).filter_map(|l| l.split(' ').next()?.parse().ok()).collect();
        ensure(good.len() > 10, || format!("the API answered {} times", good.len()))?;
        Ok(good.windows(2).map(|w| w[1] - w[0]).fold(0.0, f64::max))
    }
}
