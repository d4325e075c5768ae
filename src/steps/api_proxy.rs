//! The way to the API inside the cluster: the distribution's haproxy on 127.0.0.1:7443, to every API server's overlay
//! address. No virtual address is needed; growing from one control plane to three changes only the servers in it.

use super::kubeconfig::CA;
use super::{Ctx, Ready, Step, overlay};
use crate::error::Result;
use crate::template::{context, render};
use crate::want::{File, Unit, Want};
use minijinja::Value;

pub(super) const UNIT: &str = "homectl-api-proxy.service";
/// Clients start after it: it ends once an API server answers, or after a while. A client that meets no API backs off,
/// by seconds and more each time, and so would come late to a cluster that starts.
pub(super) const GATE: &str = "homectl-api-wait.service";
const GATE_PROGRAM: &str = "/opt/homectl/lib/api-wait";
const CONFIG: &str = "/etc/homectl/api-proxy.cfg";

pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    let servers: Vec<Value> =
        ctx.cluster.control_planes().map(|n| context! { name => n.name.as_str(), address => n.overlay.to_string() }).collect();
    let config = render("api-proxy/api-proxy.cfg.j2", context! { servers, ca => CA })?;
    let gate = render("api-proxy/api-wait.service.j2", context! { program => GATE_PROGRAM, proxy => UNIT })?;
    let unit = render("api-proxy/api-proxy.service.j2", context! { config => CONFIG, overlay => overlay::UNIT })?;
    let wants = vec![
        Want::File(File::text(CONFIG, config).reloads(UNIT)),
        Want::File(File::text(GATE_PROGRAM, render("api-proxy/api-wait.sh.j2", context! { ca => CA })?).mode(0o755)),
        Want::File(File::text(format!("/etc/systemd/system/{GATE}"), gate)),
        Want::File(File::text(format!("/etc/systemd/system/{UNIT}"), unit).restarts(UNIT)),
        Want::Unit(Unit::running(UNIT)),
    ];
    let ready = Ready { units: vec![UNIT.into()], ..Ready::node("the API's local proxy runs", format!("systemctl is-active {UNIT}")) };
    Ok(Some(Step {
        id: ctx.id("api-proxy"),
        title: "way to the API".into(),
        after: Vec::new(),
        wants,
        ready: Some(ready),
        rolling: None,
        aside: false,
    }))
}
