//! A snapshot put in the place of etcd's data: the API and etcd stop on every control plane, each makes a member of a new etcd
//! cluster from the same snapshot, and the ordinary steps start what is left to start. What was there is moved aside, never removed.
//!
//! Nothing of this is wanted unless a restore is asked for; then it comes before the unit of etcd, and everything else is as ever.

use super::etcd::{self, RECORDED_ID, UNIT, peer_url};
use super::etcd_check::id_of;
use super::{Ctx, Step};
use crate::cluster::{Cluster, Node};
use crate::error::{Failure, Result};
use crate::facts::Facts;
use crate::want::{Guard, Impact, Want, quote};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What reads etcd, in the order in which it is stopped; etcd itself is last.
const STOPPED: [&str; 4] = ["kube-controller-manager.service", "kube-scheduler.service", "kube-apiserver.service", UNIT];
/// By how much the revision leaps: more than anybody can have seen since the snapshot was taken, so nobody sees time go back.
const LEAP: u64 = 1_000_000_000;
const DATA: &str = "/var/lib/etcd";
/// The address of what replaces the data; the snapshot is awaited there.
pub const RESTORE: &str = "etcd-restore";
/// The name of the step that stops.
const STOP: &str = "etcd-stop";

/// Where the content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A snapshot that was sent to every control plane: its sha256, and what it is for people.
    Snapshot { sha256: String, title: String },
    /// What the only member that is left has on its disk.
    Survivor,
}

/// One restore: asked for once, the same in every run until it is recorded as done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    pub source: Source,
    /// Names of the control planes that become the members.
    pub members: Vec<String>,
    /// What sets the new cluster apart from the one before.
    token: String,
    /// The ID, 16 hex digits, that etcd will have.
    pub id: String,
}

impl Restore {
    /// A restore of `source` onto `members` of `cluster`, after the etcd cluster `before` (its ID, where one is recorded). `etcd_ca`
    /// is the authority's PEM. All of it together says which cluster comes out: so a run that was cut is gone on with, and the
    /// same snapshot can be restored once more later.
    #[must_use]
    pub fn new(cluster: &Cluster, etcd_ca: &str, before: Option<&str>, source: Source, members: &[&Node]) -> Self {
        let what = match &source {
            Source::Snapshot { sha256, .. } => sha256.clone(),
            Source::Survivor => members.iter().map(|n| n.name.as_str()).collect(),
        };
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(format!("{} {what}", before.unwrap_or_default())));
        let token = format!("{}-restored-{}", etcd::token(cluster, etcd_ca), &digest[..12]);
        let id = id_of(members.iter().map(|n| peer_url(n)), &token);
        Self { source, members: members.iter().map(|n| n.name.clone()).collect(), token, id }
    }

    /// Where the snapshot is awaited on a control plane.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.source {
            Source::Snapshot { sha256, .. } => format!("{}/restore-{}.db", super::snapshots::FOLDER, &sha256[..12]),
            Source::Survivor => format!("{DATA}/salvage/snapshot.db"),
        }
    }

    fn title(&self) -> &str {
        match &self.source {
            Source::Snapshot { title, .. } => title,
            Source::Survivor => "what this machine's member has",
        }
    }
}

/// The restore that is asked for, where this node has a part in it.
fn asked<'a>(ctx: &Ctx<'a>) -> Option<&'a Restore> {
    ctx.restore.filter(|r| r.members.contains(&ctx.node.name))
}

/// Refuses a restore onto machines of another cluster: all that a control plane has recorded must be `known` here (the cluster
/// before, as the lock and the backup call it) or what comes out.
///
/// # Errors
/// A refusal that names the machine.
pub fn check(cluster: &Cluster, facts: &BTreeMap<String, Facts>, restore: &Restore, known: &[String]) -> Result<()> {
    let of = |node: &str| facts.get(node).and_then(|f| f.etcd_cluster_id.as_ref());
    let foreign = cluster.control_planes().find_map(|n| {
        let id = of(&n.name).filter(|id| **id != restore.id && !known.contains(id))?;
        Some((n.name.as_str(), id))
    });
    match foreign {
        None => Ok(()),
        Some((node, id)) => Err(Failure::refused(format!("it belongs to etcd cluster {id}, which is neither the lock's nor the backup's"))
            .on(node)
            .seen(format!("known: {}", known.join(", ")))
            .help("is it the right machine, and the right backup? If what it has may go, free it with its own cluster's inventory (homectl reset)")),
    }
}

/// Everything that reads or writes etcd stops.
#[expect(clippy::unnecessary_wraps, reason = "one shape for all steps")]
pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    let Some(restore) = asked(ctx) else { return Ok(None) };
    let units = STOPPED.map(quote).join(" ");
    let ok = format!(
        "{done}for u in {units}; do ! systemctl is-active --quiet \"$u\" || {{ echo \"$u runs\"; exit 1; }}; done\n",
        done = done(restore)
    );
    let run = format!(
        "for u in {units}; do ! systemctl is-active --quiet \"$u\" || systemctl stop -- \"$u\"; done\n\
         for u in {units}; do ! systemctl is-active --quiet \"$u\" || {{ echo \"$u does not stop\"; exit 1; }}; done\n"
    );
    let mut guard = STOPPED.iter().fold(Guard::new(STOP, "nothing reads or writes etcd's old data", ok, run), |g, u| g.restarts(*u));
    guard.impact = Impact::Restart(STOPPED.iter().map(|u| (*u).to_owned()).collect());
    Ok(Some(Step {
        id: ctx.id(STOP),
        title: "API and etcd, stopped".into(),
        after: Vec::new(),
        wants: vec![Want::Guard(guard)],
        ready: None,
        rolling: None,
        aside: false,
    }))
}

