//! Runs that are cut short on real machines: by the death of homectl, of a machine, of the connection, by Ctrl-C. The next runs
//! end where undisturbed ones did.
//!
//! A fresh apply, a change that restarts what runs, and a reset are done undisturbed first, then once more by chains of cut runs.
//! Moments come from the plan and the events of the run itself. `HOMECTL_E2E_CUTS` says how many cuts each chain has, or `all`:
//! one at the beginning and one at the end of every step. `HOMECTL_E2E_SEED` repeats what a run drew.

mod knife;
mod picture;

use super::dice::Dice;
use crate::Result;
use crate::checks::{Cluster, machines};
use crate::homectl::Homectl;
use crate::lab::{Lab, write};
use crate::scene::{Scene, at_once, ensure, eventually};
use knife::{Deck, Knife};
use picture::Picture;
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const NODES: [&str; 3] = ["attic", "cellar", "garage"];

/// Cuts in the chain of an apply, of a change, of a reset.
const CUTS: [usize; 3] = [3, 2, 2];
/// No chain is longer: a plan has far fewer steps.
const END: usize = 600;

pub(crate) fn run(scene: &Scene) -> Result {
    let dice = Dice::of_environment();
    scene.say(&format!("HOMECTL_E2E_SEED={} repeats this", dice.seed()));
    super::in_lab(scene, &super::THREE, "trixie", |homectl, cluster| {
        Desk { scene, homectl, cluster, dice: RefCell::new(Deck::of(dice)) }.tell()
    })
}

struct Desk<'a> {
    scene: &'a Scene,
    homectl: &'a Homectl,
    cluster: &'a Cluster<'a>,
    dice: RefCell<Deck>,
}

impl Desk<'_> {
    fn tell(&self) -> Result {
        let lab = self.cluster.lab;
        let (old, new) = inventories(&lab.inventory()?);
        write(&self.homectl.dir.join("own/a.yaml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: hello}\n")?;
        write(&self.homectl.dir.join("own/b.yaml"), include_str!("../manifests/hello.yaml"))?;
        let bare = packages(lab)?;
        let mut due = Vec::new();
        let mut desks = Vec::new();
        self.scene.step("undisturbed: keys for both inventories", || {
            for inventory in [&old, &new] {
                desks.push(Papers::made(self.homectl, inventory)?);
            }
            Ok(())
        })?;
        let (old, new) = (&desks[0], &desks[1]);
        self.scene.step("undisturbed: apply", || self.undisturbed(old).map(|p| due.push(p)))?;
        self.scene.step("undisturbed: changed", || self.undisturbed(new).map(|p| due.push(p)))?;
        self.scene.step("undisturbed: reset", || {
            self.homectl.run("reset", &["--yes"])?.with(0)?;
            due.push(Picture::of_bare(lab, &NODES)?);
            // The next apply shall find machines as new as they were.
            at_once(&NODES, |node| purge(lab, node, &bare))
        })?;
        self.scene.step("cut: apply", || self.chain(Some(old), "apply", CUTS[0], &due[0]))?;
        self.scene.step("cut: changed", || self.chain(Some(new), "apply", CUTS[1], &due[1]))?;
        self.scene.step("cut: reset", || self.chain(None, "reset", CUTS[2], &due[2]))
    }

    /// What an apply leaves that nothing happens to.
    fn undisturbed(&self, papers: &Papers) -> Result<Picture> {
        papers.lay(self.homectl)?;
        self.homectl.run("apply", &["--yes"])?.with(0)?;
        self.settled()?;
        self.picture()
    }

    fn picture(&self) -> Result<Picture> {
        write(&self.homectl.dir.join("kubeconfig"), &self.homectl.run("kubeconfig", &[])?.ok()?)?;
        machines::ready(self.cluster)?;
        eventually(60, "the system's pods", || machines::system_pods(self.cluster))?;
        Picture::of(self.cluster, &NODES)
    }

    fn settled(&self) -> Result {
        let ran = self.homectl.run("plan", &["--exit-code"])?.with(0)?;
        ensure(ran.out.contains("No changes."), || ran.seen())
    }

    /// Runs that are cut, each where the one before has not come to; then one that is not, and all is as it is due.
    fn chain(&self, papers: Option<&Papers>, verb: &str, few: usize, due: &Picture) -> Result {
        papers.map_or(Ok(()), |papers| papers.lay(self.homectl))?;
        let asked = std::env::var("HOMECTL_E2E_CUTS").unwrap_or_default();
        let all = asked == "all";
        let cuts = if all { END } else { asked.parse().unwrap_or(few) };
        let mut tried = std::collections::BTreeSet::new();
        let mut made = 0;
        for left in (1..=cuts).rev() {
            let knife = Knife::new(self.cluster, &mut self.dice.borrow_mut(), if all { 0 } else { left });
            let Some(told) = self.cut(verb, knife, &mut tried)? else { break };
            self.scene.say(&told);
            made += 1;
        }
        ensure(made > 0, || "no run was cut".into())?;
        self.scene.say(&format!("{made} runs were cut"));
        let from = Instant::now();
        self.undisturbed_at_last(verb)?;
        self.scene.figure(&format!("{verb} after the last cut, seconds"), from.elapsed());
        if verb == "reset" {
            let again = self.homectl.run("reset", &["--yes"])?.with(0)?;
            ensure(again.out.contains("No changes."), || again.seen())?;
            let bare = || Picture::of_bare(self.cluster.lab, &NODES)?.same_as(due);
            // A machine whose cable was out asks after us, at the latest, when TCP does: every two minutes.
            return eventually(140, "as after an undisturbed reset", bare).map(drop);
        }
        self.settled()?;
        // What systemd is about to do with a unit that has just started it does soon.
        eventually(30, "as after an undisturbed run", || self.picture()?.same_as(due)).map(drop)
    }

    /// One run that is cut, and everybody back; what was cut. Nothing where it came to its end first.
    fn cut(&self, verb: &str, mut knife: Knife<'_>, tried: &mut std::collections::BTreeSet<String>) -> Result<Option<String>> {
        let from = Instant::now();
        loop {
            knife.begin();
            let ran = self.homectl.run_hearing(verb, &["--yes", "--events"], |line, id| knife.hear(line, id, tried))?;
            if !knife.made() && ran.code == Some(5) {
                // What a run that was killed had begun comes to its end first.
                ensure(from.elapsed() < Duration::from_secs(90), || format!("never free: {}", ran.seen()))?;
                std::thread::sleep(Duration::from_secs(1));
                continue;
            }
            return knife.end(&ran);
        }
    }

    fn undisturbed_at_last(&self, verb: &str) -> Result {
        let free = || self.homectl.run(verb, &["--yes"]);
        eventually(90, "the machines' locks", || match free()? {
            ran if ran.code == Some(5) => Err(ran.seen()),
            ran => Ok(ran),
        })?
        .0
        .with(0)
        .map(drop)
    }
}

