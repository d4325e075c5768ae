//! Certificates and keys: listed, renewed by the machines and by hand, and brought back when all of them have run out.

mod ca;
mod ended;
mod keys;

pub(super) use keys::run as keys;

use crate::Result;
use crate::checks::{Cluster, Node, machines};
use crate::homectl::Homectl;
use crate::kubectl::Kubectl;
use crate::lab::{self, Lab, read, write};
use crate::scene::{Scene, at_once, ensure, eventually};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds between control planes: each is through before the next begins, and the last before the first does again.
const APART: u64 = 20;
/// The machine's own program and units with other lifetimes.
const SHORT_LIVES: &str = r"set -e
sed -e 's/^BACKDATE=.*/BACKDATE=20/' -e 's/^DAYS=.*/LIFE=@LIFE@/' -e 's/DAYS \* 86400/LIFE/' /opt/homectl/lib/renew-certificates >/var/lib/e2e-renew
grep -q 'now + LIFE' /var/lib/e2e-renew
s=/run/systemd/system/homectl-renewal.service.d t=/run/systemd/system/homectl-renewal.timer.d
mkdir -p $s $t
printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nEnvironment=HOMECTL_RENEW_URGENT=101\nExecStart=\nExecStart=/bin/sh /var/lib/e2e-renew\nRestart=no\n' >$s/e2e.conf
printf '[Timer]\nOnCalendar=\nOnCalendar=*:*:0/5\nRandomizedDelaySec=0\nAccuracySec=1s\n' >$t/e2e.conf
date +%s >/run/e2e-since
systemctl daemon-reload
systemctl restart homectl-renewal.timer";
/// And back, with a year again.
const LONG_LIVES: &str = "systemctl stop homectl-renewal.timer homectl-renewal.service; rm -r /run/systemd/system/homectl-renewal.*.d
systemctl daemon-reload; systemctl reset-failed homectl-renewal.service; /opt/homectl/lib/renew-certificates --force
# It runs at once, since the machine was started a while ago: until it is through.
systemctl start homectl-renewal.timer; systemctl start homectl-renewal.service";
/// What the API server shows, and which certificates on the disk have run out.
const SHOWN: &str = r"timeout 3 openssl s_client -connect 127.0.0.1:6443 </dev/null 2>/dev/null | openssl x509 -noout -serial 2>/dev/null
for f in $(find /etc/kubernetes/pki -name '*.crt'); do openssl x509 -in $f -noout -checkend 0 >/dev/null || echo expired: $f; done";

/// One machine that is everything: it renews by itself, and is brought back by `apply`.
pub(crate) fn one(scene: &Scene) -> Result {
    start(scene, "one", &["attic"], 1, tell)
}

/// Three control planes and a worker: renewed by hand, keys replaced, brought back by `certs rescue`.
pub(crate) fn four(scene: &Scene) -> Result {
    start(scene, "four", &["attic", "cellar", "garage", "shed"], 3, tell)
}

fn start(scene: &Scene, topology: &str, names: &[&'static str], planes: usize, tell: impl FnOnce(&Story) -> Result) -> Result {
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
    let told = tell(&story);
    if told.is_err() {
        super::post_mortem(&cluster);
    }
    story.keep_journals()?;
    told
}

fn tell(story: &Story) -> Result {
    story.tell()
}

struct Story<'a> {
    scene: &'a Scene,
    homectl: &'a Homectl,
    cluster: &'a Cluster<'a>,
}

