//! The program itself, before a cluster of simulated machines behind a real sshd: what it says, refuses and writes. The API's port
//! leads nowhere here: what is refused is refused by what machines and etcd say.

use super::engine::{Fleet, Trouble};
use super::gates::Gates;
use super::home::{self, Home};
use crate::watched::{Watched, watched};
use homectl::cluster::Lock;
use homectl::inventory;
use homectl::steps::Mode;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

/// Three control planes, a worker, and a machine that has just been installed.
const MACHINES: usize = 4;
/// What the cluster is of, and what it is to be upgraded to.
pub(super) const NOW: &str = "1.35.4";
pub(super) const NEXT: &str = "1.36.3";

pub(super) struct House {
    pub(super) home: Home,
    pub(super) fleet: Fleet,
    _gates: Gates,
}

impl House {
    pub(super) async fn new() -> Self {
        let mut gates = Gates::new();
        let home = Home::of(MACHINES, &gates.key(), &gates.host_key(), gates.port);
        let text = fs::read_to_string(home.inventory()).unwrap();
        let mirror = home.path().join("mirror");
        crate::mirror::mirror(&mirror, &inventory::read(&home.inventory()).unwrap());
        let text = format!("{}\n[artifacts]\nmirror = \"file://{}\"\n", text.replace(NEXT, NOW), mirror.display());
        fs::write(home.inventory(), text).unwrap();
        crate::mirror::mirror(&mirror, &inventory::read(&home.inventory()).unwrap());
        fs::remove_file(Lock::path(&home.inventory())).unwrap();
        let made = Command::new(env!("CARGO_BIN_EXE_homectl")).arg("lock").arg(home.inventory()).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut fleet = Fleet::new(home.world(jiff::Timestamp::now().as_second()));
        for _ in 0..2 {
            let ran = fleet.run(Mode::Present, &Trouble::default()).await;
            assert_eq!(ran.report.failed, Vec::new());
        }
        fleet.machine("new").install();
        let all = fleet.machines().chain([fleet.machine("new")]);
        gates.open(&all.zip(1..).map(|(m, number)| (home::address(number), m)).collect::<Vec<_>>());
        // As the first apply records it.
        let path = Lock::path(&home.inventory());
        let mut lock = Lock::load(&path).unwrap().unwrap();
        lock.etcd_cluster_id.clone_from(&fleet.world.cluster.etcd_cluster_id);
        assert!(lock.etcd_cluster_id.is_some());
        lock.save(&path).unwrap();
        Self { home, fleet, _gates: gates }
    }

    pub(super) fn homectl(&self, words: &[&str]) -> Watched {
        let mut command = Command::new(env!("CARGO_BIN_EXE_homectl"));
        command.arg(words[0]).arg(self.home.inventory()).args(&words[1..]).args(["--yes", "--identity"]).arg(self.home.identity());
        command.env_clear().env("HOME", self.home.path()).stdin(Stdio::null());
        watched(&mut command, self.home.path())
    }

    /// The operator's files, and all that is on the machines.
    fn all(&self) -> BTreeMap<String, String> {
        let files = ["inventory.toml", "inventory.lock", "inventory.secrets.age"];
        let mut all: BTreeMap<String, String> =
            files.map(|f| (f.to_owned(), format!("{:?}", fs::read(self.home.path().join(f)).unwrap()))).into();
        all.extend(self.fleet.picture());
        all
    }

    /// Refused, with these words; nothing is written anywhere.
    pub(super) fn refuses(&self, words: &[&str], said: &[&str]) -> String {
        let before = self.all();
        let ran = self.homectl(words);
        assert_eq!(ran.status.code(), Some(4), "{words:?}\n{}{}", ran.out, ran.err);
        for text in said {
            assert!(ran.err.contains(text), "{words:?} does not say {text:?}\n{}", ran.err);
        }
        let after = self.all();
        let changed: Vec<&String> = after.iter().filter(|(k, v)| before.get(*k) != Some(v)).map(|(k, _)| k).collect();
        assert!(changed.is_empty() && after.len() == before.len(), "{words:?} has changed {changed:?}");
        ran.err
    }

    /// The member of etcd there is dead; its machine answers.
    pub(super) fn dead(&self, name: &str) {
        fs::remove_file(self.state(name)).unwrap();
    }

    pub(super) fn state(&self, name: &str) -> std::path::PathBuf {
        self.fleet.machine(name).root().join("sim/units/etcd.service/state")
    }
}
