//! A node that does not come up while versions move goes back to what it ran before; the others stay as they are.

use super::rollback::{self, Back, To};
use crate::cli::Global;
use crate::cluster::{Part, Ran};
use crate::error::{Result, exit};
use crate::exec::{BLOCKED, FailedStep, LOST, UNSEEN};
use crate::plan;
use crate::report::Reporter;
use crate::steps::Lane;
use std::collections::BTreeMap;
use std::path::Path;

/// The nodes that did not come up, by the steps that failed, go back to what they `ran` before versions moved. A node whose programs
/// did not move, in this run or in one that was cut before it, has failed for another reason, and stays as it is.
pub(super) async fn put_back(inventory: &Path, failed: &[FailedStep], ran: &BTreeMap<String, Ran>, global: &Global, out: &Reporter) {
    let due = due(failed, ran);
    for (node, (servers, ran)) in &due {
        out.talk(&format!("{node} did not come up with the new version; what it ran before is put back."));
        let global = Global { yes: true, limit: Vec::new(), ..global.clone() };
        let ended = Box::pin(rollback::node(inventory, &Back { node, to: To::Known(ran) }, &global, out)).await;
        out.talk(&told(node, *servers, inventory, &ended));
    }
    if !due.is_empty() {
        out.talk("The others stay as they are. When the cause is mended, the same command goes on with the upgrade.");
    }
    for node in hinted(failed, ran) {
        out.talk(&format!(
            "{node}: its control plane's own services were moved before this run, and are not taken back unasked: what they have written, older \
             ones may not read. Where they have never come up since: {}",
            command(inventory, &node, true)
        ));
    }
}

/// Who goes back to what, and whether its control plane's own services do.
fn due(failed: &[FailedStep], ran: &BTreeMap<String, Ran>) -> BTreeMap<String, (bool, Ran)> {
    let back = |(node, servers): (String, bool)| {
        let ran = ran.get(&node)?;
        let back = if servers { ran.server.is_some() || ran.etcd.is_some() } else { ran.node.is_some() };
        let ran = if servers { ran.clone() } else { ran.without_servers() };
        back.then_some((node, (servers, ran)))
    };
    stranded(failed).into_iter().filter_map(back).collect()
}

/// Nodes whose own services failed and had been moved by an earlier run that did not get as far as their kubelets.
fn hinted(failed: &[FailedStep], ran: &BTreeMap<String, Ran>) -> Vec<String> {
    let moved = |node: &String| ran.get(node).is_some_and(|r| r.node.is_some() && r.server.is_none() && r.etcd.is_none());
    stranded(failed).into_iter().filter(|(node, servers)| *servers && moved(node)).map(|(node, _)| node).collect()
}

fn command(inventory: &Path, node: &str, servers: bool) -> String {
    format!("homectl rollback {} --node {node}{}", inventory.display(), if servers { " --servers" } else { "" })
}

/// How that ended, and what is left to do by hand.
fn told(node: &str, servers: bool, inventory: &Path, ended: &Result<u8>) -> String {
    let command = command(inventory, node, servers);
    match ended {
        Ok(exit::OK) => format!("{node} is put back: it runs what it ran before."),
        Ok(_) => format!("{node} could not be put back as a whole: what failed is told above. Once that is mended: {command}"),
        Err(failure) if failure.exit_code() == exit::REFUSED => format!("{node} stays as it is: {failure}\nOnce that is mended: {command}"),
        Err(failure) => format!("{node} could not be put back: {failure}\nOnce its machine answers: {command}"),
    }
}

/// Nodes on which a program of the new release did not come up, and whether it was one of a control plane's own services. A machine
/// that was lost, or on which nothing was begun, has not shown that, and neither has one of which the API could not be asked.
fn stranded(failed: &[FailedStep]) -> BTreeMap<String, bool> {
    let mut nodes = BTreeMap::new();
    let shown = |f: &&FailedStep| f.what != LOST && !f.what.starts_with(BLOCKED) && !f.what.ends_with(UNSEEN);
    for step in failed.iter().filter(shown) {
        match &step.lane {
            Lane::Node(node) => {
                if let Some(part) = plan::part_of(&step.name) {
                    *nodes.entry(node.clone()).or_insert(false) |= part != Part::Node;
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
        let refused = told(true, Err(Failure::refused("etcd has no majority")));
        assert!(refused.starts_with("attic stays as it is: ") && refused.ends_with(&format!("{command} --servers")), "{refused}");
    }

    fn failed(lane: Lane, name: &str) -> FailedStep {
        FailedStep { lane, name: name.into(), step: String::new(), what: String::new(), evidence: Vec::new(), help: String::new() }
    }

    #[test]
    fn who_is_put_back() {
        let lost = FailedStep { what: LOST.into(), ..failed(Lane::Node("loft".into()), "kubelet") };
        let blocked = FailedStep { what: format!("{BLOCKED}x"), ..failed(Lane::Node("barn".into()), "kubelet") };
        let unseen = FailedStep { what: format!("den did not come back{UNSEEN}"), ..failed(Lane::Cluster, "uncordon-den") };
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
            unseen,
        ];
        let expected = [("attic", false), ("cellar", true), ("garage", false)].map(|(node, servers)| (node.to_owned(), servers));
        assert_eq!(stranded(&all), BTreeMap::from(expected));
    }

    #[test]
    fn only_who_moved_is_put_back() {
        let release = crate::cluster::Release { kubernetes: semver::Version::new(1, 35, 4), programs: crate::scenes::programs() };
        let old = || Some(release.clone());
        let step = |node: &str, name: &str| failed(Lane::Node(node.into()), name);
        let all = [
            step("attic", "apiserver"),
            step("cellar", "apiserver"),
            step("garage", "kubelet"),
            step("shed", "kubelet"),
            step("barn", "etcd"),
        ];
        let ran = BTreeMap::from([
            ("attic".to_owned(), Ran { node: old(), server: old(), etcd: old() }),
            ("cellar".to_owned(), Ran { node: old(), ..Ran::default() }),
            ("garage".to_owned(), Ran { node: old(), server: old(), etcd: None }),
            ("shed".to_owned(), Ran::default()),
        ]);
        let due = due(&all, &ran);
        let told: Vec<String> = due.iter().map(|(n, (s, r))| format!("{n} {s} {} {}", r.node.is_some(), r.server.is_some())).collect();
        assert_eq!(told, ["attic true true true", "garage false true false"], "the others ran the new one before");
        assert_eq!(hinted(&all, &ran), ["cellar"]);
    }
}
