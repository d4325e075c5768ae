//! Whether etcd has its majority, and keeps it while members restart.

use super::etcd_check::{RUNBOOK, arithmetic};
use super::etcd_members::{EXPIRED, answered, member_of};
use crate::cluster::{Cluster, Node};
use crate::error::{Failure, Result};
use crate::facts::{Facts, Member};
use std::collections::{BTreeMap, BTreeSet};

/// Refuses where members were asked, in these facts, and none answered for the cluster.
///
/// # Errors
/// A refusal with what each said, and what to do.
pub fn majority(facts: &BTreeMap<String, Facts>) -> Result<()> {
    match answered(facts) {
        Some(Err(silent)) if silent.iter().all(|told| told.ends_with(EXPIRED)) => {
            Err(Failure::refused("no member of etcd can be asked with certificates that have run out; nothing was changed")
                .seen(silent.join("\n"))
                .help("homectl certs rescue brings the cluster back; then run this again"))
        }
        Some(Err(silent)) => {
            Err(Failure::refused("etcd has no majority: no member of it answers for the cluster, and nothing was changed")
                .seen(silent.join("\n"))
                .help(RUNBOOK))
        }
        _ => Ok(()),
    }
}

/// Control planes whose members vote and do not answer.
#[must_use]
pub fn sick<'a>(cluster: &'a Cluster, members: &[Member]) -> Vec<&'a Node> {
    let is_sick = |n: &&Node| member_of(members, n).is_some_and(|m| !m.learner && !m.healthy);
    cluster.control_planes().filter(is_sick).collect()
}

/// Refuses to restart the members of the nodes `restarted`, one after the other, where the majority would be away meanwhile because
/// others do not answer; those of the nodes `mended` come up before.
///
/// # Errors
/// A refusal with the numbers.
pub fn restarts(cluster: &Cluster, members: &[Member], restarted: &BTreeSet<String>, mended: &BTreeSet<String>) -> Result<()> {
    let at = |names: &BTreeSet<String>, m: &Member| {
        names.iter().filter_map(|name| member_of(members, cluster.node(name)?)).any(|own| own.id == m.id)
    };
    let voters: Vec<&Member> = members.iter().filter(|m| !m.learner).collect();
    let (up, down): (Vec<&Member>, Vec<&Member>) = voters.iter().copied().partition(|m| m.healthy || at(mended, m));
    let needed = voters.len() / 2 + 1;
    let Some(first) = up.iter().find(|m| m.healthy && at(restarted, m)).filter(|_| !down.is_empty() && up.len() == needed) else {
        return Ok(());
    };
    let silent = down.iter().map(|m| m.called()).collect::<Vec<_>>().join(", ");
    Err(Failure::refused(format!("while etcd's member {} restarts, there would be no majority: {silent} does not answer", first.called()))
        .seen(arithmetic(members))
        .help(format!(
            "mend {silent} first: there, `systemctl status etcd` and `journalctl -u etcd` say why it does not answer; or, if it will not \
             come back, take it out: homectl remove-node"
        )))
}

#[cfg(test)]
mod tests {
    use super::super::etcd::peer_url;
    use super::super::fixture::Fixture;
    use super::*;

    /// Who is healthy, one character each: `m` well, `!` silent, `-` no member.
    fn listed(fixture: &Fixture, state: &str) -> Vec<Member> {
        let nodes = fixture.cluster.nodes.iter().zip(state.chars()).filter(|(_, c)| *c != '-');
        let member = |(n, c): (&Node, char)| Member {
            id: format!("id-{}", n.name),
            name: n.name.clone(),
            peer: peer_url(n),
            client: format!("https://{}:2379", n.overlay),
            learner: false,
            healthy: c == 'm',
        };
        nodes.map(member).collect()
    }

    #[test]
    fn certificates_that_have_run_out_are_no_lost_majority() {
        let told = |said: [&str; 2]| {
            let one = |(node, said): (&str, &str)| {
                let members = Some(Err(said.to_owned()));
                (node.to_owned(), Facts { members, ..Facts::assumed(node, crate::cluster::Arch::Amd64) })
            };
            majority(&["attic", "cellar"].into_iter().zip(said).map(one).collect()).unwrap_err().to_string()
        };
        assert!(told([EXPIRED, EXPIRED]).contains("homectl certs rescue"));
        assert!(told([EXPIRED, "context deadline exceeded"]).contains("restore --from-node"));
    }

    #[test]
    fn a_restart_leaves_the_majority() {
        let fixture = Fixture::four();
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        let all = ["attic", "cellar", "garage"];
        let table: [(&str, &[&str], &[&str], bool); 8] = [
            ("mmm-", &all, &[], true),
            ("mm!-", &all, &[], false),
            ("mm!-", &["garage"], &[], true),
            ("mm!-", &["attic"], &[], false),
            ("mm!-", &all, &["garage"], true),
            // Nobody is ill: there is no other way.
            ("mm--", &["attic", "cellar"], &[], true),
            ("m---", &["attic"], &[], true),
            // Four members, three needed.
            ("mmm!", &["attic"], &[], false),
        ];
        for (state, restarted, mended, expected) in table {
            let said = restarts(&fixture.cluster, &listed(&fixture, state), &set(restarted), &set(mended));
            assert_eq!(said.is_ok(), expected, "{state} {restarted:?} {mended:?}");
        }
        let sick: Vec<&str> = sick(&fixture.cluster, &listed(&fixture, "m!m-")).iter().map(|n| n.name.as_str()).collect();
        assert_eq!(sick, ["cellar"]);
    }
}
