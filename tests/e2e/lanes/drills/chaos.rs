//! The items, one function each: what is done to the machines, what must be said of it meanwhile, and how it is put right.

use super::canary::Canary;
use super::{AWAY, ETCDCTL, Ground, PLANES, ROUTER};
use crate::Result;
use crate::lanes::lane;
use crate::scene::{ensure, eventually};
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime};

const GUEST: &str = include_str!("../../manifests/guest.yaml");
/// How long the line is out; the API gives a node up after forty seconds.
const OUT: Duration = Duration::from_mins(1);

/// Every process of every machine dies at once, and they are switched on in any order, up to three seconds apart.
pub(super) fn power(ground: &Ground) -> Result {
    let names = ground.cluster.names();
    let then = SystemTime::now();
    ground.cluster.lab.each("kill", &names)?;
    let from = Instant::now();
    let order = ground.dice.borrow_mut().shuffled(names);
    for node in &order {
        let pause = ground.dice.borrow_mut().below(3000);
        std::thread::sleep(Duration::from_millis(pause));
        ground.cluster.lab.each("start", &[node])?;
    }
    ground.whole_by_itself(then)?;
    ground.scene.figure(&format!("whole again after a power cut, {} first, seconds", order[0]), from.elapsed());
    ground.well(then)
}

/// A control plane gets a new disk: nothing of it is known any more, not even its host key.
pub(super) fn wiped(ground: &Ground) -> Result {
    let (homectl, node) = (ground.homectl, ground.plane());
    ground.cluster.lab.each("wipe", &[node])?;
    let pin = ground.cluster.lab.pin(node)?;
    let ran = homectl.run("plan", &[])?.with(1)?;
    ensure(ran.err.contains(node) && ran.err.contains("the host key of") && ran.err.contains(&pin), || ran.seen())?;
    let ran = homectl.run("replace-node", &[node, "--yes", "--host-key", &pin])?.with(0)?;
    ground.scene.figure("a wiped control plane in its place again, seconds", ran.took);
    Ok(())
}

/// Nobody gets to the other house. What runs there goes on; for what may run elsewhere there is a substitute when the house is
/// given up, and one of the two when it is back. An hour is no other than this: what waits for longer than five minutes is the
/// toleration of a pod, which is five seconds here.
pub(super) fn line(ground: &Ground) -> Result {
    let (lab, homectl) = (ground.cluster.lab, ground.homectl);
    let before = Canary::since(ground.cluster)?;
    ground.cluster.kubectl.apply(&GUEST.replace("NODE", AWAY))?;
    eventually(60, "a guest in the other house", || guests_at(ground, &[AWAY]))?;
    let from = Instant::now();
    lab.each("unplug", &[ROUTER])?;
    let told = eventually(120, "the other house is missed", || {
        let ran = homectl.run("status", &[])?.with(1)?;
        ensure(ran.out.contains(AWAY) && ran.out.contains("no: "), || ran.seen())
    })
    .and_then(|_| {
        // Nothing more is taken from a cluster that lacks something.
        let ran = homectl.words("drill", &["api", "--node", "garage", "--yes"])?.with(4)?;
        ensure(ran.err.contains("not whole") && ran.err.contains(&format!("nodes: {AWAY} is not Ready")), || ran.seen())
    })
    .and_then(|()| {
        let ((), _) = eventually(90, "a substitute for the guest", || guests_at(ground, &[AWAY, "another"]))?;
        // Nobody could tell the kubelet there that its guest has gone.
        ground.sh(AWAY, "pgrep -f 'sleep 100000[1]' >/dev/null").map(drop)
    });
    std::thread::sleep(OUT.saturating_sub(from.elapsed()));
    lab.each("plug", &[ROUTER])?;
    told?;
    let then = SystemTime::now();
    ground.scene.figure("the other house heard of again, seconds", ground.whole_by_itself(then)?);
    let now = Canary::since(ground.cluster)?;
    ensure(now == before, || format!("what ran there was started anew at {now}, not {before}"))?;
    eventually(60, "one guest is left", || guests_at(ground, &["another"]))?;
    ground.sh(AWAY, "! pgrep -f 'sleep 100000[1]' >/dev/null")?;
    ground.cluster.kubectl.ok(&["delete", "deployment", "guest", "-n", "canary"]).map(drop)
}

/// Where running guests are, as the API has it: in the other house, or in another than that.
fn guests_at(ground: &Ground, due: &[&str]) -> Result {
    let pods = ground.cluster.kubectl.items(&["get", "pods", "-n", "canary", "-l", "app=guest"])?;
    let running = pods.iter().filter(|pod| pod["status"]["phase"] == "Running");
    let mut places: Vec<&str> = running.map(|pod| if pod["spec"]["nodeName"] == AWAY { AWAY } else { "another" }).collect();
    places.sort_unstable_by_key(|place| *place != AWAY);
    ensure(places == due, || format!("guests are in {places:?}"))
}

