//! Verdicts as tables, and the scripts themselves on this computer.

use super::finding::Findings;
use super::reading::{Fsync, Reach, Reading, parse};
use super::{closer, fleet, ground, machine, reach};
use crate::cluster::{Arch, Cluster, Component, HostnamePolicy, Node, Role};
use crate::facts::{Facts, Foreign, WireGuard};
use crate::house::{cluster, node};
use crate::report::LinkState;
use crate::scenes::facts;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// attic (a control plane), barn, and cabin in another house, behind NAT.
fn house() -> Cluster {
    let mut cabin = node(3, "cabin", Role::Worker);
    cabin.machine.site = Some("cabin".into());
    cabin.machine.endpoint = None;
    let mut attic = node(1, "attic", Role::ControlPlane);
    attic.machine.endpoint = Some("home.example.net:51820".into());
    let mut cluster = cluster(vec![attic, node(2, "barn", Role::Worker), cabin]);
    cluster.programs = crate::scenes::programs();
    cluster
}

fn all(edit: impl Fn(&mut BTreeMap<String, Facts>)) -> BTreeMap<String, Facts> {
    let mut all: BTreeMap<String, Facts> = ["attic", "barn", "cabin"].map(|n| (n.to_owned(), facts(n))).into();
    edit(&mut all);
    all
}

/// `node topic! what` for a failure, `node topic what` for a warning.
fn told(found: &Findings) -> Vec<String> {
    let line = |f: crate::report::Finding| format!("{} {}{} {}", f.node, f.topic, if f.warning { "" } else { "!" }, f.what);
    found.report(["attic", "barn", "cabin"].into_iter()).into_iter().map(line).collect()
}

fn checked(cluster: &Cluster, edit: impl Fn(&mut BTreeMap<String, Facts>)) -> Vec<String> {
    told(&machine::check(cluster, &all(edit)))
}

type Edit = fn(&mut Facts);

#[test]
fn facts_of_one_machine() {
    let table: &[(Edit, &str)] = &[
        (|_| (), ""),
        (|f| f.os_id = "plan9".into(), "barn system! Debian GNU/Linux 13 (trixie) is not supported"),
        (|f| f.systemd = false, "barn system! systemd is not its init"),
        (|f| f.systemd_version = 247, "barn system! its systemd 247 is too old"),
        (|f| f.arch = None, "barn architecture! its architecture x86_64 has no upstream release"),
        (|f| f.userland = "armhf".into(), "barn architecture! its system is armhf, only its kernel is amd64"),
        (|f| f.kernel = "5.10.0-30-amd64".into(), "barn kernel! its kernel 5.10.0-30-amd64 is too old"),
        (|f| f.kernel = "5.13-rc1".into(), ""),
        (|f| f.memory_controller = false, "barn cgroups! the kernel's memory controller is off"),
        (|f| f.memory_kib = 400_000, "barn memory 390 MiB of memory is little for a node: the system's own pods take half of it"),
        (|f| f.skew = 31, "barn clock! its clock is 31 s ahead"),
        (|f| f.skew = -4000, "barn clock! its clock is 4000 s behind"),
        (|f| f.skew = 5, "barn clock its clock is 5 s ahead of that of attic"),
        (|f| f.skew = 2, ""),
        (|f| f.overlay = Some([10, 77, 0, 9].into()), ""),
        (
            |f| (f.cluster, f.overlay) = (Some("home".into()), Some([10, 77, 0, 9].into())),
            "barn identity! it is number 9 in the overlay, the lock says 2",
        ),
        (|f| (f.cluster, f.overlay) = (Some("home".into()), Some([10, 77, 0, 2].into())), ""),
        (|f| f.cluster = Some("other".into()), "barn owner! the machine belongs to the cluster `other`"),
        (
            |f| f.foreign = vec![Foreign { what: "k3s".into(), evidence: "k3s.service".into() }],
            "barn owner! somebody else's k3s is on the machine",
        ),
        (|f| f.free_kib = [("/opt".to_owned(), 1_000_000)].into(), "barn disk! /opt has 976 MiB free, 1464 MiB are needed"),
        (
            |f| {
                f.cluster = Some("home".into());
                f.free_kib = [("/var/lib".to_owned(), 200_000)].into();
            },
            "barn disk /var/lib has only 195 MiB free",
        ),
        (|f| f.listening = [10250, 22].into(), "barn ports! somebody listens on port 10250"),
        (|f| f.listening = [6443].into(), ""),
        (
            |f| f.addresses = vec![("eth0".into(), "10.78.3.4".into())],
            "barn network! its eth0 has 10.78.3.4, which lies inside the range of pods 10.78.0.0/16",
        ),
        (|f| f.machine_id = format!("{:0>32}", "attic"), "barn identity! it has the same machine-id as attic"),
        (|f| f.hostname = "attic".into(), ""),
    ];
    for (edit, expected) in table {
        let seen = checked(&house(), |all| edit(all.get_mut("barn").unwrap()));
        assert_eq!(seen.join("\n"), *expected);
    }
}

