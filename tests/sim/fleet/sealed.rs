//! Plans that are made without the secrets, of machines that have them: what is as wanted is settled, what drifted is shown,
//! and nothing is taken for drift because it is not known.

use super::engine::{Fleet, Trouble, told};
use super::gates::Gates;
use super::home::{self, Home};
use super::renewed::renew;
use crate::scenes::Scene;
use crate::world::World;
use homectl::plan::{Draft, Observed, Plan};
use homectl::secrets::Secrets;
use homectl::ssh::{LocalShell, Remote};
use homectl::steps::{self, Lane, Mode, Step};
use homectl::want::{Leaf, NOT_COMPARED, Run, Verdict, Want, probe};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A machine and a shell on it.
type Shells = BTreeMap<String, LocalShell>;

/// The steps of all machines without what is made from secrets.
fn sealed_steps(world: &World) -> Vec<Step> {
    let [one, two] = Secrets::placeholder_sets(&world.cluster).map(|secrets| World { secrets, ..world.clone() }.node_steps(Mode::Present));
    steps::sealed(one, &two, world.now).unwrap()
}

async fn plan(world: &World, shells: &Shells) -> Plan {
    let looked_at = |step: &Step| matches!(&step.id.lane, Lane::Node(name) if shells.contains_key(name));
    let steps: Vec<Step> = sealed_steps(world).into_iter().filter(looked_at).collect();
    let mut observed = Observed::new();
    for (name, shell) in shells {
        let mine: Vec<&Step> = steps.iter().filter(|s| s.id.lane == Lane::Node(name.clone())).collect();
        let wants: Vec<Want> = mine.iter().flat_map(|s| s.wants.iter().cloned()).collect();
        let reply = shell.run(&probe::compile(&wants), &mut |_| ()).await.unwrap();
        let mut seen = probe::parse(&wants, &reply.output).into_iter();
        observed.extend(mine.iter().map(|s| (s.id.clone(), seen.by_ref().take(s.wants.len()).collect())));
    }
    let mut draft = Draft::only_shown(false);
    draft.add(steps, &observed);
    draft.finish(&world.cluster.name, Mode::Present).unwrap()
}