/// etcd has a disk of its own for a while, and that is full.
pub(super) fn full(ground: &Ground) -> Result {
    let node = ground.plane();
    let disk = "set -e; systemctl stop etcd; size=$(( $(du -sm /var/lib/etcd | cut -f 1) + 176 )); mkdir -p /run/e2e-disk; \
        mount -t tmpfs -o size=${size}m,mode=700 tmpfs /run/e2e-disk; cp -a /var/lib/etcd/. /run/e2e-disk/; chown etcd:etcd /run/e2e-disk; \
        mount --bind /run/e2e-disk /var/lib/etcd; systemctl start etcd";
    ground.sh(node, disk)?;
    let told = fill(ground, node);
    // What it wrote meanwhile goes back to its own disk, as after a move to a larger one.
    let back = "set -e; rm -f /var/lib/etcd/fill; systemctl stop etcd; umount /var/lib/etcd; find /var/lib/etcd -mindepth 1 -delete; \
        cp -a /run/e2e-disk/. /var/lib/etcd/; umount /run/e2e-disk; systemctl daemon-reload; systemctl start etcd";
    let back = ground.sh(node, back);
    told.and(back.map(drop))
}

fn fill(ground: &Ground, node: &str) -> Result {
    let homectl = ground.homectl;
    eventually(60, "three members on its new disk", || super::members(ground.cluster, node))?;
    let other = PLANES.iter().find(|name| **name != node).ok_or("no other")?;
    ground.sh(
        node,
        "dd if=/dev/zero of=/var/lib/etcd/fill bs=1M 2>/dev/null || :; test \"$(df --output=avail /var/lib/etcd | tail -n 1)\" -lt 1024",
    )?;
    // More than has room among what its database has already.
    let grow = "head -c 1000000 /dev/zero | tr '\\0' x >/run/e2e-song; for n in $(seq 24); do ctl put /e2e/fill-$n </run/e2e-song >/dev/null || exit 1; done; rm /run/e2e-song";
    ground.sh(other, &format!("{ETCDCTL} {grow}"))?;
    let told = eventually(90, "its member is told to be away", || {
        let ran = homectl.run("status", &[])?.with(1)?;
        ensure(ran.out.contains(&format!("{node}: etcd is not well")), || ran.seen())
    });
    // The others go on, and take writes.
    let written = ground.sh(other, &format!("{ETCDCTL} ctl put /e2e/written yes && ctl del /e2e/ --prefix >/dev/null"));
    ground.sh(node, "rm -f /var/lib/etcd/fill")?;
    let ((), took) = eventually(120, "its member comes back by itself", || super::members(ground.cluster, node))?;
    ground.scene.figure("etcd whole after its full disk had room, seconds", took);
    told.and(written.map(drop))
}

/// One member finds its database larger than it may be: then nobody may write.
pub(super) fn alarm(ground: &Ground) -> Result {
    let (homectl, node) = (ground.homectl, ground.plane());
    let small = "set -e; d=/run/systemd/system/etcd.service.d; mkdir -p $d; unit=/etc/systemd/system/etcd.service; \
        { printf '[Service]\\nExecStart=\\n'; sed -n '/^ExecStart=/,/[^\\\\]$/p' $unit | sed 's/--quota-backend-bytes=[0-9]*/--quota-backend-bytes=1048576/'; } >$d/e2e.conf; \
        grep -q -e --quota-backend-bytes=1048576 $d/e2e.conf; systemctl daemon-reload; systemctl restart etcd";
    ground.sh(node, small)?;
    let told = eventually(90, "the alarm is told", || {
        // Whoever writes through this member raises it.
        ground.cluster.lab.sh_ran(node, &format!("{ETCDCTL} ctl put /e2e/one-more yes"))?;
        let ran = homectl.run("status", &[])?.with(1)?;
        ensure(ran.out.contains("alarm:NOSPACE") && ran.out.contains("nothing is written until its database has room"), || ran.seen())
    })
    .and_then(|_| {
        let ran = ground.cluster.kubectl.run(&["create", "configmap", "refused", "-n", "default"], "", Duration::from_secs(30))?.with(1)?;
        ensure(ran.err.contains("database space exceeded"), || ran.seen())?;
        // A drop-in is somebody's decision: named, not overruled.
        let ran = homectl.run("plan", &[])?;
        ensure(ran.out.contains("foreign drop-ins change it") && ran.out.contains("e2e.conf"), || ran.seen())
    });
    let mend = format!(
        "set -e; rm -r /run/systemd/system/etcd.service.d; systemctl daemon-reload; systemctl restart etcd; {ETCDCTL} \
         revision=$(ctl endpoint status -w json | sed -n 's/.*\"revision\":\\([0-9]*\\).*/\\1/p'); \
         ctl compact \"$revision\"; ctl defrag --cluster; ctl alarm disarm; test -z \"$(ctl alarm list)\""
    );
    let mended = ground.sh(node, &mend);
    told.and(mended.map(drop))
}