#[test]
fn every_problem_of_every_machine_at_once() {
    let found = machine::check(
        &house(),
        &all(|all| {
            let attic = all.get_mut("attic").unwrap();
            attic.memory_kib = 1_000_000;
            attic.listening = [6443].into();
            all.get_mut("barn").unwrap().systemd = false;
            all.get_mut("cabin").unwrap().memory_controller = false;
            all.get_mut("cabin").unwrap().boot_cmdline = Some("/boot/firmware/cmdline.txt".into());
        }),
    );
    let expected = [
        "attic ports! somebody listens on port 6443",
        "attic memory 976 MiB of memory is little for a control plane",
        "barn system! systemd is not its init",
        "cabin cgroups! the kernel's memory controller is off",
    ];
    assert_eq!(told(&found), expected);
    let help = &found.report(["cabin"].into_iter()).pop().unwrap().help;
    assert_eq!(help, "add ` cgroup_enable=memory cgroup_memory=1` to the end of the one line of /boot/firmware/cmdline.txt, and reboot");
    let (failures, warnings) = found.sorted();
    assert_eq!((failures.len(), warnings), (3, vec!["attic: 976 MiB of memory is little for a control plane".to_owned()]));
}

/// Machines of several kinds in one house: each is judged by itself, and all that cannot be nodes are told at once.
#[test]
fn every_machine_is_judged_by_its_own_kind() {
    let mut house = house();
    let kinds = |all: &mut BTreeMap<String, Facts>| {
        let barn = all.get_mut("barn").unwrap();
        (barn.arch, barn.machine, barn.userland) = (Some(Arch::Arm64), "aarch64".into(), "arm64".into());
        let cabin = all.get_mut("cabin").unwrap();
        (cabin.arch, cabin.machine, cabin.userland) = (None, "riscv64".into(), "riscv64".into());
    };
    assert_eq!(checked(&house, kinds), ["cabin architecture! its architecture riscv64 has no upstream release"]);
    house.programs.artifacts.retain(|(component, arch), _| *arch == Arch::Amd64 || *component != Component::Runc);
    let due =
        ["barn architecture! the lock has no arm64 build of runc", "cabin architecture! its architecture riscv64 has no upstream release"];
    assert_eq!(checked(&house, kinds), due);

    // Upstream's containerd wants a glibc. What has another C library is told apart by its distribution.
    let musl = |all: &mut BTreeMap<String, Facts>| {
        let cabin = all.get_mut("cabin").unwrap();
        (cabin.os_id, cabin.os_like, cabin.os_name) = ("alpine".into(), Vec::new(), "Alpine Linux v3.22".into());
        (cabin.systemd, cabin.userland) = (false, String::new());
    };
    assert_eq!(checked(&house, musl), ["cabin system! Alpine Linux v3.22 is not supported", "cabin system! systemd is not its init"]);
}

#[test]
fn names_that_are_kept_must_differ() {
    let mut cluster = house();
    for node in &mut cluster.nodes {
        node.machine.hostname = HostnamePolicy::Keep;
    }
    let pi = |all: &mut BTreeMap<String, Facts>| all.values_mut().for_each(|f| f.hostname = "raspberrypi".into());
    assert_eq!(
        checked(&cluster, pi),
        ["barn identity! it has the same hostname as attic", "cabin identity! it has the same hostname as attic"]
    );
    assert!(checked(&house(), pi).is_empty(), "homectl names them itself");
}

const REPLY: &str = "kernel.overlay=yes\nkernel.nf_tables=yes\nkernel.nf_conntrack=unknown\nkernel.br_netfilter=no\ntun=yes\n\
    card.eth0=dc:a6:32:00:00:01\nudp=CA6C\nudp=0044\nreach=heard barn\nreach=echoed barn\nreach=unresolved cabin cabin.example.net: Name or \
    service not known\nreach=done\nsynchronised=no\ndns.registry.k8s.io=no\ndns.home.example.net=yes\nhandshake=cHVibGlj= 17\n\
    handshake=b3RoZXI= never\nfsync=100 2500000000 900000000 /var/lib\nend=yes\n";

