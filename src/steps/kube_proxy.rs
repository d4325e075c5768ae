//! kube-proxy in nftables mode, with the node's own certificate.

use super::kubeconfig::{self, yaml};
use super::{Ctx, Ready, Step, api_proxy, firewall, overlay, programs};
use crate::cluster::Component;
use crate::error::Result;
use crate::template::{context, render};
use crate::want::{Dir, File, Guard, Unit, Want};
use serde_json::json;

pub(super) const UNIT: &str = "kube-proxy.service";
const CONFIG: &str = "/var/lib/kube-proxy/config.yaml";
const KUBECONFIG: &str = "/etc/kubernetes/kube-proxy.conf";

pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    let mut wants = vec![
        Want::Dir(Dir::new("/var/lib/kube-proxy").mode(0o700).tree()),
        Want::Guard(
            Guard::new("kube-proxy:tables", "its tables go with it", "exit 0", "exit 1")
                .undo(render("kube-proxy/tables.sh.j2", context! {})?),
        ),
    ];
    wants.extend(programs::links(ctx, Component::KubeProxy)?);
    wants.extend([
        Want::File(
            File::text(KUBECONFIG, kubeconfig::node(&ctx.cluster.name, "kube-proxy", ctx.cluster.local_api())?).mode(0o600).restarts(UNIT),
        ),
        Want::File(File::text(CONFIG, configuration(ctx)?).mode(0o600).restarts(UNIT)),
        Want::File(File::text(format!("/etc/systemd/system/{UNIT}"), unit()?).restarts(UNIT)),
        Want::Unit(Unit::running(UNIT)),
    ]);
    let test =
        format!("systemctl is-active {UNIT} && {{ nft list table ip kube-proxy >/dev/null 2>&1 || {{ echo 'no table yet'; exit 1; }}; }}");
    let ready = Ready { units: vec![UNIT.into()], through: ctx.api_servers(), ..Ready::node("kube-proxy has written its table", test) };
    Ok(Some(Step {
        id: ctx.id("kube-proxy"),
        title: "service addresses".into(),
        after: Vec::new(),
        wants,
        ready: Some(ready),
        rolling: None,
        aside: false,
    }))
}

fn configuration(ctx: &Ctx) -> Result<String> {
    let mut config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": KUBECONFIG},
        "hostnameOverride": ctx.node.name,
        "clusterCIDR": ctx.cluster.network.pods.to_string(),
        "detectLocalMode": "ClusterCIDR",
        "metricsBindAddress": "127.0.0.1:10249",
        "healthzBindAddress": "127.0.0.1:10256",
        // Published ports answer on the LAN too, whatever address the machine has there today.
        "nodePortAddresses": ["0.0.0.0/0"],
    });
    if !ctx.facts.conntrack_writable {
        // The table of connections belongs to the machine's host: left as it is.
        config["conntrack"] = json!({"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"});
    }
    Ok(format!("# Managed by homectl.\n{}", yaml(&config)?))
}

fn unit() -> Result<String> {
    let after = [overlay::UNIT, firewall::UNIT, api_proxy::UNIT, api_proxy::GATE].join(" ");
    render("kube-proxy/kube-proxy.service.j2", context! { bin => programs::BIN, config => CONFIG, after })
}
