//! Who is in the etcd cluster, by its own list, and who is still to come into it.

use super::etcd::{ctl_at, peer_at};
use crate::cluster::{Cluster, Node};
use crate::facts::{Facts, Member};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The control plane to be asked for the list of members, where it matters: somebody has no part in a cluster that was
/// founded, or `leaves` it. None answers: nobody can be asked.
#[must_use]
pub fn whom_to_ask<'a>(cluster: &'a Cluster, facts: &BTreeMap<String, Facts>, leaves: bool) -> Option<&'a Node> {
    let seen = || cluster.control_planes().filter_map(|n| Some((n, facts.get(&n.name)?)));
    let founded = cluster.etcd_cluster_id.is_some() || seen().any(|(_, f)| f.etcd_cluster_id.is_some());
    if !founded || !(leaves || seen().any(|(_, f)| is_newcomer(f))) {
        return None;
    }
    seen().find(|(_, f)| !is_newcomer(f)).or_else(|| seen().find(|(_, f)| f.etcd_data)).map(|(n, _)| n)
}

/// sh that asks the member on `node`; its reply is for [`crate::facts::members`].
#[must_use]
pub fn members_script(node: &Node) -> String {
    let ctl = ctl_at(&format!("https://{}:2379", node.overlay));
    format!(
        "if list=$({ctl} member list -w simple 2>&1); then\nprintf '%s\\n' \"$list\" | sed 's/^/member /'\n\
         {ctl} endpoint health --cluster 2>&1 | grep -E '^https://[^ ]+ is (un)?healthy' | sed 's/^/health /' || :\n\
         else\nprintf 'silent %s\\n' \"$(printf '%s\\n' \"$list\" | tail -n 1)\"\nfi\necho end\n"
    )
}

/// What was told of the members, where somebody was asked.
pub(super) fn told(facts: &BTreeMap<String, Facts>) -> Option<&Result<Vec<Member>, String>> {
    facts.values().find_map(|f| f.members.as_ref())
}

/// Whether a control plane has no part in the cluster yet, or not the whole of it: the record is written last.
pub(super) fn is_newcomer(facts: &Facts) -> bool {
    !facts.etcd_data || facts.etcd_cluster_id.is_none()
}

/// The member at the peer address of `node`.
pub(super) fn member_of<'a>(members: &'a [Member], node: &Node) -> Option<&'a Member> {
    member_at(members, node.overlay)
}

/// The member of the node with this overlay address, as the facts of whoever was asked have it.
#[must_use]
pub fn member_at(members: &[Member], overlay: Ipv4Addr) -> Option<&Member> {
    members.iter().find(|m| m.peer == peer_at(overlay))
}

/// Those who come into the cluster, in the order in which they do: etcd takes one learner at a time, so who was added
/// already is first.
pub(super) fn queue<'a>(cluster: &'a Cluster, facts: &BTreeMap<String, Facts>, members: &[Member]) -> Vec<&'a Node> {
    let mut queue: Vec<&Node> = cluster.control_planes().filter(|n| facts.get(&n.name).is_some_and(is_newcomer)).collect();
    queue.sort_by_key(|n| (member_of(members, n).is_none(), n.number));
    queue
}
