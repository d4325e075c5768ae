//! The first serving certificates: asked for by kubelets, approved on a control plane, proven through the API.

use super::approver::SERVICE;
use super::{Ctx, Step, StepId, kubelet};
use crate::cluster::Node;
use crate::want::{Guard, Want};
use std::fmt::Write as _;

/// Seconds that a kubelet gets to ask and to be answered.
const PATIENCE: u32 = 120;

/// Only on the first control plane, one for each node that has no serving certificate, or for all where all are to get another: such a node
/// makes a plan look through the API, which asks its kubelet over verified TLS. Each waits for its own node alone. Between runs the
/// approver's timer does the work.
pub(super) fn steps(ctx: &Ctx) -> Vec<Step> {
    let first = ctx.cluster.control_planes().find(|n| ctx.all.contains_key(&n.name));
    if first.is_none_or(|n| n.name != ctx.node.name) {
        return Vec::new();
    }
    let asks = |node: &&Node| ctx.all.get(&node.name).is_some_and(|facts| facts.serving.is_empty() || gets_another(ctx, node));
    ctx.cluster.nodes.iter().filter(asks).map(|node| of(ctx, node)).collect()
}

/// Whether the one that it has is not the one that it is to have.
fn gets_another(ctx: &Ctx, node: &Node) -> bool {
    ctx.new_signer().is_some() || ctx.all.get(&node.name).is_some_and(|facts| ctx.is_outlived(facts))
}

/// Where the approver is, for the kubelet of `node`.
fn of(ctx: &Ctx, node: &Node) -> Step {
    let name = &node.name;
    let guard = Guard::new(
        format!("serving:{name}"),
        format!("the API reaches {name}'s kubelet by its serving certificate"),
        ok(ctx, node),
        run(ctx, node),
    );
    // The approver's rights and the API's towards kubelets are the first objects in the API.
    let after = vec![StepId::node(name, "kubelet"), ctx.id("apiserver"), ctx.id("approver"), StepId::cluster("bootstrap")];
    Step {
        id: ctx.id(&format!("serving-{name}")),
        title: format!("serving certificate of {name}'s kubelet"),
        after,
        wants: vec![Want::Guard(guard)],
        ready: None,
        rolling: None,
        aside: true,
    }
}

/// sh that sets `why` to what keeps the API from the kubelet, or to nothing.
fn look(ctx: &Ctx, node: &Node) -> String {
    let name = &node.name;
    let mut text = format!(
        "why=$({} 2>&1) && why= || why=${{why:-no answer}}\n",
        super::apiserver::get(&format!("/api/v1/nodes/{name}/proxy/healthz"))
    );
    if gets_another(ctx, node) {
        let (shown, ours) = (kubelet::shown(&node.overlay.to_string()), kubelet::signed_by(&ctx.signers()));
        let _ = writeln!(text, "[ -n \"$why\" ] || {{ {shown} | {ours}; }} || why='it shows no certificate of the new authority'");
    }
    text
}

fn ok(ctx: &Ctx, node: &Node) -> String {
    format!(
        "{}[ -n \"$why\" ] || {{ echo 'reached'; exit 0; }}\n\
         if ! {} >/dev/null 2>&1; then echo 'there is no API yet'; exit 75; fi\necho \"not reached: $why\"\nexit 1\n",
        look(ctx, node),
        super::apiserver::get("/readyz")
    )
}

/// Whoever asks meanwhile is answered, too.
fn run(ctx: &Ctx, node: &Node) -> String {
    format!(
        "read -r up _ </proc/uptime; end=$((${{up%%.*}} + {PATIENCE}))\n\
         while :; do\nsystemctl start {SERVICE} || :\n{}[ -n \"$why\" ] || break\n\
         read -r up _ </proc/uptime\nif [ \"${{up%%.*}}\" -ge \"$end\" ]; then\n\
         echo \"not reached: $why\" >&2\njournalctl -q --no-pager -n 5 -u {SERVICE} >&2 || :\nexit 1\nfi\nsleep 0.5\ndone\necho 'reached'\n",
        look(ctx, node)
    )
}