/// An inventory, its lock and its secrets: keys are made by chance, and must be the same with cuts and without.
struct Papers(Vec<(PathBuf, Vec<u8>)>);

impl Papers {
    /// Those that a look at the machines makes, on top of what there was.
    fn made(homectl: &Homectl, inventory: &str) -> Result<Self> {
        homectl.write_inventory(inventory)?;
        homectl.run("plan", &[])?.with(0)?;
        let inventory = homectl.inventory();
        let paths = [inventory.with_extension("lock"), inventory.with_extension("secrets.age"), inventory];
        let read = |path: PathBuf| match std::fs::read(&path) {
            Ok(bytes) => Ok((path, bytes)),
            Err(error) => Err(format!("{}: {error}", path.display())),
        };
        paths.into_iter().map(read).collect::<Result<_>>().map(Self)
    }

    /// Back to where they were.
    fn lay(&self, homectl: &Homectl) -> Result {
        let lay = |(path, bytes): &(PathBuf, Vec<u8>)| std::fs::write(path, bytes);
        self.0.iter().try_for_each(lay).map_err(|error| format!("{}: {error}", homectl.dir.display()))
    }
}

/// The lab's, with an etcd that is not the newest; and what its owner makes of it later: the newest etcd, one more name of the API
/// (another certificate), another port and a label for a worker, an add-on of their own.
fn inventories(lab: &str) -> (String, String) {
    let versions = |etcd: &str| lab.replace("\n[network]", &format!("\n[cluster.versions]\netcd = \"{etcd}\"\n\n[network]"));
    let (old, new) = (versions("3.6.8"), versions("3.6.16"));
    let new = new
        .replace("\n[ssh]", "\n[api]\nnames = [\"cluster.home.lan\"]\n\n[ssh]")
        .replace("name = \"garage\"\n", "name = \"garage\"\nlisten-port = 51830\nlabels = { \"example.net/disk\" = \"big\" }\n");
    (old, new + "\n[[addon]]\nname = \"own\"\nmanifests = [\"own/*.yaml\"]\n")
}

fn packages(lab: &Lab) -> Result<String> {
    lab.sh("attic", "dpkg-query -W -f '${Package}\\n'").map(|names| names.trim().to_owned())
}

/// Takes away what was installed since.
fn purge(lab: &Lab, node: &str, bare: &str) -> Result {
    let script = format!(
        "set -e; new=$(dpkg-query -W -f '${{Package}}\n' | grep -vxF '{bare}') || exit 0\n\
         DEBIAN_FRONTEND=noninteractive apt-get -qq purge -y $new 2>&1"
    );
    lab.sh(node, &script).map(drop)
}
