//! A node that does not come up while versions move goes back to what it ran before; the others stay as they are.

use super::rollback::{self, Back};
use crate::cli::Global;
use crate::error::{Result, exit};
use crate::exec::{BLOCKED, FailedStep, LOST};
use crate::plan::{self, Ran};
use crate::report::Reporter;
use crate::steps::Lane;
use std::collections::BTreeMap;
use std::path::Path;

/// The nodes that did not come up with the new version, by the steps that failed, go back to what they `ran` before that run.
pub(super) async fn put_back(inventory: &Path, failed: &[FailedStep], ran: &BTreeMap<String, Ran>, global: &Global, out: &Reporter) {
    let stranded = stranded(failed);
    if stranded.is_empty() {
        return;
    }
    for (node, servers) in stranded {
        out.talk(&format!("{node} did not come up with the new version; what it ran before is put back."));
        let global = Global { yes: true, limit: Vec::new(), ..global.clone() };
        let back = Back { node: &node, servers, ran: Some(ran.get(&node).cloned().unwrap_or_default()) };
        let ended = Box::pin(rollback::node(inventory, &back, &global, out)).await;
        out.talk(&told(&node, servers, inventory, &ended));
    }
    out.talk("The others stay as they are. When the cause is mended, the same command goes on with the upgrade.");
}

/// How that ended, and what is left to do by hand.
fn told(node: &str, servers: bool, inventory: &Path, ended: &Result<u8>) -> String {
    let servers = if servers { " --servers" } else { "" };
    let command = format!("homectl rollback {} --node {node}{servers}", inventory.display());
    match ended {
        Ok(exit::OK) => format!("{node} is put back: it runs what it ran before."),
        Ok(_) => format!("{node} could not be put back as a whole: what failed is told above. Once that is mended: {command}"),
        Err(failure) if failure.exit_code() == exit::REFUSED => format!("{node} stays as it is: {failure}"),
        Err(failure) => format!("{node} could not be put back: {failure}\nOnce its machine answers: {command}"),
    }
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

    #[test]
    fn how_it_ended_is_told_when_it_has() {
        use crate::error::Failure;
        let told = |servers, ended| told("attic", servers, Path::new("home.toml"), &ended);
        assert_eq!(told(true, Ok(exit::OK)), "attic is put back: it runs what it ran before.");
        let command = "homectl rollback home.toml --node attic";
        let failed = told(true, Ok(exit::FAILED));
        assert!(failed.contains("could not be put back as a whole") && failed.ends_with(&format!("{command} --servers")), "{failed}");
        let silent = told(false, Err(Failure::failed("the machine does not answer; nothing was changed")));
        assert!(silent.contains("could not be put back: ") && silent.ends_with(command), "{silent}");
        let refused = told(true, Err(Failure::refused("it ran no other version before this run")));
        assert!(refused.starts_with("attic stays as it is: ") && !refused.contains("homectl rollback"), "{refused}");
    }

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