#[test]
fn a_closer_look_is_read() {
    let reading = parse(REPLY).unwrap();
    assert_eq!(reading.kernel["br_netfilter"], Some(false));
    assert_eq!(reading.kernel["nf_conntrack"], None);
    assert_eq!(reading.cards, [("eth0".to_owned(), "dc:a6:32:00:00:01".to_owned())]);
    assert_eq!(reading.udp, [68, 51820].into());
    assert_eq!((reading.synchronised, reading.tun), (Some(false), true));
    assert_eq!(reading.handshakes, [("cHVibGlj=".to_owned(), Some(17)), ("b3RoZXI=".to_owned(), None)].into());
    assert_eq!(reading.fsync, Some(Fsync { mean: 25_000, worst: 90_000, place: "/var/lib".into() }));
    let reach = reading.reach.unwrap();
    assert!(reach.heard.contains("barn") && reach.echoed.contains("barn") && reach.taken.is_none());
    assert_eq!(reach.unresolved["cabin"], "cabin.example.net: Name or service not known");
    assert!(parse(&REPLY[..REPLY.len() - 4]).unwrap_err().contains("cut"));
    assert_eq!(parse("reach=heard barn\nend=yes\n").unwrap().reach, None, "a probe that did not end tells nothing");
}

#[test]
fn what_a_closer_look_means() {
    let cluster = house();
    let judged = |node: &Node, f: &Facts, reading: &Reading| {
        let mut found = Findings::default();
        ground::judge(&cluster, node, f, reading, &mut found);
        found
    };
    let [attic, barn, _] = cluster.nodes.as_slice() else { panic!("three nodes") };
    let found = judged(attic, &facts("attic"), &parse(REPLY).unwrap());
    let expected = [
        "attic kernel! its kernel 6.12.0 has no br_netfilter",
        "attic ports! somebody has the UDP port 51820, which WireGuard needs",
        "attic disk a small write to /var/lib takes 25.0 ms until it is on the disk",
        "attic clock nothing keeps its clock right",
        "attic dns it cannot resolve registry.k8s.io",
    ];
    assert_eq!(told(&found), expected);
    let slow = &found.report(["attic"].into_iter())[2];
    assert_eq!(slow.evidence, ["90.0 ms each in the worst ten in a row"]);
    assert!(slow.help.contains("etcd") && slow.help.contains("SSD"), "{}", slow.help);

    // Our own WireGuard has the port; a container has its host's clock; only control planes write like etcd.
    let ours = Facts { cluster: Some("home".into()), container: "lxc".into(), ..facts("barn") };
    let reading = Reading { kernel: BTreeMap::new(), names: BTreeMap::new(), ..parse(REPLY).unwrap() };
    assert!(told(&judged(barn, &ours, &reading)).is_empty());
    let tunless = Facts { wireguard: WireGuard::UserSpace, container: "lxc".into(), ..facts("barn") };
    let found = judged(barn, &tunless, &Reading::default());
    assert_eq!(told(&found), ["barn kernel! its kernel has no WireGuard, and wireguard-go needs /dev/net/tun, which is not there"]);
    assert!(found.report(["barn"].into_iter())[0].help.contains("let the lxc container have /dev/net/tun"));
}

#[test]
fn cloned_network_cards() {
    let cluster = house();
    let card = |mac: &str| Reading { cards: vec![("eth0".into(), mac.into())], ..Reading::default() };
    let readings: BTreeMap<String, Reading> =
        [("attic", "52:54:00:00:00:01"), ("barn", "52:54:00:00:00:01"), ("cabin", "52:54:00:00:00:01")]
            .map(|(n, m)| (n.into(), card(m)))
            .into();
    let seen = |edit: Edit| {
        let mut found = Findings::default();
        fleet::cards(&cluster, &all(|all| edit(all.get_mut("barn").unwrap())), &readings, &mut found);
        told(&found)
    };
    assert_eq!(seen(|_| ()), ["barn identity! its network card has the same address as one of attic"], "cabin is another house");
    assert!(seen(|f| f.machine_id = format!("{:0>32}", "attic")).is_empty(), "told by its machine-id");
}

