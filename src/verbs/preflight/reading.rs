//! What a closer look at one machine told.

use std::collections::{BTreeMap, BTreeSet};

/// The reply to `look.sh`, parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::verbs) struct Reading {
    /// What the kernel has, by module; `None`: it could not be told.
    pub(super) kernel: BTreeMap<String, Option<bool>>,
    /// Whether `/dev/net/tun` is there.
    pub(super) tun: bool,
    /// Network cards and their addresses.
    pub(super) cards: Vec<(String, String)>,
    /// UDP ports that somebody has.
    pub(super) udp: BTreeSet<u16>,
    /// Whether the kernel says that the clock is kept right; `None`: nobody could be asked.
    pub(super) synchronised: Option<bool>,
    /// Names that were looked up.
    pub(super) names: BTreeMap<String, bool>,
    /// The overlay's own public key.
    pub(super) key: Option<String>,
    /// Seconds since the last handshake by the peer's public key; an inner `None`: never.
    pub(super) handshakes: BTreeMap<String, Option<u64>>,
    /// How fast small writes reach the disk, where that was measured.
    pub(super) fsync: Option<Fsync>,
    /// What the overlay's probe told; `None`: it did not come to its end.
    pub(super) reach: Option<Reach>,
}

/// Small writes, each on the disk before the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fsync {
    /// Microseconds a write, on average.
    pub(super) mean: u64,
    /// The same, of the worst ten in a row.
    pub(super) worst: u64,
    /// Where.
    pub(super) place: String,
}

/// Datagrams between this machine and its peers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Why WireGuard's port was not ours to listen on.
    pub(super) taken: Option<String>,
    /// Peers whose datagrams came.
    pub(super) heard: BTreeSet<String>,
    /// Peers that answered ours.
    pub(super) echoed: BTreeSet<String>,
    /// Peers whose endpoint has no address here, and why.
    pub(super) unresolved: BTreeMap<String, String>,
    /// Peers to whom nothing could be sent, and why.
    pub(super) unsent: BTreeMap<String, String>,
}

/// Parses the reply; a cut one is an error.
pub(super) fn parse(reply: &str) -> Result<Reading, String> {
    let mut reading = Reading::default();
    let mut reach = Reach::default();
    let mut whole = false;
    for (key, value) in reply.lines().filter_map(|line| line.split_once('=')) {
        let (kind, name) = key.split_once('.').unwrap_or((key, ""));
        match kind {
            "kernel" => drop(reading.kernel.insert(name.to_owned(), (value != "unknown").then_some(value == "yes"))),
            "tun" => reading.tun = true,
            "card" => reading.cards.push((name.to_owned(), value.to_owned())),
            "udp" => reading.udp.extend(u16::from_str_radix(value, 16)),
            "synchronised" => reading.synchronised = (!value.is_empty()).then_some(value == "yes"),
            "dns" => drop(reading.names.insert(name.to_owned(), value == "yes")),
            "key" => reading.key = (!value.is_empty()).then(|| value.to_owned()),
            "handshake" => reading.handshakes.extend(value.split_once(' ').map(|(peer, age)| (peer.to_owned(), age.parse().ok()))),
            "fsync" => reading.fsync = fsync(value),
            "reach" if value == "done" => reading.reach = Some(reach.clone()),
            "reach" => reached(&mut reach, value),
            "end" => whole = value == "yes",
            _ => {}
        }
    }
    if whole { Ok(reading) } else { Err(format!("the reply is cut: it ends with {:?}", reply.lines().last().unwrap_or_default())) }
}

fn fsync(value: &str) -> Option<Fsync> {
    let mut words = value.splitn(4, ' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let (writes, total, worst) = (number()?, number()?, number()?);
    let place = words.next()?.to_owned();
    Some(Fsync { mean: total.checked_div(writes)? / 1000, worst: worst / 10 / 1000, place })
}

fn reached(reach: &mut Reach, value: &str) {
    let (kind, rest) = value.split_once(' ').unwrap_or((value, ""));
    let (name, why) = rest.split_once(' ').unwrap_or((rest, ""));
    match kind {
        "taken" => reach.taken = Some(rest.to_owned()),
        "heard" => drop(reach.heard.insert(name.to_owned())),
        "echoed" => drop(reach.echoed.insert(name.to_owned())),
        "unresolved" => drop(reach.unresolved.insert(name.to_owned(), why.to_owned())),
        "unsent" => drop(reach.unsent.insert(name.to_owned(), why.to_owned())),
        _ => {}
    }
}
