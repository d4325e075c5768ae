//! Pods' interfaces: a bridge on each node with addresses of the node's range; between nodes they are routed over
//! the mesh, so there is no daemon.

use super::kubeconfig::json_pretty;
use super::{Ctx, Step, programs};
use crate::cluster::PodNetwork;
use crate::error::Result;
use crate::template::{context, render};
use crate::want::{Dir, File, Guard, Want};
use serde_json::json;

const CONFIG: &str = "/etc/cni/net.d/10-homectl.conflist";

pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    let config = Want::File(File::text(CONFIG, conflist(ctx)?).mode(0o600));
    let ours = ctx.cluster.network.cni == PodNetwork::WireGuard;
    let mut wants = programs::plugins(ctx)?;
    wants.extend([
        Want::Dir(Dir::new("/etc/cni")),
        Want::Dir(Dir::new("/etc/cni/net.d")),
        Want::Dir(Dir::new("/var/lib/cni").tree()),
        Want::Guard(
            Guard::new("cni:links", "cni0 and published ports are homectl's own", "exit 0", "exit 1")
                .undo(render("cni/links.sh.j2", context! {})?),
        ),
    ]);
    wants.extend(if ours { Some(config) } else { config.absent() });
    Ok(Some(Step { id: ctx.id("cni"), title: "pod network".into(), after: Vec::new(), wants, ready: None, rolling: None, aside: false }))
}

fn conflist(ctx: &Ctx) -> Result<String> {
    json_pretty(&json!({
        "cniVersion": "1.0.0",
        "name": "homectl",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "ipMasq": false,
                "hairpinMode": true,
                "mtu": ctx.cluster.network.mtu,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": ctx.node.pods.to_string()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": true}},
        ],
    }))
}
