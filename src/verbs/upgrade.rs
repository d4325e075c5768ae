//! `upgrade`: the version in the TOML moves, then it is an apply at an upgrade's pace. A node that does not come back is put
//! back to what it ran before; the others stay as they are.

use super::apply::{self, Done};
use super::kept::Kept;
use super::rollback;
use super::rollout::Pace;
use super::world;
use crate::cli::{Global, Upgrade};
use crate::cluster::Lock;
use crate::error::{Failure, Result, exit};
use crate::exec::{BLOCKED, FailedStep, LOST};
use crate::inventory::Edit;
use crate::plan;
use crate::report::Reporter;
use crate::steps::Lane;
use std::collections::BTreeMap;
use std::path::Path;

/// `homectl upgrade`.
pub(super) async fn run(args: &Upgrade, global: &Global, out: &Reporter) -> Result<u8> {
    if !global.limit.is_empty() {
        return Err(Failure::new(exit::USAGE, "an upgrade is the whole cluster's")
            .help("leave --limit out; --max-unavailable says how many workers may be away at a time"));
    }
    let path = &args.target.inventory;
    let kept = Kept::of([path.clone(), Lock::path(path)])?;
    let before = world::read(path, out)?;
    let mut edit = Edit::open(path)?;
    edit.set_kubernetes(&args.to)?;
    let wanted = edit.inventory()?;
    if let Some(mut lock) = Lock::load(&Lock::path(path))? {
        // Refused before anything is written, or asked of anybody.
        lock.depart(&wanted)?;
    }
    if edit.save()? {
        out.talk(&format!("{}: kubernetes = \"{}\" (it was {}).", path.display(), args.to, before.kubernetes));
    }
    let pace = Pace { at_once: usize::from(args.max_unavailable), ..Pace::default() };
    let done = Box::pin(apply::converge(path, None, global, pace, out)).await?;
    kept.settle();
    if done.code != exit::FAILED {
        return Ok(done.code);
    }
    put_back(path, &done, global, out).await;
    Ok(done.code)
}

/// The nodes that did not come up with the new version go back to the one before.
async fn put_back(path: &Path, done: &Done, global: &Global, out: &Reporter) {
    for (node, servers) in stranded(&done.failed) {
        out.talk(&format!("{node} did not come up with the new version; it is put back to what it ran before."));
        let back = Global { yes: true, ..global.clone() };
        if let Err(failure) = Box::pin(rollback::node(path, &node, servers, &back, out)).await {
            out.talk(&format!("{node} could not be put back: {failure}"));
            let servers = if servers { " --servers" } else { "" };
            out.talk(&format!("Once its machine answers: homectl rollback {} --node {node}{servers}", path.display()));
        }
    }
    out.talk("The others stay as they are. When the cause is mended, the same command goes on with the upgrade.");
}

/// Nodes on which a program of the new release did not come up, and whether it was one of a control plane's own services. A machine
/// that was lost, or on which nothing was begun, has not shown that.
fn stranded(failed: &[FailedStep]) -> BTreeMap<String, bool> {
    let mut nodes = BTreeMap::new();
    for step in failed.iter().filter(|f| f.what != LOST && !f.what.starts_with(BLOCKED)) {
        match &step.lane {
            Lane::Node(node) => {
                if let Some(own) = plan::runs_release(&step.name) {
                    *nodes.entry(node.clone()).or_insert(false) |= own;
                }
            }
            Lane::Cluster => {
                if let Some(node) = step.name.strip_prefix("uncordon-") {
                    nodes.entry(node.to_owned()).or_insert(false);
                }
            }
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(lane: Lane, name: &str) -> FailedStep {
        FailedStep { lane, name: name.into(), step: String::new(), what: String::new(), evidence: Vec::new(), help: String::new() }
    }

    #[test]
    fn who_is_put_back() {
        let lost = FailedStep { what: LOST.into(), ..failed(Lane::Node("loft".into()), "kubelet") };
        let blocked = FailedStep { what: format!("{BLOCKED}x"), ..failed(Lane::Node("barn".into()), "kubelet") };
        let all = [
            failed(Lane::Node("garage".into()), "kubelet"),
            failed(Lane::Node("garage".into()), "kube-proxy"),
            failed(Lane::Node("cellar".into()), "apiserver"),
            failed(Lane::Node("hall".into()), "packages"),
            failed(Lane::Cluster, "uncordon-attic"),
            failed(Lane::Cluster, "drain-shed"),
            failed(Lane::Cluster, "coredns"),
            lost,
            blocked,
        ];
        let expected = [("attic", false), ("cellar", true), ("garage", false)].map(|(node, servers)| (node.to_owned(), servers));
        assert_eq!(stranded(&all), BTreeMap::from(expected));
    }
}
