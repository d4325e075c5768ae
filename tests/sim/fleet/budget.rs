//! What a run that has nothing to do costs with a hundred machines: what goes over the wire of each, by what the program
//! counts itself, and its own memory and processor time.

use super::engine::{Fleet, Trouble};
use super::gates::Gates;
use super::home::{self, Home};
use crate::watched::{Watched, watched};
use homectl::steps::Mode;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

const MACHINES: usize = 100;
/// Control planes, and a worker that the others are copies of.
const MADE: usize = 4;
/// A machine's request turns, and bytes each way.
const TURNS: u64 = 13;
const BYTES: u64 = 20_000;
/// KiB of memory that the program may take: for each machine, and for itself (this build is not optimised).
const MEMORY: u64 = 1024;
const ITSELF: u64 = 32 << 10;

#[expect(clippy::print_stdout, reason = "the figures of docs/measurements.md")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_machines_with_nothing_to_do() {
    let mut gates = Gates::new();
    let home = Home::of(MACHINES, &gates.key(), &gates.host_key(), gates.port);
    let mut fleet = Fleet::of_the_first(MADE, home.world(jiff::Timestamp::now().as_second()));
    let ran = fleet.run(Mode::Present, &Trouble::default()).await;
    assert_eq!(ran.report.failed, Vec::new());
    fleet.multiply();
    gates.open(&fleet.machines().zip(1..).map(|(m, number)| (home::address(number), m)).collect::<Vec<_>>());
    let seen = look(&home);
    let context = format!("{}\n{}\n{}", seen.out, seen.err, gates.log());
    assert!(seen.status.success() && seen.out.starts_with("No changes."), "{context}");
    let traffic = traffic(&seen.err);
    assert_eq!(traffic.len(), MACHINES, "{context}");
    for (name, [turns, up, down]) in &traffic {
        let within = *turns <= TURNS && *up <= BYTES && *down <= BYTES;
        assert!(within, "{name}: {turns} turns (at most {TURNS}), {up} and {down} bytes (at most {BYTES})");
    }
    let sent = || traffic.iter().filter(|(name, _)| !fleet.world.cluster.node(name).unwrap().is_control_plane()).map(|(_, [_, up, _])| *up);
    let (least, most) = (sent().min().unwrap(), sent().max().unwrap());
    assert!(most <= least + least / 10, "workers are alike, but one was sent {least} bytes and one {most}");
    assert!(seen.peak <= MEMORY * MACHINES as u64 + ITSELF, "{} KiB for {MACHINES} machines", seen.peak);
    let (turns, down) = (traffic.values().map(|t| t[0]).max().unwrap(), traffic.values().map(|t| t[2]).max().unwrap());
    println!(
        "{MACHINES} machines: at most {turns} turns, {most} bytes to a worker, {down} bytes from a machine; {} KiB, {} ms of processor time",
        seen.peak,
        seen.cpu * 10
    );
}

/// `apply` of all machines by name: the API, which has a count of its own, is left out.
fn look(home: &Home) -> Watched {
    let names: Vec<String> = (1..=MACHINES).map(home::name).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_homectl"));
    command.args(["apply", "--yes", "--locked", "--traffic", "--limit", &names.join(","), "--identity"]);
    command.arg(home.identity()).arg(home.inventory()).env_clear().env("HOME", home.path()).stdin(Stdio::null());
    watched(&mut command, home.path())
}

/// Turns, bytes sent, bytes received of each machine.
fn traffic(err: &str) -> BTreeMap<String, [u64; 3]> {
    let lines = err.lines().filter_map(|l| l.strip_prefix("traffic ")?.split_once(": "));
    let numbers = |text: &str| text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect::<Vec<u64>>();
    lines.map(|(name, rest)| (name.to_owned(), numbers(rest).try_into().unwrap())).collect()
}
