//! The way to the API inside the cluster: the distribution's haproxy on 127.0.0.1:7443, to every API server's overlay
//! address. No virtual address is needed; growing from one control plane to three changes only the servers in it.

use super::kubeconfig::CA;
use super::{Ctx, Ready, Step, overlay};
use crate::error::Result;
use crate::template::{context, render};
use crate::want::{File, Unit, Want};
use minijinja::Value;

pub(super) const UNIT: &str = "homectl-api-proxy.service";
const CONFIG: &str = "/etc/homectl/api-proxy.cfg";

pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    let servers: Vec<Value> =
        ctx.cluster.control_planes().map(|n| context! { name => n.name.as_str(), address => n.overlay.to_string() }).collect();
    let config = render("api-proxy/api-proxy.cfg.j2", context! { servers, ca => CA })?;
    let unit = render("api-proxy/api-proxy.service.j2", context! { config => CONFIG, overlay => overlay::UNIT })?;
    let wants = vec![
        Want::File(File::text(CONFIG, config).reloads(UNIT)),
        Want::File(File::text(format!("/etc/systemd/system/{UNIT}"), unit).restarts(UNIT)),
        Want::Unit(Unit::running(UNIT)),
    ];
    let ready = Ready { units: vec![UNIT.into()], ..Ready::node("the API's local proxy runs", format!("systemctl is-active {UNIT}")) };
    Ok(Some(Step { id: ctx.id("api-proxy"), title: "way to the API".into(), after: Vec::new(), wants, ready: Some(ready), rolling: None }))
}
