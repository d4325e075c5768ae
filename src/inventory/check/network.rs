//! Address ranges: well formed, large enough, apart from each other and from the machines' own addresses.

use super::super::model::{self, DEFAULT_MTU, Network, PodNetwork, Policy};
use super::super::names;
use super::super::problem::Sink;
use super::super::raw;
use super::super::raw::At;
use super::extras::choice;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::ops::Range;

/// One of the three ranges. `at` is empty where the default holds.
pub(super) struct Block {
    name: &'static str,
    net: Ipv4Net,
    at: Option<Range<usize>>,
}

impl Block {
    fn told(&self) -> String {
        format!("`{}` {}{}", self.name, self.net, if self.at.is_some() { "" } else { " (the default)" })
    }
}

const OVERLAY: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 77, 0, 0), 24);
const PODS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 78, 0, 0), 16);
const SERVICES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 79, 0, 0), 16);

/// The three ranges; `None` in place of one that could not be read, so that nothing is said about it twice.
pub(super) fn ranges(raw: &raw::Network, sink: &mut Sink) -> [Option<Block>; 3] {
    [
        block("overlay", raw.overlay.as_ref(), OVERLAY, sink),
        block("pods", raw.pods.as_ref(), PODS, sink),
        block("services", raw.services.as_ref(), SERVICES, sink),
    ]
}

fn block(name: &'static str, given: Option<&At<String>>, default: Ipv4Net, sink: &mut Sink) -> Option<Block> {
    let Some(at) = given else { return Some(Block { name, net: default, at: None }) };
    let (text, span) = (at.get_ref().trim(), at.span());
    if text.contains(':') {
        sink.error(&span, format!("`{name}` is IPv6: only IPv4 is supported so far")).help(format!("write {name} = \"{default}\""));
        return None;
    }
    let Ok(net) = text.parse::<Ipv4Net>() else {
        let problem = sink.error(&span, format!("`{text}` is not an address range"));
        let bare = text.parse::<Ipv4Addr>().is_ok();
        problem.help(if bare {
            format!("add its length: \"{text}/{}\"", default.prefix_len())
        } else {
            format!("write it as \"{default}\"")
        });
        return None;
    };
    if net.trunc() != net {
        sink.error(&span, format!("`{name}` {net} has bits set beyond its length")).help(format!("write \"{}\"", net.trunc()));
    }
    let net = net.trunc();
    if let Some(why) = unusable(net) {
        sink.error(&span, format!("`{name}` {net} cannot be used: {why}"))
            .help("take a part of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16");
        return None;
    }
    if !is_private(net) {
        sink.warn(&span, format!("`{name}` {net} is not a private range"))
            .help("hosts in the internet with such addresses become unreachable");
    }
    Some(Block { name, net, at: Some(span) })
}

/// Ranges that no kernel routes, or that cover all of them.
fn unusable(net: Ipv4Net) -> Option<&'static str> {
    let taken: [(Ipv4Net, &str); 4] = [
        (Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 8), "0.0.0.0/8 is no network"),
        (Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8), "127.0.0.0/8 never leaves a machine"),
        (Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16), "169.254.0.0/16 is link-local"),
        (Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 3), "from 224.0.0.0 on addresses are multicast or reserved"),
    ];
    if net.prefix_len() < 8 {
        return Some("it is larger than a /8");
    }
    taken.iter().find(|(t, _)| overlap(*t, net)).map(|(_, why)| *why)
}

fn is_private(net: Ipv4Net) -> bool {
    let private = [
        Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
        Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
        Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
        Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
        Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15),
    ];
    private.iter().any(|p| p.contains(&net))
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}

pub(super) fn check(raw: &raw::Network, ranges: &[Option<Block>; 3], nodes: usize, sink: &mut Sink) -> Network {
    apart(ranges, sink);
    sizes(ranges, nodes, sink);
    let cni =
        raw.cni.as_ref().and_then(|c| choice("cni", c, &[("wireguard", PodNetwork::WireGuard), ("none", PodNetwork::None)], &[], sink));
    let policies = [("kube-router", Policy::KubeRouter), ("none", Policy::None)];
    let policy = raw.policy.as_ref().and_then(|p| choice("policy", p, &policies, &[], sink));
    if let Some(at) = raw.domain.as_ref().filter(|d| !names::is_subdomain(d.get_ref())) {
        sink.error(&at.span(), format!("`{}` is not a DNS domain", at.get_ref()))
            .help("lower-case labels with dots between, as in \"cluster.local\"");
    }
    let net = |i: usize, default| ranges[i].as_ref().map_or(default, |b: &Block| b.net);
    Network {
        overlay: net(0, OVERLAY),
        pods: net(1, PODS),
        services: net(2, SERVICES),
        cni: cni.unwrap_or(PodNetwork::WireGuard),
        policy: policy.unwrap_or(Policy::KubeRouter),
        domain: raw.domain.as_ref().map_or_else(|| "cluster.local".to_owned(), |d| d.get_ref().clone()),
        mtu: raw.mtu.as_ref().map_or(DEFAULT_MTU, |m| *m.get_ref()),
    }
}

