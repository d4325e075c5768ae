//! A CA and leaves of it, made on the spot.

use homectl::pki::{Ca, LeafSpec, Usage, issue, make_authority};
use homectl::secrets::{Authority, Pair};

/// Names and groups of a leaf.
#[derive(Default)]
pub(crate) struct Leaf<'a> {
    pub(crate) name: &'a str,
    pub(crate) group: &'a str,
    pub(crate) dns: &'a [&'a str],
    pub(crate) ips: &'a [&'a str],
    pub(crate) server: bool,
}

pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A new CA.
pub(crate) fn authority(name: &str) -> Authority {
    make_authority(name, now()).unwrap()
}

/// A leaf of `ca`.
pub(crate) fn leaf(ca: &Authority, leaf: &Leaf) -> Pair {
    let spec = LeafSpec {
        ca: Ca::Cluster,
        common_name: leaf.name.into(),
        organizations: [leaf.group].iter().filter(|g| !g.is_empty()).map(|g| (*g).to_owned()).collect(),
        dns: leaf.dns.iter().map(|n| (*n).to_owned()).collect(),
        ips: leaf.ips.iter().map(|i| i.parse().unwrap()).collect(),
        usage: if leaf.server { Usage::Server } else { Usage::Client },
    };
    issue(ca, &spec, now()).unwrap()
}
