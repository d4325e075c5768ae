//! Who is in the etcd cluster, by its own list, and who is still to come into it.

use super::etcd::{client_cert, ctl_at, peer_at};
use crate::cluster::{Cluster, Node};
use crate::facts::{Facts, Member};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The control planes to be asked for the list of members, one after the other until one answers, where it matters: somebody has
/// no part in a cluster that was founded, or it is asked `anyway`. None: nobody can be asked.
#[must_use]
pub fn whom_to_ask<'a>(cluster: &'a Cluster, facts: &BTreeMap<String, Facts>, anyway: bool) -> Vec<&'a Node> {
    let seen: Vec<(&Node, &Facts)> = cluster.control_planes().filter_map(|n| Some((n, facts.get(&n.name)?))).collect();
    let founded = cluster.etcd_cluster_id.is_some() || seen.iter().any(|(_, f)| f.etcd_cluster_id.is_some());
    if !founded || !(anyway || seen.iter().any(|(_, f)| is_newcomer(f))) {
        return Vec::new();
    }
    let (new, old): (Vec<_>, Vec<_>) = seen.into_iter().filter(|(_, f)| f.etcd_data).partition(|(_, f)| is_newcomer(f));
    old.into_iter().chain(new).map(|(n, _)| n).collect()
}

/// What a member says to nobody, because nobody has a certificate that is still good.
pub(super) const EXPIRED: &str = "its certificates have run out or are not there";

/// sh that asks the member on `node`; its reply is for [`crate::facts::members`].
#[must_use]
pub fn members_script(node: &Node) -> String {
    let (ctl, cert) = (ctl_at(&format!("https://{}:2379", node.overlay)), client_cert());
    format!(
        "if list=$({ctl} member list -w simple 2>&1); then\nprintf '%s\\n' \"$list\" | sed 's/^/member /'\n\
         {ctl} endpoint health --cluster 2>&1 | grep -E '^https://[^ ]+ is (un)?healthy' | sed 's/^/health /' || :\n\
         elif ! openssl x509 -noout -checkend 0 -in {cert} >/dev/null 2>&1; then\necho 'silent {EXPIRED}'\n\
         else\nprintf 'silent %s\\n' \"$(printf '%s\\n' \"$list\" | tail -n 1)\"\nfi\necho end\n"
    )
}

/// The members, and the node whose own member listed them; or what each that was asked said instead.
pub type Told<'a> = Result<(&'a str, &'a [Member]), Vec<String>>;

/// What was told of the members, where somebody was asked: by the first that answered, by its node's name; else what each said instead.
#[must_use]
pub fn answered(facts: &BTreeMap<String, Facts>) -> Option<Told<'_>> {
    let asked = || facts.iter().filter_map(|(name, f)| Some((name.as_str(), f.members.as_ref()?)));
    if let Some((name, members)) = asked().find_map(|(name, told)| Some((name, told.as_ref().ok()?))) {
        return Some(Ok((name, members)));
    }
    let silent: Vec<String> = asked().filter_map(|(name, told)| Some(format!("{name}: {}", told.as_ref().err()?))).collect();
    (!silent.is_empty()).then_some(Err(silent))
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