#[test]
fn names_that_a_machine_will_look_up() {
    let mut cluster = house();
    assert_eq!(ground::wanted(&cluster, &cluster.nodes[0]), ["registry.k8s.io"]);
    assert_eq!(ground::wanted(&cluster, &cluster.nodes[2])[0], "home.example.net");
    let registry = |host: &str, mirror: &str| crate::cluster::Registry { host: host.into(), mirrors: vec![mirror.into()] };
    cluster.registries = vec![registry("docker.io", "http://other.lan"), registry("registry.k8s.io", "http://nas.lan:5000/v2")];
    assert_eq!(ground::wanted(&cluster, &cluster.nodes[0]), ["nas.lan"]);
}

/// Who heard whom, who was answered by whom.
fn probed(heard: &[&str], echoed: &[&str]) -> Reading {
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    Reading { reach: Some(Reach { heard: set(heard), echoed: set(echoed), ..Reach::default() }), ..Reading::default() }
}

fn up(peer: &str, age: Option<u64>) -> Reading {
    let reach = Reach { taken: Some("Address already in use".into()), ..Reach::default() };
    Reading { reach: Some(reach), handshakes: [(format!("key of {peer}"), age)].into(), ..Reading::default() }
}

#[test]
fn pairs_of_the_overlay() {
    use LinkState::{Broken, Untested, Works};
    let cluster = house();
    let keys: BTreeMap<String, String> = ["attic", "barn", "cabin"].map(|n| (format!("key of {n}"), n.to_owned())).into();
    let taken = Reach { taken: Some("Address already in use".into()), ..Reach::default() };
    let taken = Reading { reach: Some(taken), ..Reading::default() };
    for (attic, barn, state, seen) in [
        (probed(&["barn"], &["barn"]), probed(&["attic"], &["attic"]), Works, "a datagram went there and back"),
        (probed(&[], &[]), probed(&[], &["attic"]), Works, "a datagram went there and back"),
        (probed(&[], &[]), probed(&[], &[]), Broken, "no datagram arrived, in either direction"),
        (probed(&["barn"], &[]), probed(&[], &[]), Broken, "datagrams from barn arrive at attic, none the other way"),
        (probed(&["barn"], &[]), probed(&["attic"], &[]), Broken, "datagrams arrive both ways, but no answer does"),
        (probed(&[], &[]), Reading::default(), Untested, "could not be tested: barn has no perl, or it was too slow"),
        (probed(&[], &[]), taken, Untested, "could not be tested: WireGuard's port of barn is taken (Address already in use)"),
        (up("cabin", Some(3)), probed(&[], &[]), Untested, "could not be tested: attic's WireGuard runs already, barn's does not yet"),
        (up("cabin", Some(3)), probed(&["attic"], &["attic"]), Works, "a datagram went there and back"),
        (up("barn", None), up("attic", Some(140)), Works, "ours: last handshake 140 s ago"),
        (up("barn", Some(900)), up("attic", Some(1000)), Broken, "ours: no handshake for 900 s"),
        (up("barn", None), up("attic", None), Broken, "ours: never a handshake"),
        (
            up("barn", Some(2)),
            Reading::default(),
            Untested,
            "ours: could not be tested: barn's WireGuard does not run, or does not know attic",
        ),
    ] {
        let mut found = Findings::default();
        let readings = [("attic".to_owned(), attic), ("barn".to_owned(), barn)].into();
        let (ours, seen) = seen.strip_prefix("ours: ").map_or((&["attic"][..], seen), |seen| (&["attic", "barn"], seen));
        let links = reach::judge(&cluster, &readings, &ours.iter().copied().collect(), &keys, &mut found);
        assert_eq!((links.len(), links[0].state, links[0].seen.as_str()), (1, state, seen));
        assert_eq!(told(&found).len(), usize::from(state == Broken));
    }
}

#[test]
fn a_broken_pair_is_told_where_it_is_to_be_mended() {
    let cluster = house();
    let mut found = Findings::default();
    let mut deaf = probed(&[], &[]);
    deaf.reach.as_mut().unwrap().unresolved.insert("attic".into(), "home.example.net: Name or service not known".into());
    let readings = [("attic".to_owned(), probed(&[], &[])), ("cabin".to_owned(), deaf)].into();
    reach::judge(&cluster, &readings, &BTreeSet::new(), &BTreeMap::new(), &mut found);
    let told = &found.report(["attic", "cabin"].into_iter())[0];
    assert_eq!((told.node.as_str(), told.what.as_str()), ("cabin", "the overlay does not get through between it and attic"));
    assert_eq!(told.evidence, ["cabin looks for home.example.net: Name or service not known; no datagram arrived, in either direction"],);
    assert!(told.help.contains("UDP port 51820 of attic (from cabin it is dialled at home.example.net:51820)"), "{}", told.help);
    assert!(!told.help.contains("of cabin"), "nobody can dial it: {}", told.help);
}

