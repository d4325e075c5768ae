//! homectl's own packet filter table: pods' way out is masqueraded, and the cluster's ports and ranges are closed to
//! everybody but the node itself, the overlay and the pods. Nobody else's table is touched.

use super::{Ctx, Step};
use crate::cluster::PodNetwork;
use crate::error::Result;
use crate::template::{context, render};
use crate::want::{File, Guard, Unit, Want};

pub(super) const UNIT: &str = "homectl-firewall.service";
const PROGRAM: &str = "/opt/homectl/lib/firewall";

/// kubelet, kube-proxy, kube-router and the API's proxy. Most listen on loopback or the overlay only: this is the second lock.
const NODE_PORTS: [u16; 6] = [7443, 10248, 10249, 10250, 10256, 20244];
/// etcd, controller manager, scheduler.
const CONTROL_PLANE_PORTS: [u16; 5] = [2379, 2380, 2381, 10257, 10259];

pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    let wants = vec![
        Want::File(File::text("/etc/homectl/firewall.nft", rules(ctx)?).mode(0o600).reloads(UNIT)),
        Want::File(File::text(PROGRAM, render("firewall/firewall.sh.j2", context! {})?).mode(0o755)),
        Want::Guard(Guard::new("firewall:table", "the table inet homectl is homectl's own", "exit 0", "exit 1").undo(undo())),
        Want::File(
            File::text(format!("/etc/systemd/system/{UNIT}"), render("firewall/firewall.service.j2", context! { program => PROGRAM })?)
                .restarts(UNIT),
        ),
        Want::Unit(Unit::running(UNIT)),
        Want::Guard(Guard::new("firewall:homectl", "the table is as it was loaded", ok(), format!("{PROGRAM} load\n"))),
    ];
    Ok(Some(Step {
        id: ctx.id("firewall"),
        title: "packet filter".into(),
        after: Vec::new(),
        wants,
        ready: None,
        rolling: None,
        aside: false,
    }))
}

fn rules(ctx: &Ctx) -> Result<String> {
    let mut ports = NODE_PORTS.to_vec();
    if ctx.node.is_control_plane() {
        ports.extend(CONTROL_PLANE_PORTS);
        if !ctx.cluster.api.lan {
            ports.push(6443);
        }
    }
    ports.sort_unstable();
    let network = &ctx.cluster.network;
    let ours = network.cni == PodNetwork::WireGuard;
    let values = context! {
        overlay => network.overlay.to_string(), pods => network.pods.to_string(), services => network.services.to_string(), ports, ours,
    };
    render("firewall/homectl.nft.j2", values)
}

/// A host's own firewall may drop what ours lets through: each table has the right to.
pub(super) fn warnings(ctx: &Ctx) -> Vec<String> {
    let (node, port) = (&ctx.node.name, ctx.node.listen_port);
    let api = ctx.node.is_control_plane() && ctx.cluster.api.lan;
    let (ufw_api, firewalld_api) = if api { ("ufw allow 6443/tcp; ", " --add-port=6443/tcp") } else { ("", "") };
    let remedy = |firewall: &str| match firewall {
        "ufw" => format!(
            "{ufw_api}ufw allow {port}/udp; ufw allow in on wg0; ufw allow in on cni0; ufw route allow in on wg0; ufw route allow in on cni0"
        ),
        _ => format!(
            "firewall-cmd --permanent --add-port={port}/udp{firewalld_api}; firewall-cmd --permanent --zone=trusted --add-interface=wg0 --add-interface=cni0; firewall-cmd --reload"
        ),
    };
    let warn = |firewall: &String| {
        format!("{node}: {firewall} is active and may drop the overlay's and pods' packets; let them in: {}", remedy(firewall))
    };
    ctx.facts.firewalls.iter().map(warn).collect()
}

/// Truth about the live table: flushed, edited or never loaded is seen.
fn ok() -> String {
    format!(
        "command -v nft >/dev/null || {{ echo 'nft is not installed yet'; exit 75; }}\n\
         [ -x {PROGRAM} ] && [ -e /etc/homectl/firewall.nft ] || {{ echo 'the table is not written yet'; exit 75; }}\n\
         {PROGRAM} check\n"
    )
}

fn undo() -> String {
    format!("[ ! -x {PROGRAM} ] || {PROGRAM} unload\n")
}