impl Story<'_> {
    fn tell(&self) -> Result {
        let scene = self.scene;
        self.fresh()?;
        scene.check("list: every certificate, and who renews it", || self.list());
        let alone = self.planes().count() == 1;
        if !alone {
            scene.check("renew: all of ours, one control plane at a time", || self.renew());
        }
        scene.check("timer: control planes renew certificates of minutes, again and again", || self.timers(if alone { 3 } else { 2 }));
        scene.step("dead: everything runs out, and the API with it", || self.kill())?;
        scene.check("dead: it is told", || self.told());
        scene.step("dead: one command brings it back", || self.rescue(alone))?;
        scene.check("dead: nothing is left to do, and pods still answer", || {
            self.settled()?;
            machines::ready(self.cluster)?;
            eventually(90, "all pods ready", || machines::system_pods(self.cluster)).map(drop)
        });
        ended::tell(self)
    }

    fn fresh(&self) -> Result {
        self.scene.step("fresh: apply", || {
            self.homectl.write_inventory(&self.cluster.lab.inventory()?)?;
            self.homectl.run("apply", &["--yes"])?.with(0)?;
            write(&self.homectl.dir.join("kubeconfig"), &self.homectl.run("kubeconfig", &[])?.ok()?)
        })
    }

    /// Whether the one certificate that lies in the API is there.
    fn metrics(&self) -> bool {
        self.cluster.nodes.len() > 1
    }

    /// For whoever looks into a failure: beside what homectl said.
    fn keep_journals(&self) -> Result {
        for node in self.cluster.names() {
            let text =
                self.cluster.lab.sh(node, "journalctl -b --no-pager -o short-precise -u 'kube*' -u etcd -u 'homectl-*' | tail -n 4000")?;
            write(&self.homectl.dir.join(format!("log/{node}.journal")), &text)?;
        }
        Ok(())
    }

    fn settled(&self) -> Result {
        let ran = self.homectl.run("plan", &["--exit-code"])?.with(0)?;
        ensure(ran.out.contains("No changes."), || ran.seen())
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
                    p if p.ends_with("ca.crt") || p.ends_with("ca-signing.crt") => "nobody",
                    _ => "its machine",
                };
                ensure(one["renewed_by"] == by, || format!("{one}"))?;
            }
        }
        if self.metrics() {
            let api = all.iter().find(|c| c["node"] == "API").ok_or("nothing of the API")?;
            ensure(api["renewed_by"] == "its machine", || api.to_string())?;
        }
        let ics = self.homectl.dir.join("certs.ics");
        self.homectl.run("certs", &["--ics", &ics.display().to_string()])?.with(0)?;
        let events = read(&ics)?.matches("BEGIN:VEVENT\r\n").count();
        ensure(events == all.len(), || format!("{events} events of {} certificates", all.len()))
    }

    /// The machines' own timers and programs, but for the lifetimes: minutes instead of a year, looked at every five seconds. Control
    /// planes begin so far apart that each has its own time, as days do at home.
    fn timers(&self, rounds: usize) -> Result {
        let lab = self.cluster.lab;
        let planes: Vec<&str> = self.planes().collect();
        let asker = self.asker();
        self.ask(asker)?;
        let from = Instant::now();
        lab.sh(planes[0], "systemctl restart etcd kube-apiserver")?;
        let restart = from.elapsed().as_secs_f64();
        self.answers()?;
        let alone = self.gap(asker)?;
        self.scene
            .figure("a restart of etcd and the API server beside it, longest without an answer, seconds", Duration::from_secs_f64(alone));
        // Seconds that a certificate has before it; the timer renews it with a good third left.
        let life = if planes.len() == 1 { 70 } else { 80 };
        let short = SHORT_LIVES.replace("@LIFE@", &life.to_string());
        let mut before = String::new();
        for (i, node) in planes.iter().enumerate() {
            std::thread::sleep(Duration::from_secs(if i == 0 { 0 } else { APART }));
            before += &lab.sh(node, SHOWN)?;
            self.age(node, life)?;
            lab.sh(node, &short)?;
        }
        self.ask(asker)?;
        let mut shown: Vec<BTreeSet<String>> = vec![BTreeSet::new(); planes.len()];
        let told = eventually(360, "renewals by the timer", || {
            for (node, shown) in planes.iter().zip(&mut shown) {
                let said = lab.sh(node, SHOWN)?;
                ensure(!said.contains("expired"), || format!("{node}: {said}"))?;
                shown.extend(said.lines().filter(|l| l.starts_with("serial=") && !before.contains(l)).map(str::to_owned));
            }
            std::thread::sleep(Duration::from_secs(1));
            let seen: Vec<usize> = shown.iter().map(BTreeSet::len).collect();
            ensure(seen.iter().all(|n| *n > rounds), || format!("certificates that API servers have shown: {seen:?}"))
        });
        let gap = self.gap(asker);
        at_once(&planes, |node| lab.sh(node, LONG_LIVES).map(drop))?;
        self.answers()?;
        let mut failed = String::new();
        for node in &planes {
            failed += &lab.sh(node, "journalctl -u homectl-renewal.service --since @$(cat /run/e2e-since) -o cat | grep -E 'not renewed|did not come back|does not show' || :")?;
        }
        let ((), took) = told?;
        let gap = gap?;
        self.scene.say(&format!("{rounds} renewals of every certificate on each of {} in {:.0} s", planes.len(), took.as_secs_f64()));
        self.scene.figure("API, renewed by the timers, longest without an answer, seconds", Duration::from_secs_f64(gap));
        // Who asks hears of a restart a moment after it: its proxy looks once a second.
        ensure(gap < restart.max(alone) + 3.0, || format!("{gap:.1} s without an answer; a restart takes {restart:.1} s"))?;
        ensure(failed.is_empty(), || failed)
    }

    /// Who asks the API: a machine beside the control planes, where there is one.
    fn asker(&self) -> &'static str {
        self.cluster.nodes.last().map_or("attic", |n| n.name)
    }

    fn answers(&self) -> Result {
        eventually(90, "the API answers", || self.cluster.kubectl.ok(&["get", "--raw", "/readyz"]).map(drop)).map(drop)
    }

    /// Has every certificate of a control plane end so many seconds from now, having begun a little ago.
    fn age(&self, node: &str, left: i64) -> Result {
        self.date(node, -20, left)
    }

    /// Has every certificate of a control plane begin and end so many seconds from now.
    fn date(&self, node: &str, from: i64, until: i64) -> Result {
        let now =
            i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?.as_secs()).map_err(|e| e.to_string())?;
        self.cluster.lab.put(node, "/var/lib/e2e-age.sh", include_bytes!("../scripts/age.sh"), "700")?;
        self.cluster.lab.sh(node, &format!("sh /var/lib/e2e-age.sh {} {}", now + from, now + until)).map(drop)
    }

    /// All again, with the keys there are; nobody is without an API for longer than a connection is given up.
    fn renew(&self) -> Result {
        // What was made within the hour is left as it is, so that a run that was cut goes on where it stopped.
        for node in self.planes() {
            self.date(node, -86_400, 200 * 86_400)?;
        }
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
        for one in before.iter().filter(|c| c["renewed_by"] == "its machine") {
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

    /// Ends that: the longest time without an answer, in seconds. A proxy takes a moment to see that its server is back.
    fn gap(&self, node: &str) -> Result<f64> {
        let log = self.cluster.lab.sh(node, "sleep 3; touch /run/e2e-stop; sleep 4; cat /run/e2e-api")?;
        let at = |line: &str| line.split(' ').next()?.parse::<f64>().ok();
        let good: Vec<f64> = log.lines().filter(|l| l.ends_with(" ok")).filter_map(at).collect();
        ensure(good.len() > 10, || format!("the API answered {} times", good.len()))?;
        // From the first question to the last, answered or not.
        let ends = [log.lines().next(), log.lines().last()].map(|line| line.and_then(at));
        let all: Vec<f64> = ends[0].into_iter().chain(good).chain(ends[1]).collect();
        Ok(all.windows(2).map(|w| w[1] - w[0]).fold(0.0, f64::max))
    }
}
