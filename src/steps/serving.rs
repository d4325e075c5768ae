//! The first serving certificates: asked for by kubelets, approved on a control plane, proven through the API.

use super::approver::SERVICE;
use super::{Ctx, Step, StepId};
use crate::error::Result;
use crate::want::{Guard, Want, quote};

/// Seconds that kubelets get to ask and to be answered.
const PATIENCE: u32 = 120;

/// Only on the first control plane, and only while some node has no serving certificate: such a node makes a plan look
/// through the API, which asks its kubelet over verified TLS. Between runs the approver's timer does the work.
#[expect(clippy::unnecessary_wraps, reason = "one shape for all steps")]
pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    let first = ctx.cluster.control_planes().find(|n| ctx.all.contains_key(&n.name));
    let without: Vec<&str> = ctx.all.iter().filter(|(_, facts)| !facts.kubelet_serving).map(|(name, _)| name.as_str()).collect();
    if without.is_empty() || first.is_none_or(|n| n.name != ctx.node.name) {
        return Ok(None);
    }
    let title = format!("the API reaches the kubelet by its serving certificate: {}", without.join(", "));
    let guard = Guard::new("serving", title, ok(&without), run(&without));
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
fn look(nodes: &[&str]) -> String {
    let names: Vec<String> = nodes.iter().map(|n| quote(n)).collect();
    format!(
        "missing=\nfor n in {}; do said=$({} 2>&1) || {{ missing=\"$missing $n\"; why=$said; }}; done\n",
        names.join(" "),
        super::apiserver::get("/api/v1/nodes/$n/proxy/healthz")
    )
}

fn ok(nodes: &[&str]) -> String {
    format!(
        "if ! {} >/dev/null 2>&1; then echo 'there is no API yet'; exit 75; fi\n\
         {}if [ -n \"$missing\" ]; then echo \"not reached:$missing ($why)\"; exit 1; fi\necho 'all reached'\n",
        super::apiserver::get("/readyz"),
        look(nodes)
    )
}

fn run(nodes: &[&str]) -> String {
    format!(
        "read -r up _ </proc/uptime; end=$((${{up%%.*}} + {PATIENCE}))\n\
         while :; do\nsystemctl start {SERVICE} || :\n{}[ -n \"$missing\" ] || break\n\
         read -r up _ </proc/uptime\nif [ \"${{up%%.*}}\" -ge \"$end\" ]; then\n\
         echo \"not reached:$missing ($why)\" >&2\njournalctl -q --no-pager -n 5 -u {SERVICE} >&2 || :\nexit 1\nfi\nsleep 0.5\ndone\necho 'all reached'\n",
        look(nodes)
    )
}