/// Every leaf of the control plane, with its machine.
fn leaves(fleet: &Fleet) -> Vec<Leaf> {
    let wants = fleet.world.node_steps(Mode::Present).into_iter().flat_map(|s| s.wants);
    wants.filter_map(|w| if let Want::Leaf(leaf) = w { Some(leaf) } else { None }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_judged_by_the_authority_on_the_machine() {
    let (fleet, shells) = made().await;
    let attic = fleet.machine("attic");
    for leaf in leaves(&fleet) {
        renew(&attic, &fleet.world, &leaf);
    }
    let renewed = plan(&fleet.world, &shells).await;
    assert_eq!(open(&renewed), Vec::<String>::new(), "{}", told(&renewed));
    // As a person who restores the wrong backup would.
    let other = Secrets::make(&fleet.world.cluster, fleet.world.now).unwrap();
    let foreign = other.leaf("attic", "etcd-healthcheck-client").unwrap();
    fs::write(attic.root().join("etc/kubernetes/pki/etcd/healthcheck-client.crt"), &foreign.cert).unwrap();
    let seen = plan(&fleet.world, &shells).await;
    assert_eq!(open(&seen), ["certificate:/etc/kubernetes/pki/etcd/healthcheck-client.crt"]);
    assert!(told(&seen).contains("signed by another etcd CA of the same name"), "{}", told(&seen));
}

/// The addresses of all that is not settled.
fn open(plan: &Plan) -> Vec<String> {
    let items = plan.steps.iter().flat_map(|s| &s.items);
    let mut open: Vec<String> = items.filter(|i| !matches!(i.verdict, Verdict::Settled(_))).map(|i| i.addr.clone()).collect();
    open.sort();
    open
}

/// A cluster of two machines as an undisturbed run leaves it, and shells on both.
async fn made() -> (Fleet, Shells) {
    let world = World::of("three", Scene::three(), jiff::Timestamp::now().as_second());
    let mut fleet = Fleet::new(world);
    for _ in 0..2 {
        let ran = fleet.run(Mode::Present, &Trouble::default()).await;
        assert_eq!(ran.report.failed, Vec::new(), "{}", told(&ran.plan));
    }
    let mut shells = Shells::new();
    for machine in fleet.machines() {
        shells.insert(machine.name.clone(), LocalShell::with_shell(machine.shell()).await.unwrap());
    }
    (fleet, shells)
}

const API: &str = "unit:kube-apiserver.service";

/// What somebody did by hand, and all that the plan then has to show.
const DRIFTS: [(&str, &str, &[&str]); 14] = [
    ("attic", "rm /etc/kubernetes/pki/apiserver.key", &["file:/etc/kubernetes/pki/apiserver.key", API]),
    ("attic", "chmod 644 /etc/kubernetes/pki/ca.key", &["file:/etc/kubernetes/pki/ca.key"]),
    ("attic", "chmod 600 /etc/kubernetes/pki/etcd/ca.crt", &["file:/etc/kubernetes/pki/etcd/ca.crt"]),
    ("attic", "chmod 644 /etc/kubernetes/admin.conf", &["certificate:/etc/kubernetes/admin.conf"]),
    (
        "attic",
        "rm /etc/kubernetes/pki/sa.key; mkdir /etc/kubernetes/pki/sa.key",
        &["file:/etc/kubernetes/pki/sa.key", API, "unit:kube-controller-manager.service"],
    ),
    ("attic", "rm /etc/kubernetes/pki/etcd/peer.crt", &["certificate:/etc/kubernetes/pki/etcd/peer.crt", "unit:etcd.service"]),
    // Of other names, signed by the same authority.
    (
        "attic",
        "cat /etc/kubernetes/pki/apiserver-kubelet-client.crt >/etc/kubernetes/pki/apiserver.crt",
        &["certificate:/etc/kubernetes/pki/apiserver.crt", API],
    ),
    (
        "attic",
        "echo nonsense >/etc/kubernetes/pki/front-proxy-ca.crt",
        &["file:/etc/kubernetes/pki/front-proxy-ca.crt", API, "unit:kube-controller-manager.service", "unit:kube-scheduler.service"],
    ),
    // What is known of a file with keys in it is compared.
    (
        "cellar",
        "sed -i 's/^AllowedIPs = .*/AllowedIPs = 192.0.2.0\\/24/' /etc/homectl/overlay/wg0.conf",
        &["file:/etc/homectl/overlay/wg0.conf", "unit:homectl-overlay.service", "wireguard:wg0"],
    ),
    (
        "cellar",
        "echo '# mine' >>/etc/systemd/system/kubelet.service",
        &["file:/etc/systemd/system/kubelet.service", "unit:kubelet.service"],
    ),
    ("cellar", "systemctl stop kube-proxy.service", &["unit:kube-proxy.service"]),
    ("cellar", "rm /opt/homectl/bin/kubelet", &["link:/opt/homectl/bin/kubelet", "unit:kubelet.service"]),
    ("cellar", "rm /opt/homectl/store/*/kubelet", &["program:kubelet", "unit:kubelet.service"]),
    ("cellar", "echo 0 >/proc/sys/net/ipv4/ip_forward", &["sysctl:net.ipv4.ip_forward"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_seen_without_the_secrets() {
    let (fleet, shells) = made().await;
    let before = plan(&fleet.world, &shells).await;
    assert_eq!(open(&before), Vec::<String>::new(), "{}", told(&before));
    let unseen = |i: &&homectl::plan::Item| matches!(&i.verdict, Verdict::Settled(why) if why.contains(NOT_COMPARED));
    assert!(before.steps.iter().flat_map(|s| &s.items).filter(unseen).count() > 25);
    let mut wrong = Vec::new();
    for (node, act, expected) in DRIFTS {
        let copy = fleet.copy();
        let shell = LocalShell::with_shell(copy.machine(node).shell()).await.unwrap();
        let done = shell.run(&format!("exec 7>&1\n{act}"), &mut |_| ()).await.unwrap();
        assert_eq!((done.status, done.output.as_str()), (0, ""), "{act}");
        let plan = plan(&fleet.world, &Shells::from([(node.to_owned(), shell)])).await;
        if open(&plan) != expected {
            wrong.push(format!("{act}:\n{}", told(&plan)));
        }
        for change in plan.steps.iter().flat_map(|s| &s.items).filter_map(|i| i.verdict.change()) {
            assert!(matches!(&change.run, Run::Script(sh) if sh.as_str().ends_with("exit 1")), "it could run: {change:?}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The program itself, over SSH, with a home that has no identity: its exit code and both streams.
fn plan_by(home: &Home, flags: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_homectl"));
    command.args([&["plan", "--locked", "--exit-code"], flags].concat()).arg(home.inventory()).env_clear();
    let done = command.env("HOME", home.path().join("elsewhere")).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (done.status.code(), text(&done.stdout), text(&done.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_plans_without_the_identity() {
    let mut gates = Gates::new();
    let home = Home::of(1, &gates.key(), &gates.host_key(), gates.port);
    let mut fleet = Fleet::of_the_first(1, home.world(jiff::Timestamp::now().as_second()));
    let ran = fleet.run(Mode::Present, &Trouble::default()).await;
    assert_eq!(ran.report.failed, Vec::new(), "{}", told(&ran.plan));
    gates.open(&fleet.machines().map(|m| (home::address(1), m)).collect::<Vec<_>>());
    let (code, out, err) = plan_by(&home, &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(
        out.contains("No changes. Every machine is as the inventory says, as far as it can be told without the age identity."),
        "{out}"
    );
    assert!(
        out.contains("inventory.secrets.age stays shut: no identity was named") && out.contains("what is in the API was not looked at"),
        "{out}"
    );
    let root = fleet.machine("n1").root();
    let unit = "/etc/systemd/system/kube-scheduler.service";
    let text = fs::read_to_string(root.join(&unit[1..])).unwrap();
    fs::write(root.join(&unit[1..]), text + "# mine\n").unwrap();
    fs::set_permissions(root.join("etc/kubernetes/pki/sa.key"), fs::Permissions::from_mode(0o640)).unwrap();
    let (code, out, err) = plan_by(&home, &["--json"]);
    let plan: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    let items = plan["steps"].as_array().unwrap().iter().flat_map(|s| s["items"].as_array().unwrap());
    let open: Vec<&str> = items.filter(|i| i["verdict"] != "settled").map(|i| i["addr"].as_str().unwrap()).collect();
    assert_eq!(open, ["file:/etc/kubernetes/pki/sa.key", &format!("file:{unit}"), "unit:kube-scheduler.service"], "{out}");
    assert_eq!((code, &plan["not_compared"]["lanes"]), (Some(2), &serde_json::json!(["cluster"])));
}
