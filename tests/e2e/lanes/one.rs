//! The smallest cluster, on either Debian, with a host key that nobody pinned: as a user whose sudo wants a password, and
//! as root; stopped in the middle, at first.

use crate::Result;
use crate::checks::{Cluster, budget, machines, network, state, upkeep};
use crate::homectl::Homectl;
use crate::lab::write;
use crate::scene::{Scene, ensure};
use crate::shell::Ran;
use crate::tree::Trees;
use serde_json::Value;
use std::time::Duration;

pub(crate) fn trixie(scene: &Scene) -> Result {
    run(scene, "trixie", "pw")
}

pub(crate) fn bookworm(scene: &Scene) -> Result {
    run(scene, "bookworm", "root")
}

fn run(scene: &Scene, suite: &'static str, user: &'static str) -> Result {
    super::in_lab(scene, &super::ONE, suite, |homectl, cluster| Story { scene, homectl, cluster, user }.tell())
}

struct Story<'a> {
    scene: &'a Scene,
    homectl: &'a Homectl,
    cluster: &'a Cluster<'a>,
    /// Who logs in; `pw` needs a password for sudo.
    user: &'static str,
}

impl Story<'_> {
    fn tell(&self) -> Result {
        let (scene, homectl, cluster) = (self.scene, self.homectl, self.cluster);
        self.inventory()?;
        scene.check("host key: unknown is refused, and told", || {
            let ran = self.apply(&["--yes"])?.with(1)?;
            let pin = cluster.lab.pin("attic")?;
            ensure(ran.err.contains("attic") && ran.err.contains(&pin) && ran.err.contains("--accept-new"), || ran.seen())
        });
        if self.user == "pw" {
            self.cut_short()?;
        }
        scene.step("fresh: apply --accept-new", || {
            let ran = if self.user == "pw" { self.apply(&["--yes", "--accept-new"])? } else { self.contested()? }.with(0)?;
            scene.figure("fresh apply of one machine, seconds", ran.took);
            write(&homectl.dir.join("kubeconfig"), &homectl.run("kubeconfig", &[])?.ok()?)
        })?;
        scene.step("fresh: all is well as soon as apply has ended", || {
            machines::ready(cluster)?;
            machines::system_pods(cluster)
        })?;
        scene.check("status: says what is", || {
            let (flags, stdin) = self.login();
            state::told(cluster, homectl.run_with("status", &[flags, &["--json"]].concat(), stdin)?)
        });
        scene.check("pods: answer through a service, by address and by name", || {
            cluster.kubectl.apply(network::WEB)?;
            let pods = network::web(cluster, 120)?;
            network::service(cluster, &pods)
        });
        scene.check("upkeep: a snapshot that can be restored", || upkeep::snapshot(cluster, "attic"));
        scene.check("plan: kept in a file, it runs exactly, or not at all", || self.kept_plan());
        scene.step("again: No changes, and nothing is written", || {
            let before = Trees::of(cluster.lab, &["attic"])?;
            let ran = self.apply(&["--yes", "--traffic"])?.with(0)?;
            let after = Trees::of(cluster.lab, &["attic"])?;
            scene.figure("no-op apply of one machine, seconds", ran.took);
            ensure(ran.out.contains("No changes."), || ran.seen())?;
            budget::kept(scene, &ran)?;
            after.same_as(&before)
        })?;
        scene.check("without the age identity: a plan sees what drifted, and says what it cannot see", || self.keyless());
        scene.check("upkeep: certificates renewed by the machine itself", || upkeep::renewal(cluster, "attic"));
        scene.check("upkeep: they are as good as the operator's", || {
            let ran = self.apply(&["--yes", "--traffic"])?.with(0)?;
            ensure(ran.out.contains("No changes."), || ran.seen())?;
            budget::kept(scene, &ran)
        });
        scene.check("upkeep: … also without the age identity", || {
            let ran = self.plan_elsewhere(&["--exit-code", "--traffic"])?.with(0)?;
            // sudo says no without, asks, and is told.
            budget::of_machines(scene, &ran, if self.user == "pw" { 3 } else { 0 })
        });
        Ok(())
    }

    /// The lab's, for this lane's user, without the host key.
    fn inventory(&self) -> Result {
        let text = self.cluster.lab.inventory()?.replace("user = \"admin\"", &format!("user = \"{}\"", self.user));
        ensure(text.contains(&format!("user = \"{}\"", self.user)), || text.clone())?;
        let unpinned: Vec<&str> = text.lines().filter(|line| !line.starts_with("host-key")).collect();
        self.homectl.write_inventory(&(unpinned.join("\n") + "\n"))
    }

    /// How this lane's user becomes root: flags, and what is typed.
    fn login(&self) -> (&'static [&'static str], &'static [u8]) {
        if self.user == "pw" { (&["--ask-sudo-password"], b"homectl\n") } else { (&[], b"") }
    }

    fn apply(&self, flags: &[&str]) -> Result<Ran> {
        let (more, stdin) = self.login();
        self.homectl.run_with("apply", &[flags, more].concat(), stdin)
    }

    /// Two applies at once: the second is told whose turn it is.
    fn contested(&self) -> Result<Ran> {
        let (login, stdin) = self.login();
        let flags = [&["--yes", "--accept-new"], login].concat();
        let (first, second) = self.homectl.run_twice("apply", &flags, stdin)?;
        ensure(second.code == Some(5) && second.err.contains(", run "), || second.seen())?;
        Ok(first)
    }

    /// A drift, a plan of how to mend it, another drift: the plan is refused, then runs, then is out of date.
    fn kept_plan(&self) -> Result {
        let lab = self.cluster.lab;
        let file = self.homectl.dir.join("plan.json").display().to_string();
        let (login, stdin) = self.login();
        lab.sh("attic", "rm /etc/modules-load.d/homectl.conf")?;
        self.homectl.run_with("plan", &[&["--exit-code", "--out", &file], login].concat(), stdin)?.with(2)?;
        let kept = crate::lab::read(std::path::Path::new(&file))?;
        ensure(!kept.contains("PRIVATE") && kept.contains("\"file:/etc/modules-load.d/homectl.conf@attic\""), || kept.clone())?;
        let run = || self.homectl.run_on("apply", std::path::Path::new(&file), &[&["--yes"], login].concat(), stdin);
        lab.sh("attic", "chmod 640 /etc/homectl/serving.list")?;
        let ran = run()?.with(4)?;
        ensure(ran.err.contains("file:/etc/homectl/serving.list@attic: needs something since"), || ran.seen())?;
        lab.sh("attic", "! [ -e /etc/modules-load.d/homectl.conf ] && chmod 644 /etc/homectl/serving.list")?;
        let house = crate::lab::read(&self.homectl.inventory())?;
        self.homectl.write_inventory(&(house.clone() + "# a word\n"))?;
        let ran = run().and_then(|ran| ran.with(4));
        self.homectl.write_inventory(&house)?;
        let ran = ran?;
        ensure(ran.err.contains("made from has changed since") && ran.err.contains("inventory.toml"), || ran.seen())?;
        run()?.with(0)?;
        lab.sh("attic", "test -e /etc/modules-load.d/homectl.conf")?;
        let ran = run()?.with(4)?;
        ensure(ran.err.contains("needs nothing any more"), || ran.seen())?;
        lab.sh("attic", "chmod 640 /etc/homectl/serving.list")?;
        self.homectl.run_with("plan", &[&["--exit-code", "--out", &file], login].concat(), stdin)?.with(2)?;
        self.cluster.kubectl.ok(&["delete", "clusterrolebinding", "homectl:node-proxier"])?;
        let ran = run()?.with(4)?;
        ensure(ran.err.contains("homectl:node-proxier@cluster: needs something since"), || ran.seen())?;
        self.apply(&["--yes"])?.with(0).map(drop)
    }

    /// `plan` by somebody who may log in and has no age identity.
    fn plan_elsewhere(&self, flags: &[&str]) -> Result<Ran> {
        let (login, stdin) = self.login();
        self.homectl.run_elsewhere("plan", &[flags, login].concat(), stdin)
    }

    /// Nothing drifted, then a unit's file and the mode of a key: exactly these are shown. Nothing is written for it.
    fn keyless(&self) -> Result {
        let lab = self.cluster.lab;
        let before = Trees::of(lab, &["attic"])?;
        let ran = self.plan_elsewhere(&["--exit-code"])?.with(0)?;
        let unknown = "inventory.secrets.age stays shut: no identity was named";
        ensure(ran.out.contains("No changes.") && ran.out.contains(unknown) && ran.out.contains("was not looked at"), || ran.seen())?;
        Trees::of(lab, &["attic"])?.same_as(&before)?;
        let unit = "/etc/systemd/system/kube-scheduler.service";
        lab.sh("attic", &format!("cp -p {unit} /run/unit && echo '# mine' >>{unit} && chmod 640 /etc/kubernetes/pki/sa.key"))?;
        let shown = self.plan_elsewhere(&["--exit-code", "--json"])?.with(2)?;
        let annotated = self.plan_elsewhere(&["--format", "github"])?.with(0)?;
        lab.sh("attic", &format!("mv /run/unit {unit} && chmod 600 /etc/kubernetes/pki/sa.key"))?;
        let plan: Value = serde_json::from_str(&shown.out).map_err(|error| format!("{error}: {}", shown.seen()))?;
        let items = plan["steps"].as_array().into_iter().flatten().flat_map(|step| step["items"].as_array().into_iter().flatten());
        let open: Vec<&str> = items.filter(|item| item["verdict"] != "settled").filter_map(|item| item["addr"].as_str()).collect();
        let expected = ["file:/etc/kubernetes/pki/sa.key", &format!("file:{unit}"), "unit:kube-scheduler.service"];
        ensure(open == expected && plan["not_compared"]["lanes"] == serde_json::json!(["cluster"]), || {
            format!("{open:?}: {}", shown.seen())
        })?;
        ensure(annotated.out.contains("not everything was compared") && annotated.out.contains("pki/sa.key"), || annotated.seen())?;
        let kept = self.plan_elsewhere(&["--out", "keyless.json"])?.with(65)?;
        ensure(kept.err.contains("no identity to open"), || kept.seen())
    }

    /// Stopped in three ways before it could end; each time the next run goes on, the last one to the end.
    fn cut_short(&self) -> Result {
        let flags = &["--yes", "--accept-new", "--ask-sudo-password"];
        let cut = |signals| self.homectl.run_until("apply", flags, b"homectl\n", signals);
        self.scene.step("stopped: a lock that is held can be taken away", || {
            // Somebody who holds it for ever, as a homectl that hangs would.
            let holder = "exec 9>>/run/homectl.lock && flock -n 9 && echo 'x1 somebody@elsewhere (pid 7, run 0000) since 2026' >/run/homectl.lock && \
                          exec sleep 600 >/dev/null 2>&1";
            self.cluster.lab.sh("attic", &format!("({holder}) & sleep 0.3"))?;
            let ran = self.apply(&["--yes", "--accept-new"])?.with(5)?;
            ensure(ran.err.contains("somebody@elsewhere"), || ran.seen())?;
            let flags = vec!["--yes", "--accept-new", "--ask-sudo-password", "--break-lock"];
            let ran = self.homectl.run_until("apply", &flags, b"homectl\n", vec![(Duration::from_millis(500), "INT")])?.0.with(130)?;
            ensure(ran.err.contains("took the lock away from somebody@elsewhere"), || ran.seen())
        })?;
        // What a cut run left may be all of it: each begins with a bare machine.
        let bare = || self.homectl.run_with("reset", &["--yes", "--ask-sudo-password"], b"homectl\n")?.with(0).map(drop);
        self.scene.step("stopped: SIGTERM ends it at a safe point, as Ctrl-C does", || {
            bare()?;
            let ran = cut(vec![(Duration::from_millis(700), "TERM")])?.0.with(130)?;
            ensure(ran.err.contains("Interrupted"), || ran.seen())
        })?;
        self.scene.step("stopped: Ctrl-C twice ends it at once", || {
            bare()?;
            let (ran, since) = cut(vec![(Duration::from_millis(500), "INT"), (Duration::from_millis(200), "INT")])?;
            let ran = ran.with(130)?;
            ensure(since < Duration::from_secs(5), || format!("{since:?} after the second Ctrl-C: {}", ran.seen()))
        })?;
        self.scene.step("stopped: killed", || {
            bare()?;
            let (ran, _) = cut(vec![(Duration::from_secs(2), "KILL")])?;
            ensure(ran.code.is_none(), || ran.seen())
        })?;
        self.scene.check("stopped: both journals tell of it", || {
            let told = self.homectl.bare("explain", &["--last"])?.with(0)?;
            ensure(told.out.contains("not: homectl was killed") && told.out.contains("attic  "), || told.seen())?;
            let said = self.cluster.lab.sh("attic", "journalctl -t homectl -o cat --no-pager")?;
            ensure(said.contains("base: begins; ") && said.contains("base: done; ") && said.contains(", run "), || said)
        });
        Ok(())
    }
}
