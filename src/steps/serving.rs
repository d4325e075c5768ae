//! The first serving certificates: asked for by kubelets, approved on a control plane, proven through the API.

use super::approver::SERVICE;
use super::{Ctx, Step, StepId, kubelet};
use crate::error::Result;
use crate::want::{Guard, Want, quote};
use std::fmt::Write as _;

/// Seconds that kubelets get to ask and to be answered.
const PATIENCE: u32 = 120;

/// Only on the first control plane, and only while some node has no serving certificate, or all are to get another: such a node makes a plan look
/// through the API, which asks its kubelet over verified TLS. Between runs the approver's timer does the work.
#[expect(clippy::unnecessary_wraps, reason = "one shape for all steps")]
pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    let first = ctx.cluster.control_planes().find(|n| ctx.all.contains_key(&n.name));
    let renewed = ctx.new_signer().is_some();
    let asking = ctx.all.iter().filter(|(_, facts)| renewed || !facts.kubelet_serving);
    let without: Vec<&str> = asking.map(|(name, _)| name.as_str()).collect();
    if without.is_empty() || first.is_none_or(|n| n.name != ctx.node.name) {
        return Ok(None);
    }
    let title = format!("the API reaches the kubelet by its serving certificate: {}", without.join(", "));
    let guard = Guard::new("serving", title, ok(ctx, &without), run(ctx, &without));
    // The approver's rights and the API's towards kubelets are the first objects in the API.
    let here = [ctx.id("apiserver"), ctx.id("approver"), StepId::cluster("bootstrap")];
    let after = without.iter().map(|name| StepId::node(name, "kubelet")).chain(here).collect();
    Ok(Some(Step {
        id: ctx.id("serving"),
        title: "kubelet serving certificates".into(),
        after,
        wants: vec![Want::Guard(guard)],
        ready: None,
        rolling: None,
    }))
}

/// sh that sets `missing` to the nodes whose kubelet the API does not reach yet, and `said` to the last answer.
fn look(ctx: &Ctx, nodes: &[&str]) -> String {
    let names: Vec<String> = nodes.iter().map(|n| quote(n)).collect();
    let mut text = format!(
        "missing=\nfor n in {}; do said=$({} 2>&1) || {{ missing=\"$missing $n\"; why=$said; }}; done\n",
        names.join(" "),
        super::apiserver::get("/api/v1/nodes/$n/proxy/healthz")
    );
    if let Some(signer) = ctx.new_signer() {
        for node in nodes.iter().filter_map(|name| ctx.cluster.node(name)) {
            let (name, shown) = (quote(&node.name), kubelet::shown(&node.overlay.to_string()));
            let _ = writeln!(
                text,
                "{shown} | {} || {{ missing=\"$missing \"{name}; why='shows no certificate of the new authority'; }}",
                kubelet::signed_by(&signer)
            );
        }
    }
    text
}

fn ok(ctx: &Ctx, nodes: &[&str]) -> String {
    format!(
        "if ! {} >/dev/null 2>&1; then echo 'there is no API yet'; exit 75; fi\n\
         {}if [ -n \"$missing\" ]; then echo \"not reached:$missing ($why)\"; exit 1; fi\necho 'all reached'\n",
        super::apiserver::get("/readyz"),
        look(ctx, nodes)
    )
}

fn run(ctx: &Ctx, nodes: &[&str]) -> String {
    format!(
        "read -r up _ </proc/uptime; end=$((${{up%%.*}} + {PATIENCE}))\n\
         while :; do\nsystemctl start {SERVICE} || :\n{}[ -n \"$missing\" ] || break\n\
         read -r up _ </proc/uptime\nif [ \"${{up%%.*}}\" -ge \"$end\" ]; then\n\
         echo \"not reached:$missing ($why)\" >&2\njournalctl -q --no-pager -n 5 -u {SERVICE} >&2 || :\nexit 1\nfi\nsleep 0.5\ndone\necho 'all reached'\n",
        look(ctx, nodes)
    )
}