/// Runs `script` here, as a machine would.
fn run(script: &str) -> std::process::Child {
    let mut child = Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    child
}

fn reply(child: std::process::Child) -> Reading {
    parse(&String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()).unwrap()
}

/// A free UDP port of this computer.
fn port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// attic and barn on this computer, at different ports; cabin cannot be dialled.
fn here() -> Cluster {
    let mut cluster = house();
    for (node, address) in cluster.nodes.iter_mut().zip(["127.0.0.1", "::1"]) {
        node.machine.site = Some(format!("site of {address}"));
        node.machine.listen_port = port();
        let at = format!("{address}:{}", node.machine.listen_port);
        node.machine.endpoint = Some(if address.contains(':') { format!("[{address}]:{}", node.machine.listen_port) } else { at });
    }
    cluster
}

#[test]
fn the_probe_finds_who_is_there() {
    let cluster = here();
    let pair: Vec<&Node> = cluster.nodes[..2].iter().collect();
    let script = |n: usize, nonce: &str| format!("{}probe; echo end=yes\n", reach::script(pair[n], &pair, nonce));
    let (attic, barn) = (run(&script(0, "17")), run(&script(1, "17")));
    let (attic, barn) = (reply(attic).reach.unwrap(), reply(barn).reach.unwrap());
    assert!(attic.echoed.contains("barn") && attic.heard.contains("barn"), "{attic:?}");
    assert!(barn.echoed.contains("attic") && barn.heard.contains("attic"), "{barn:?}");

    // Another run's datagrams, and a port that somebody has.
    let _taken = std::net::UdpSocket::bind(("0.0.0.0", pair[0].listen_port)).unwrap();
    let (attic, barn) = (run(&script(0, "18")), run(&script(1, "19")));
    let (attic, barn) = (reply(attic).reach.unwrap(), reply(barn).reach.unwrap());
    assert!(attic.heard.is_empty() && barn.heard.is_empty(), "{attic:?} {barn:?}");
    assert_eq!(attic.taken.as_deref(), Some("Address already in use"));
}

#[test]
fn the_whole_script_runs_here_and_leaves_nothing() {
    let cluster = here();
    let pair: Vec<&Node> = cluster.nodes[..2].iter().collect();
    let left =
        || std::fs::read_dir("/var/lib").unwrap().flatten().filter(|e| e.file_name().to_string_lossy().contains("homectl-check")).count();
    let reading = reply(run(&closer::script(&cluster, pair[0], &pair, "17")));
    for module in ["overlay", "nf_tables", "nf_conntrack", "br_netfilter"] {
        assert!(reading.kernel.contains_key(module), "{reading:?}");
    }
    assert_eq!(reading.names.len(), 1);
    assert!(!reading.udp.contains(&pair[0].listen_port), "our own probe is nobody else");
    assert!(reading.reach.expect("THIS TEST LACKS perl").echoed.is_empty(), "barn is not there");
    let fsync = reading.fsync.expect("THIS TEST LACKS root: /var/lib cannot be written");
    assert!(fsync.mean > 0 && fsync.worst >= fsync.mean && fsync.place.starts_with("/var/lib"), "{fsync:?}");
    assert_eq!(left(), 0);
}

#[test]
fn a_packages_unit_is_refused_at_first_and_judged_with_the_others_of_its_name_later() {
    let table: [(&str, &str, Option<&str>, usize); 5] = [
        ("barn", "kubelet", None, 1),
        ("barn", "kubelet", Some("home"), 0),
        ("attic", "etcd", Some("home"), 0),
        ("barn", "etcd", Some("home"), 1),
        ("attic", "k3s", Some("home"), 1),
    ];
    for (node, what, cluster, failures) in table {
        let told = checked(&house(), |all| {
            let f = all.get_mut(node).unwrap();
            f.foreign = vec![Foreign { what: what.into(), evidence: format!("/usr/lib/systemd/system/{what}.service (inactive)") }];
            f.cluster = cluster.map(str::to_owned);
            f.cluster_node = cluster.map(|_| node.to_owned());
        });
        assert_eq!(told.len(), failures, "{node} {what} {cluster:?}: {told:?}");
    }
}
