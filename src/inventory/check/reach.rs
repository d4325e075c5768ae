//! Whether every node's WireGuard can find every other's: endpoints, sites, NAT.

use super::super::model::Machine;
use super::super::names;
use super::super::problem::Sink;
use super::super::raw::Node;
use super::extras::only_local;
use super::nodes::unique;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

pub(super) fn check(raw: &[Node], machines: &[Machine], sink: &mut Sink) {
    let both: Vec<(&Node, &Machine)> = raw.iter().zip(machines).collect();
    // Two nodes with one address were told already.
    let mut logins = BTreeSet::new();
    let apart = both.iter().filter(|(_, m)| logins.insert(m.ssh.with_port(m.ssh.port).to_lowercase()));
    let dialled = apart.filter_map(|(n, m)| Some((m.endpoint.as_ref()?.to_lowercase(), place(n))));
    unique(
        "nodes would be dialled at the same endpoint",
        "give them different `listen-port`s, and forward each on the router",
        dialled,
        sink,
    );
    loopback(&both, sink);
    sites(&both, sink);
}

/// Where a node's endpoint comes from in the file.
fn place(node: &Node) -> Range<usize> {
    let keys = [&node.endpoint, &node.address];
    keys.into_iter().flatten().next().map_or_else(|| node.span.clone(), toml::Spanned::span)
}

/// An address that means "this machine" on every machine.
fn loopback(both: &[(&Node, &Machine)], sink: &mut Sink) {
    if both.len() < 2 {
        return;
    }
    for (node, machine) in both {
        let host = machine.endpoint.as_ref().and_then(|e| names::host_port(e)).map_or("", |(host, _)| host);
        if host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|a| a.is_loopback()) {
            sink.error(&place(node), format!("other nodes cannot reach `{}` at {host}", machine.name))
                .help("set `endpoint` to where they find its WireGuard, or behind-nat = true");
        }
    }
}

fn sites(both: &[(&Node, &Machine)], sink: &mut Sink) {
    let mut by_site: BTreeMap<Option<&str>, Vec<&(&Node, &Machine)>> = BTreeMap::new();
    for pair in both {
        by_site.entry(pair.1.site.as_deref()).or_default().push(pair);
    }
    if by_site.len() < 2 {
        return;
    }
    let mut hidden = both.iter().filter(|(_, m)| m.endpoint.is_none());
    if both.iter().all(|(_, m)| m.endpoint.is_none()) {
        let (Some((a, one)), Some((b, other))) = (hidden.next(), both.iter().find(|(_, m)| m.site != both[0].1.site)) else { return };
        sink.error(
            &nat(b),
            format!("`{}` and `{}` are both behind NAT in different sites: neither can dial the other", one.name, other.name),
        )
        .also(&nat(a), "the other end")
        .help("forward a UDP port on one of the routers and say so with `endpoint = \"NAME:51820\"` on that node");
        return;
    }
    if let Some((a, one)) = hidden.next()
        && let Some((b, other)) = hidden.find(|(_, m)| m.site != one.site)
    {
        sink.warn(&nat(b), format!("`{}` and `{}` have no direct way to each other: both are behind NAT", one.name, other.name))
            .also(&nat(a), "the other end")
            .help("they reach the nodes that have an endpoint; an `endpoint` on one of the two joins them as well");
    }
    lost_site(both, &by_site, sink);
}

/// A site whose nodes can neither dial another site nor be dialled, as far as addresses tell.
fn lost_site(both: &[(&Node, &Machine)], by_site: &BTreeMap<Option<&str>, Vec<&(&Node, &Machine)>>, sink: &mut Sink) {
    let open = |m: &Machine| m.endpoint.as_ref().is_some_and(|e| names::host_port(e).is_some_and(|(h, _)| !only_local(h)));
    if both.iter().any(|(_, m)| open(m)) {
        return;
    }
    // Best told at a node that has to dial out; it finds only private addresses.
    let Some((node, machine)) = both.iter().find(|(_, m)| m.endpoint.is_none()).or_else(|| by_site.values().last()?.first().copied())
    else {
        return;
    };
    let seen = both.iter().find(|(_, m)| m.site != machine.site && m.endpoint.is_some());
    let evidence = seen.map_or_else(String::new, |(_, m)| format!(": `{}` has only the private address {}", m.name, m.ssh.address));
    sink.warn(&nat(node), format!("`{}` finds no node of another site{evidence}", machine.name))
        .help("where no network of yours joins the sites, set `endpoint` on a node that the internet reaches");
}

/// Where it says that a node is behind NAT, or the node.
fn nat(node: &Node) -> Range<usize> {
    node.behind_nat.as_ref().map_or_else(|| node.span.clone(), toml::Spanned::span)
}
