//! The program itself, before machines of which some are not what they were: what it refuses, what it says, and that it has
//! written nothing by then. The API's port leads nowhere here: what is refused is refused by what machines and etcd say.

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
const NOW: &str = "1.35.4";
const NEXT: &str = "1.36.3";
const RUNBOOK: &str = "homectl restore --from-node NODE";

struct House {
    home: Home,
    fleet: Fleet,
    _gates: Gates,
}

impl House {
    async fn new() -> Self {
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

/// Every verb about a node, and what moves versions.
const VERBS: [&[&str]; 7] = [
    &["upgrade", "--to", NEXT],
    &["add-node", "n5", "127.1.0.5", "--endpoint", "192.168.1.5:51820", "--accept-new"],
    &["add-node", "n5", "127.1.0.5", "--endpoint", "192.168.1.5:51820", "--accept-new", "--role", "control-plane"],
    &["remove-node", "n4"],
    &["remove-node", "n3"],
    &["remove-node", "n3", "--dead"],
    &["replace-node", "n3", "--address", "127.1.0.5"],
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_majority_nobody_comes_or_goes_and_no_version_moves() {
    let house = House::new().await;
    for name in ["n2", "n3"] {
        house.dead(name);
    }
    for words in VERBS {
        house.refuses(words, &["etcd has no majority", "n1: https://10.77.0.1:2379: context deadline exceeded", RUNBOOK]);
    }
    // A version that was written by hand, with its lock.
    let text = fs::read_to_string(house.home.inventory()).unwrap();
    fs::write(house.home.inventory(), text.replace(NOW, NEXT)).unwrap();
    let ran = house.homectl(&["lock"]);
    assert!(ran.status.success(), "{}", ran.err);
    house.refuses(&["apply"], &["etcd has no majority", RUNBOOK]);
    fs::write(house.home.inventory(), &text).unwrap();
    assert!(house.homectl(&["lock"]).status.success());

    // The two are off: nobody is at their addresses.
    let off = text.replace("\"127.1.0.2\"", "\"127.1.0.92\"").replace("\"127.1.0.3\"", "\"127.1.0.93\"");
    fs::write(house.home.inventory(), off).unwrap();
    for flags in [&[][..], &["--allow-offline"]] {
        for words in VERBS.into_iter().chain([&["apply"][..]]).filter(|words| words != &["remove-node", "n3"]) {
            house.refuses(&[words, flags].concat(), &[RUNBOOK]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_member_does_not_answer_no_other_restarts() {
    let house = House::new().await;
    // Its unit is as it should be, so nothing in a plan mends it: its data is gone bad.
    fs::remove_file(house.fleet.machine("n3").root().join("var/lib/etcd/member/members")).unwrap();
    house.refuses(&["replace-node", "n3"], &["n3: the machine is not empty", "mv /var/lib/etcd/member /var/lib/etcd/damaged"]);
    house.refuses(VERBS[0], &["n3: versions begin to move only while every member of etcd answers", "2 answer, 2 needed"]);
    // What etcd reads is different on the others, then on all three.
    let by_hand = |name: &str| {
        let unit = house.fleet.machine(name).root().join("etc/systemd/system/etcd.service");
        let text = fs::read_to_string(&unit).unwrap();
        fs::write(unit, text + "# by hand\n").unwrap();
    };
    for name in ["n1", "n2"] {
        by_hand(name);
    }
    house.refuses(&["apply"], &["while etcd's member n1 restarts, there would be no majority: n3 does not answer"]);
    by_hand("n3");
    let ran = house.homectl(&["plan"]);
    assert_ne!(ran.status.code(), Some(4), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("etcd.service"), "{}{}", ran.out, ran.err);
}