/// The member's data, made from the snapshot; before the unit starts.
pub(super) fn data(ctx: &Ctx) -> Option<Guard> {
    let restore = asked(ctx)?;
    let ok = format!(
        "[ -x /opt/homectl/bin/etcdutl ] || {{ echo 'etcd is not installed yet'; exit 75; }}\n{done}\
         if [ -e {DATA}/member ]; then echo \"etcd's data of cluster $(cat {RECORDED_ID} 2>/dev/null || echo unknown) is moved aside, into {DATA}/before-(time)\"; fi\n\
         echo {title}\necho 'becomes etcd cluster {id}, its revision {LEAP} higher'\nexit 1\n",
        done = done(restore),
        title = quote(restore.title()),
        id = restore.id,
    );
    let mut guard = Guard::new(RESTORE, "etcd's data is what was asked to be restored", ok, run(ctx, restore))
        .writes(&[DATA, RECORDED_ID])
        .restarts(UNIT);
    guard.impact = Impact::Irreversible;
    Some(guard)
}

/// The steps that must have ended everywhere before a member of the new cluster starts anywhere.
pub(super) fn after(ctx: &Ctx) -> Vec<crate::steps::StepId> {
    let Some(restore) = asked(ctx) else { return Vec::new() };
    restore.members.iter().map(|name| crate::steps::StepId::node(name, STOP)).collect()
}

/// sh that ends well where this restore has happened.
fn done(restore: &Restore) -> String {
    format!(
        "if [ \"$(cat {RECORDED_ID} 2>/dev/null)\" = {id} ] && [ -d {DATA}/member ]; then echo 'restored: etcd cluster {id}'; exit 0; fi\n",
        id = restore.id
    )
}

fn run(ctx: &Ctx, restore: &Restore) -> String {
    let nodes = restore.members.iter().filter_map(|name| ctx.cluster.node(name));
    let list: Vec<String> = nodes.map(|n| format!("{}={}", n.name, peer_url(n))).collect();
    let values = [
        ("snapshot", restore.place()),
        (
            "sha256",
            match &restore.source {
                Source::Snapshot { sha256, .. } => sha256.clone(),
                Source::Survivor => String::new(),
            },
        ),
        ("name", ctx.node.name.clone()),
        ("url", peer_url(ctx.node)),
        ("list", list.join(",")),
        ("token", restore.token.clone()),
        ("leap", LEAP.to_string()),
        ("id", restore.id.clone()),
        ("recorded", RECORDED_ID.to_owned()),
    ];
    let set: String = values.iter().map(|(name, value)| format!("{name}={}\n", quote(value))).collect::<Vec<_>>().concat();
    format!("{set}{}", include_str!("../../templates/etcd/restore.sh"))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::super::{Ctx, node};
    use super::*;

    fn restore(fixture: &Fixture, before: Option<&str>) -> Restore {
        let members: Vec<&Node> = fixture.cluster.control_planes().collect();
        let source = Source::Snapshot { sha256: "5".repeat(64), title: "the snapshot of yesterday".into() };
        Restore::new(&fixture.cluster, &fixture.secrets.etcd_ca.cert, before, source, &members)
    }

    #[test]
    fn a_restore_is_itself_until_it_is_recorded() {
        let fixture = Fixture::four();
        let first = restore(&fixture, Some("0123456789abcdef"));
        assert_eq!(first, restore(&fixture, Some("0123456789abcdef")));
        let second = restore(&fixture, Some(&first.id));
        assert_ne!(first.id, second.id);
        assert_eq!((first.id.len(), first.members.len()), (16, 3));
        let attic: Vec<&Node> = fixture.cluster.control_planes().take(1).collect();
        let left = Restore::new(&fixture.cluster, &fixture.secrets.etcd_ca.cert, None, Source::Survivor, &attic);
        assert!(left.members == ["attic"] && left.id != first.id);
    }

    #[test]
    fn only_members_have_a_part_in_it_and_all_stop_before_one_starts() {
        let fixture = Fixture::four();
        let asked = restore(&fixture, None);
        let steps = |name: &str| node(&Ctx { restore: Some(&asked), ..fixture.ctx(name) }).unwrap();
        assert!(steps("shed").iter().all(|s| s.id.name != STOP));
        let steps = steps("cellar");
        let at = |name: &str| steps.iter().position(|s| s.id.name == name).unwrap();
        assert!(at(STOP) < at("etcd"));
        let etcd = &steps[at("etcd")];
        assert_eq!(
            etcd.after.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["etcd-stop@attic", "etcd-stop@cellar", "etcd-stop@garage"]
        );
        let addrs: Vec<String> = etcd.wants.iter().map(Want::addr).collect();
        let of = |addr: &str| addrs.iter().position(|a| a == addr).unwrap();
        assert!(of("etcd-restore") < of("unit:etcd.service"));
        assert!(node(&fixture.ctx("cellar")).unwrap().iter().all(|s| s.id.name != STOP), "nothing of it unless it is asked for");
    }
}