fn apart(ranges: &[Option<Block>; 3], sink: &mut Sink) {
    let known: Vec<&Block> = ranges.iter().flatten().collect();
    for (i, a) in known.iter().enumerate() {
        for b in known.iter().skip(i + 1).filter(|b| overlap(a.net, b.net)) {
            let how = if a.net == b.net {
                format!("{} is also {}", a.told(), b.told())
            } else if a.net.contains(&b.net) {
                format!("{} contains {}", a.told(), b.told())
            } else {
                format!("{} lies inside {}", a.told(), b.told())
            };
            // Defaults lie apart: one of the two was written.
            let Some(here) = b.at.as_ref().or(a.at.as_ref()) else { continue };
            let problem = sink.error(here, how);
            if let (Some(first), Some(_)) = (&a.at, &b.at) {
                problem.also(first, "the other range");
            }
            problem.help("give overlay, pods and services ranges of their own");
        }
    }
}

fn sizes(ranges: &[Option<Block>; 3], nodes: usize, sink: &mut Sink) {
    let plural = |n: usize| if n == 1 { "1 node".to_owned() } else { format!("{n} nodes") };
    let default_at = ranges.iter().flatten().find_map(|b| b.at.clone());
    if let Some(b) = &ranges[0] {
        let room = usize::from(model::overlay_capacity(b.net));
        if room < nodes {
            let help = format!("a node's address is its number in the range: \"{}\" holds {}", wider(b.net, 24), plural(254));
            at_or_file(
                b.at.as_ref().or(default_at.as_ref()),
                format!("{} holds {}, the inventory has {nodes}", b.told(), plural(room)),
                help,
                sink,
            );
        }
    }
    if let Some(b) = &ranges[1] {
        let room = usize::from(model::pods_capacity(b.net));
        if room < nodes.max(1) {
            let help = format!("every node takes a /24, the first one stays free: \"{}\" holds {}", wider(b.net, 16), plural(255));
            at_or_file(b.at.as_ref(), format!("{} has room for {}, the inventory has {nodes}", b.told(), plural(room)), help, sink);
        }
    }
    if let Some(b) = &ranges[2]
        && !(12..=24).contains(&b.net.prefix_len())
    {
        let what = if b.net.prefix_len() > 24 { "too small" } else { "too large for the API server" };
        let help = format!("between /12 and /24, as in \"{}\"", wider(b.net, 16));
        at_or_file(b.at.as_ref(), format!("{} is {what}", b.told()), help, sink);
    }
}

/// The range of length `len` around (or at the start of) a range.
fn wider(net: Ipv4Net, len: u8) -> Ipv4Net {
    Ipv4Net::new(net.network(), len).map_or(net, |n| n.trunc())
}

fn at_or_file(at: Option<&Range<usize>>, message: String, help: String, sink: &mut Sink) {
    match at {
        Some(at) => sink.error(at, message),
        None => sink.error_anywhere(message),
    }
    .help(help);
}

/// No machine's own address, nor the address its peers dial, may lie in a range of the cluster.
pub(super) fn addresses(nodes: &[raw::Node], ranges: &[Option<Block>; 3], sink: &mut Sink) {
    for node in nodes {
        let dialled = node.endpoint.as_ref().and_then(|e| Some((e.span(), names::host_port(e.get_ref())?.0.parse::<Ipv4Addr>().ok()?)));
        let own = node.address.as_ref().and_then(|a| Some((a.span(), a.get_ref().parse::<Ipv4Addr>().ok()?)));
        for (span, address) in [own, dialled].into_iter().flatten() {
            for range in ranges.iter().flatten().filter(|b| b.net.contains(&address)) {
                let problem = sink.error(&span, format!("{address} lies inside {}", range.told()));
                if let Some(at) = &range.at {
                    problem.also(at, "the range");
                }
                problem
                    .help(format!("this is how the machine is reached before the cluster exists; take another range for `{}`", range.name));
            }
        }
    }
}
