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
use crate::exec::FailedStep;
use crate::inventory::Edit;
use crate::report::Reporter;
use crate::steps::Lane;
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
    for node in stranded(&done.failed) {
        out.talk(&format!("{node} did not come up with the new version; it is put back to what it ran before."));
        let back = Global { yes: true, ..global.clone() };
        if let Err(failure) = Box::pin(rollback::node(path, &node, &back, out)).await {
            out.talk(&format!("{node} could not be put back: {failure}"));
            out.talk(&format!("Once its machine answers: homectl rollback {} --node {node}", path.display()));
        }
    }
    out.talk("The others stay as they are. When the cause is mended, the same command goes on with the upgrade.");
}

/// Nodes whose own steps failed, or that did not come back; not those whose pods could not leave: nothing was changed there.
fn stranded(failed: &[FailedStep]) -> Vec<String> {
    let mut nodes: Vec<String> = failed
        .iter()
        .filter_map(|f| match &f.lane {
            Lane::Node(name) => Some(name.clone()),
            Lane::Cluster => f.name.strip_prefix("uncordon-").map(str::to_owned),
        })
        .collect();
    nodes.sort();
    nodes.dedup();
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
        let all = [
            failed(Lane::Node("garage".into()), "kubelet"),
            failed(Lane::Node("garage".into()), "kube-proxy"),
            failed(Lane::Cluster, "uncordon-attic"),
            failed(Lane::Cluster, "drain-shed"),
            failed(Lane::Cluster, "coredns"),
        ];
        assert_eq!(stranded(&all), ["attic", "garage"]);
    }
}
