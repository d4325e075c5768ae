//! Whether the overlay gets through between any two machines: by handshakes where the overlay is up, else by datagrams between
//! the ports that it will have.

use super::finding::Findings;
use super::reading::{Reach, Reading};
use crate::cluster::{Cluster, Node};
use crate::error::Failure;
use crate::report::{Link, LinkState};
use std::collections::{BTreeMap, BTreeSet};

/// Listens, sends and answers.
const PROGRAM: &str = include_str!("reach.pl");
/// Rounds of 0.2 s.
const ROUNDS: u32 = 30;
/// Keepalives go every 5 s, and a session is made anew after 2 min: older than this, nothing came for a while.
const OLD: u64 = 200;

/// The function `probe` of sh, from `node` to `peers`: those with whom its handshakes cannot tell.
pub(super) fn script(node: &Node, peers: &[&Node], nonce: &str) -> String {
    let others = peers.iter().filter(|p| p.name != node.name);
    let others: Vec<String> = others.map(|p| format!("'{}={}'", p.name, p.endpoint_from(node).unwrap_or_default())).collect();
    if others.is_empty() {
        return "probe() { :; }\n".to_owned();
    }
    format!(
        "probe() {{ command -v perl >/dev/null && perl - {nonce} {} {} {ROUNDS} {} <<'END_OF_PROGRAM'\n{PROGRAM}END_OF_PROGRAM\n}} 2>/dev/null\n",
        node.name,
        node.listen_port,
        others.join(" ")
    )
}

/// One end of a pair.
struct End<'a> {
    node: &'a Node,
    reading: Option<&'a Reading>,
    /// Whether WireGuard here has the other end as its peer.
    knows: bool,
    /// Seconds since their last handshake.
    handshake: Option<u64>,
}

impl End<'_> {
    fn reach(&self) -> Option<&Reach> {
        self.reading?.reach.as_ref()
    }

    /// Whether a WireGuard with peers runs here: ours, since another's `wg0` stands in the way of everything.
    fn is_up(&self) -> bool {
        self.reading.is_some_and(|r| !r.handshakes.is_empty())
    }

    fn heard(&self, other: &Self) -> bool {
        self.reach().is_some_and(|r| r.heard.contains(&other.node.name))
    }

    fn echoed(&self, other: &Self) -> bool {
        self.reach().is_some_and(|r| r.echoed.contains(&other.node.name))
    }

    /// What stood in the way of sending to `other`, in words.
    fn trouble(&self, other: &Self) -> Option<String> {
        let (reach, name) = (self.reach()?, &other.node.name);
        let unresolved = reach.unresolved.get(name).map(|why| format!("{} looks for {why}", self.node.name));
        unresolved.or_else(|| reach.unsent.get(name).map(|why| format!("{} cannot send to {name}: {why}", self.node.name)))
    }
}

/// Every pair of machines that were looked at, and what is wrong with it; `ours` are those that have an overlay already,
/// `keys` the nodes' by public key.
pub(super) fn judge(
    cluster: &Cluster,
    readings: &BTreeMap<String, Reading>,
    ours: &BTreeSet<&str>,
    keys: &BTreeMap<String, String>,
    found: &mut Findings,
) -> Vec<Link> {
    let asked: Vec<&Node> = cluster.nodes.iter().filter(|n| readings.contains_key(&n.name)).collect();
    let mut links = Vec::new();
    for (i, a) in asked.iter().enumerate() {
        for b in &asked[i + 1..] {
            let (a, b) = (end(a, b, readings, keys), end(b, a, readings, keys));
            let both = ours.contains(a.node.name.as_str()) && ours.contains(b.node.name.as_str());
            let (state, seen) = if both { joined(&a, &b) } else { pair(&a, &b) };
            if state == LinkState::Broken {
                fail(&a, &b, &seen, found);
            }
            links.push(Link { a: a.node.name.clone(), b: b.node.name.clone(), state, seen });
        }
    }
    links
}

fn end<'a>(node: &'a Node, other: &Node, readings: &'a BTreeMap<String, Reading>, keys: &BTreeMap<String, String>) -> End<'a> {
    let reading = readings.get(&node.name);
    let is_other = |key: &str| keys.get(key) == Some(&other.name);
    let peer = reading.and_then(|r| r.handshakes.iter().find(|(key, _)| is_other(key)));
    End { node, reading, knows: peer.is_some(), handshake: peer.and_then(|(_, age)| *age) }
}

/// The state of a pair that has an overlay already.
fn joined(a: &End, b: &End) -> (LinkState, String) {
    for (end, other) in [(a, b), (b, a)] {
        if !end.knows {
            let (name, peer) = (&end.node.name, &other.node.name);
            return (LinkState::Untested, format!("could not be tested: {name}'s WireGuard does not run, or does not know {peer}"));
        }
    }
    match a.handshake.into_iter().chain(b.handshake).min() {
        Some(age) if age <= OLD => (LinkState::Works, format!("last handshake {age} s ago")),
        Some(age) => (LinkState::Broken, format!("no handshake for {age} s")),
        None => (LinkState::Broken, "never a handshake".to_owned()),
    }
}

/// The state of a pair of which one at least is new, and what showed it.
fn pair(a: &End, b: &End) -> (LinkState, String) {
    if a.echoed(b) || b.echoed(a) {
        return (LinkState::Works, "a datagram went there and back".to_owned());
    }
    for (end, other) in [(a, b), (b, a)] {
        let Some(reach) = end.reach() else {
            return (LinkState::Untested, format!("could not be tested: {} has no perl, or it was too slow", end.node.name));
        };
        if end.is_up() {
            return (
                LinkState::Untested,
                format!("could not be tested: {}'s WireGuard runs already, {}'s does not yet", end.node.name, other.node.name),
            );
        }
        if let Some(why) = &reach.taken {
            return (LinkState::Untested, format!("could not be tested: WireGuard's port of {} is taken ({why})", end.node.name));
        }
    }
    let mut seen: Vec<String> = [a.trouble(b), b.trouble(a)].into_iter().flatten().collect();
    seen.push(match (a.heard(b), b.heard(a)) {
        (true, true) => "datagrams arrive both ways, but no answer does".to_owned(),
        (true, false) => one_way(b.node, a.node),
        (false, true) => one_way(a.node, b.node),
        (false, false) => "no datagram arrived, in either direction".to_owned(),
    });
    (LinkState::Broken, seen.join("; "))
}

fn one_way(from: &Node, to: &Node) -> String {
    format!("datagrams from {} arrive at {}, none the other way", from.name, to.name)
}

/// Told on the end that is not reached; the remedy depends on who dials whom.
fn fail(a: &End, b: &End, seen: &str, found: &mut Findings) {
    let (at, from) = if a.heard(b) && !b.heard(a) {
        (b, a)
    } else if b.heard(a) && !a.heard(b) {
        (a, b)
    } else {
        (b, a)
    };
    let mut ways = Vec::new();
    for (target, other) in [(at, from), (from, at)] {
        if let Some(endpoint) = target.node.endpoint_from(other.node) {
            ways.push(format!(
                "UDP port {} of {} (from {} it is dialled at {endpoint})",
                target.node.listen_port, target.node.name, other.node.name
            ));
        }
    }
    let help = format!(
        "let UDP through, at least one way: {}. Look at the machines' firewalls (nft list ruleset, ufw status) and at the routers between them",
        ways.join(", or ")
    );
    let failure = Failure::failed(format!("the overlay does not get through between it and {}", from.node.name)).seen(seen).help(help);
    found.fail("overlay", &at.node.name, failure);
}
