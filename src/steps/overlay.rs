//! The WireGuard mesh: `wg0`, whose address is the node's identity.
//!
//! Peers change by `wg syncconf` and `ip route replace`; nothing here takes the link down. The private key is in no
//! configuration file: a program joins the two in a pipe.

use super::{Ctx, Step};
use crate::cluster::PodNetwork;
use crate::error::{Failure, Result};
use crate::facts::WireGuard;
use crate::secrets::SecretText;
use crate::template::{context, render};
use crate::want::{Dir, File, Guard, Unit, Want};
use minijinja::Value;
use std::net::{Ipv4Addr, SocketAddr};

pub(super) const UNIT: &str = "homectl-overlay.service";
const ENDPOINTS: &str = "homectl-overlay-endpoints";
const PROGRAM: &str = "/opt/homectl/lib/overlay";

pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    let peers = peers(ctx)?;
    let named = peers.iter().any(|p| p.endpoint.as_deref().is_some_and(is_name));
    let key = ctx.secrets.wireguard.get(&ctx.node.name).ok_or_else(|| keyless(&ctx.node.name))?;
    let mut wants = vec![
        Want::Dir(Dir::new("/etc/homectl/overlay").mode(0o700)),
        Want::File(File::secret("/etc/homectl/overlay/private.key", terminated(&key.private)).reloads(UNIT)),
        Want::File(File::text("/etc/homectl/overlay/link", link(ctx, &peers)?).mode(0o600).reloads(UNIT)),
        Want::File(File::text("/etc/homectl/overlay/wg0.conf", configuration(ctx, &peers)?).mode(0o600).reloads(UNIT)),
        Want::File(File::text(PROGRAM, render("overlay/overlay.sh.j2", context! {})?).mode(0o755)),
        Want::Guard(leftovers()),
        Want::File(File::text(format!("/etc/systemd/system/{UNIT}"), unit(ctx)?).restarts(UNIT)),
        Want::Unit(Unit::running(UNIT)),
    ];
    wants.extend(endpoints(named)?);
    wants.push(Want::Guard(runtime()));
    Ok(Some(Step {
        id: ctx.id("overlay"),
        title: "WireGuard overlay".into(),
        after: Vec::new(),
        wants,
        ready: None,
        rolling: None,
        aside: false,
    }))
}

/// One line of the mesh as this node sees it.
struct Peer<'a> {
    name: &'a str,
    key: &'a str,
    endpoint: Option<String>,
    overlay: Ipv4Addr,
    /// Its pods are behind it, unless somebody else connects pods.
    pods: Option<String>,
}

fn peers<'a>(ctx: &'a Ctx) -> Result<Vec<Peer<'a>>> {
    let others = ctx.cluster.nodes.iter().filter(|n| n.name != ctx.node.name);
    others
        .map(|node| {
            let key = ctx.secrets.wireguard.get(&node.name).ok_or_else(|| keyless(&node.name))?;
            let pods = (ctx.cluster.network.cni == PodNetwork::WireGuard).then(|| node.pods.to_string());
            Ok(Peer { name: &node.name, key: &key.public, endpoint: node.endpoint_from(ctx.node), overlay: node.overlay, pods })
        })
        .collect()
}

/// Whether an endpoint has to be looked up.
fn is_name(endpoint: &str) -> bool {
    endpoint.parse::<SocketAddr>().is_err()
}

fn configuration(ctx: &Ctx, peers: &[Peer]) -> Result<String> {
    let peers: Vec<Value> = peers
        .iter()
        .map(|p| {
            let behind = p.pods.as_ref().map(|pods| format!(",{pods}")).unwrap_or_default();
            context! { name => p.name, key => p.key, allowed => format!("{}/32{behind}", p.overlay), endpoint => p.endpoint.as_deref() }
        })
        .collect();
    render("overlay/wg0.conf.j2", context! { port => ctx.node.listen_port, peers })
}

/// What the program needs besides WireGuard's own configuration.
fn link(ctx: &Ctx, peers: &[Peer]) -> Result<String> {
    let routes: Vec<String> = peers.iter().filter_map(|p| p.pods.clone()).collect();
    let address = format!("{}/{}", ctx.node.overlay, ctx.cluster.network.overlay.prefix_len());
    let driver = if ctx.facts.wireguard == WireGuard::Kernel { "kernel" } else { "wireguard-go" };
    render("overlay/link.j2", context! { address, routes, driver, mtu => ctx.cluster.network.mtu })
}

fn unit(ctx: &Ctx) -> Result<String> {
    render("overlay/overlay.service.j2", context! { program => PROGRAM, userspace => ctx.facts.wireguard == WireGuard::UserSpace })
}

/// Endpoints that are names are looked up again while nothing is heard from there.
fn endpoints(named: bool) -> Result<Vec<Want>> {
    let service = render("overlay/endpoints.service.j2", context! { program => PROGRAM, overlay => UNIT })?;
    let timer = render("overlay/endpoints.timer.j2", context! {})?;
    let wants = [
        Want::File(File::text(format!("/etc/systemd/system/{ENDPOINTS}.service"), service)),
        Want::File(File::text(format!("/etc/systemd/system/{ENDPOINTS}.timer"), timer).restarts(format!("{ENDPOINTS}.timer"))),
        Want::Unit(Unit::running(format!("{ENDPOINTS}.timer"))),
    ];
    // The unit is stopped before its file goes.
    if named { Ok(wants.into()) } else { Ok(wants.iter().rev().filter_map(Want::absent).collect()) }
}

/// Truth about the running link. What is there decides, not what was once written.
fn runtime() -> Guard {
    let ok = format!(
        "command -v wg >/dev/null || {{ echo 'wg is not installed yet'; exit 75; }}\n\
         [ -x {PROGRAM} ] && [ -e /etc/homectl/overlay/link ] || {{ echo 'the overlay is not set up yet'; exit 75; }}\n\
         {PROGRAM} check\n"
    );
    Guard::new("wireguard:wg0", "link, addresses, peers and routes are as configured", ok, format!("{PROGRAM} sync\n{PROGRAM} check\n"))
}

/// Runs in a reset after the unit is gone and before the program is.
fn leftovers() -> Guard {
    let undo = format!("[ ! -x {PROGRAM} ] || {PROGRAM} down\n");
    Guard::new("wireguard:link", "wg0 is homectl's own", "exit 0", "exit 1").undo(undo)
}

/// A text file ends with a line end.
fn terminated(key: &SecretText) -> SecretText {
    SecretText::new(format!("{}\n", key.expose().trim_end()))
}

fn keyless(node: &str) -> Failure {
    Failure::bug(format!("the secrets hold no WireGuard key of {node}"))
}
