//! Without etcd's majority: what is refused, what is said, and that nothing is written by then.

use super::house::{House, NEXT, NOW};
use std::fs;

const RUNBOOK: &str = "homectl restore --from-node NODE";

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
