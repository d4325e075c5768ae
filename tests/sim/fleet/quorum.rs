//! The program itself, before machines of which some are not what they were: what it refuses, what it says, and that it has
//! written nothing by then. The API's port leads nowhere here: what is refused is refused by what machines and etcd say.

use super::engine::{Fleet, Trouble};
use super::gates::Gates;
use super::home::{self, Home};
use crate::watched::{Watched, watched};
use homectl::steps::Mode;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

/// Three control planes, a worker, and a machine that has just been installed.
const MACHINES: usize = 4;

struct House {
    home: Home,
    fleet: Fleet,
    _gates: Gates,
}

impl House {
    async fn new() -> Self {
        let mut gates = Gates::new();
        let home = Home::of(MACHINES, &gates.key(), &gates.host_key(), gates.port);
        let mut fleet = Fleet::new(home.world(jiff::Timestamp::now().as_second()));
        for _ in 0..2 {
            let ran = fleet.run(Mode::Present, &Trouble::default()).await;
            assert_eq!(ran.report.failed, Vec::new());
        }
        fleet.machine("new").install();
        let all = fleet.machines().chain([fleet.machine("new")]);
        gates.open(&all.zip(1..).map(|(m, number)| (home::address(number), m)).collect::<Vec<_>>());
        // As the first apply records it.
        let path = homectl::cluster::Lock::path(&home.inventory());
        let mut lock = homectl::cluster::Lock::load(&path).unwrap().unwrap();
        lock.etcd_cluster_id.clone_from(&fleet.world.cluster.etcd_cluster_id);
        assert!(lock.etcd_cluster_id.is_some());
        lock.save(&path).unwrap();
        Self { home, fleet, _gates: gates }
    }

    fn homectl(&self, words: &[&str]) -> Watched {
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
    fn refuses(&self, words: &[&str], said: &[&str]) -> String {
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
    fn dead(&self, name: &str) {
        fs::remove_file(self.state(name)).unwrap();
    }

    fn state(&self, name: &str) -> std::path::PathBuf {
        self.fleet.machine(name).root().join("sim/units/etcd.service/state")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_not_the_last_makes_no_cluster_of_its_own() {
    let house = House::new().await;
    let restore = ["restore", "--from-node", "n1"];
    house.refuses(&restore, &["etcd has its majority", "3 members vote (n1, n2, n3), 3 answer, 2 needed"]);
    house.dead("n1");
    house.refuses(&restore, &["etcd has its majority", "n2: 3 members vote (n1, n2, n3), 2 answer, 2 needed", "replace-node"]);
    house.dead("n2");
    house.refuses(&restore, &["n1 is not the last one", "with data: n2, n3", "rm -f /var/lib/homectl/etcd-cluster-id"]);
}