/// The machines share one clock with the one around them, so that what runs does not notice: what homectl asks the machine says another hour.
pub(super) fn clock(ground: &Ground) -> Result {
    let (homectl, node) = (ground.homectl, ground.worker());
    ground.sh(
        node,
        "printf '#!/bin/sh\\nexec /usr/bin/date -d \"1 hour\" \"$@\"\\n' >/usr/local/bin/date && chmod 755 /usr/local/bin/date",
    )?;
    let told = ["check", "apply"].into_iter().try_for_each(|verb| {
        let ran = homectl.run(verb, if verb == "apply" { &["--yes"] } else { &[] })?.with(1)?;
        let said = format!("{}{}", ran.out, ran.err);
        ensure(said.contains(node) && said.contains(" s ahead") && said.contains("timedatectl set-ntp true"), || ran.seen())
    });
    ground.sh(node, "rm /usr/local/bin/date")?;
    told
}

/// A worker comes back with a kubelet so old that it may hardly, and then that it may not, be stepped to what the others run. Its
/// store and the program itself say so; what runs behind it is the lab's, which has no older one.
pub(super) fn month(ground: &Ground) -> Result {
    let (homectl, lab, node) = (ground.homectl, ground.cluster.lab, ground.worker());
    let age = |minor: u8| {
        let store = format!("store/{minor:064x}");
        format!(
            "set -e; cd /opt/homectl; old=$(readlink -f bin/kubelet); mkdir -p {store}; \
             printf '#!/bin/sh\\n[ \"$1\" = --version ] || exec %s \"$@\"\\necho Kubernetes v1.{minor}.9\\n' \"$old\" >{store}/kubelet; \
             chmod 755 {store}/kubelet; ln -sfn ../{store}/kubelet bin/kubelet"
        )
    };
    let was = ground.sh(node, "readlink /opt/homectl/bin/kubelet")?;
    ground.scene.say(&format!("its kubelet was {}", was.trim()));
    ground.sh(node, &age(32))?;
    lab.each("kill", &[node])?;
    let ran = homectl.run("plan", &[])?.with(3)?;
    ensure(ran.out.contains(node) || ran.err.contains(node), || ran.seen())?;
    lab.each("start", &[node])?;
    lab.each("wait", &[node])?;
    let ran = homectl.run("apply", &["--yes"])?.with(4)?;
    ensure(ran.err.contains("its kubelet 1.32.9 may not become") && ran.err.contains("3 minor versions older"), || ran.seen())?;
    ground.sh(node, &age(33))?;
    eventually(120, "the API", || ground.cluster.kubectl.ok(&["get", "nodes"]))?;
    let plan: Value = serde_json::from_str(&homectl.run("plan", &["--json"])?.with(0)?.out).map_err(|error| error.to_string())?;
    exactly(&plan, node)?;
    let ran = homectl.run("apply", &["--yes"])?.with(0)?;
    ground.scene.figure("a machine stepped over three minor versions, seconds", ran.took);
    ground.sh(node, &format!("rm -rf /opt/homectl/store/{:064x} /opt/homectl/store/{:064x}", 32, 33)).map(drop)
}

/// Only that machine is touched: what it runs, and around that it is emptied and given back, after a snapshot.
fn exactly(plan: &Value, node: &str) -> Result {
    let mut due = Vec::new();
    for step in plan["steps"].as_array().into_iter().flatten() {
        for item in step["items"].as_array().into_iter().flatten().filter(|i| i["verdict"] != "settled") {
            due.push(format!(
                "{} {} {}",
                lane(&step["id"]),
                step["id"]["name"].as_str().unwrap_or_default(),
                item["addr"].as_str().unwrap_or_default()
            ));
        }
    }
    let (drain, back) = (format!("cluster drain-{node} "), format!("cluster uncordon-{node} "));
    let needed =
        |d: &&String| d.starts_with(&format!("{node} ")) || d.starts_with(&drain) || d.starts_with(&back) || d.contains(" snapshot ");
    let more: Vec<&String> = due.iter().filter(|d| !needed(d)).collect();
    let there = due.iter().any(|d| d.starts_with(&drain)) && due.iter().any(|d| d.contains("kubelet"));
    ensure(there && more.is_empty(), || format!("due: {due:#?}"))
}
