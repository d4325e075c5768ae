//! The ordered list of one node's steps.
//!
//! Steps of a node run in this order without waiting for each other's readiness: systemd's ordering and
//! `Restart=always` do the rest, so that on a fresh machine everything starts at once. A step holds everything that
//! one service needs: its files, the links to its programs ([`super::programs::links`]), its unit last. Reset walks
//! the same list backwards, so what a step's last want needs must be in an earlier want or step.

use super::{Ctx, Step};
use super::{
    api_proxy, apiserver, approver, base, came_up, cni, controller_manager, etcd, etcd_cluster, firewall, hostname, kube_proxy,
    kube_router, kubelet, overlay, packages, pki, programs, renewal, restore, rewrite, runtime, scheduler, serving, snapshots,
};
use crate::error::Result;

type Make = fn(&Ctx) -> Result<Option<Step>>;

/// What makes a node, first to last. Steps of a control plane are nothing on a worker.
const STEPS: [Make; 24] = [
    base::step,
    hostname::step,
    packages::step,
    programs::step,
    overlay::step,
    firewall::step,
    api_proxy::step,
    pki::step,
    restore::step,
    etcd::step,
    apiserver::step,
    controller_manager::step,
    scheduler::step,
    runtime::step,
    cni::step,
    kubelet::step,
    kube_proxy::step,
    kube_router::step,
    renewal::step,
    approver::step,
    snapshots::step,
    etcd_cluster::step,
    rewrite::step,
    came_up::step,
];

/// The steps of one node, in order; last those that stand aside.
///
/// # Errors
/// The first step that cannot be made: a program that the lock lacks, a secret that is missing.
pub fn node(ctx: &Ctx) -> Result<Vec<Step>> {
    let mut all: Vec<Step> =
        STEPS.iter().filter_map(|make| make(ctx).transpose()).collect::<Result<_>>().map_err(|e| e.on(&ctx.node.name))?;
    all.extend(serving::steps(ctx));
    Ok(all)
}

/// What a person should know about the machine, though nothing has to change.
#[must_use]
pub fn warnings(ctx: &Ctx) -> Vec<String> {
    [runtime::warnings(ctx), kubelet::warnings(ctx), base::warnings(ctx), firewall::warnings(ctx)].concat()
}
