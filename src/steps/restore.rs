//! A snapshot put in the place of etcd's data: the API and etcd stop on every control plane, each makes a member of a new etcd
//! cluster from the same snapshot, and the ordinary steps start what is left to start. What was there is moved aside, never removed.
//!
//! Nothing of this is wanted unless a restore is asked for; then it comes before the unit of etcd, and everything else is as ever.
//!
//! **No restore takes anybody back in time.** Whoever watches (kubelets, kube-proxies, add-ons, somebody's own programs) lives through a
//! restore and goes on from the revision that it saw last; if that is still to come, it is told nothing until etcd gets there. So the
//! revision must leap above everything that was ever seen: of the cluster before, and also of those before that, where an older backup is
//! restored after a newer one, or the same twice. A number of the lock's cannot say how far that is, for the lock may be lost, or
//! older than the last restore; nor can the machines' data, which may be what is lost. Time can, for it does not go back: the revision
//! becomes the microseconds since 1970. etcd writes far less than a million times a second, so revisions fall behind the clock at once, and
//! the next restore leaps above them, whatever is known of this one. (2^63 is 290 000 years away, and 2^53, up to which
//! everybody's numbers are exact, is in 2255.) Clocks can be wrong: whatever data of etcd is at hand has to say how far it is, too,
//! and what was snapshot as well, and the leap goes above those by a good measure.
//!
//! Every member must leap to the same revision, also where a run was cut, and goes on later: the revision is part of the token, and
//! so of the new cluster's ID; two revisions are two clusters, which do not speak with each other. A machine that has its data notes beside it
//! what it is (the origin, named by the ID that the record has, so that the two cannot differ). The next run reads that, finds that
//! it would make the same, and takes the revision over. Where the lock knows the ID it is done, and asked for once more: that is another restore.

use super::etcd::{self, RECORDED_ID, UNIT, ctl_at, peer_url};
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
/// How much further than any data at hand the revision leaps at least: more than anybody can have seen since.
const LEAP: u64 = 1_000_000_000;
/// Revisions a second that no etcd reaches: as many go by with the time.
const PACE: u64 = 1_000_000;
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
    /// Where etcd goes on from.
    pub revision: u64,
    /// The ID of the etcd cluster before, where it is known.
    before: Option<String>,
    /// What sets the new cluster apart from the one before.
    token: String,
    /// The ID, 16 hex digits, that etcd will have.
    pub id: String,
}

impl Restore {
    /// A restore of `source` onto `members` of `cluster`, after the etcd cluster `before` (its ID, where one is known), to go on from
    /// `revision`. `etcd_ca` is the authority's PEM. What comes out follows from all of it but `before`, which is for people and later runs.
    fn new(cluster: &Cluster, etcd_ca: &str, before: Option<&str>, source: Source, members: &[&Node], revision: u64) -> Self {
        let what = match &source {
            Source::Snapshot { sha256, .. } => sha256.clone(),
            Source::Survivor => members.iter().map(|n| n.name.as_str()).collect(),
        };
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(format!("{revision} {what}")));
        let token = format!("{}-restored-{}", etcd::token(cluster, etcd_ca), &digest[..12]);
        let id = id_of(members.iter().map(|n| peer_url(n)), &token);
        let (members, before) = (members.iter().map(|n| n.name.clone()).collect(), before.map(str::to_owned));
        Self { source, members, revision, before, token, id }
    }

    /// The same, where `facts` may tell that it is under way already: some machine has what it makes, and `recorded`, the lock's ID, is
    /// another. Then it is that one, from that revision, and not one from `revision`.
    #[must_use]
    pub fn asked(
        cluster: &Cluster,
        etcd_ca: &str,
        (recorded, before): (Option<&str>, Option<&str>),
        source: &Source,
        members: &[&Node],
        facts: &BTreeMap<String, Facts>,
        revision: u64,
    ) -> Self {
        let from = |revision| Self::new(cluster, etcd_ca, before, source.clone(), members, revision);
        let origins = facts.values().filter_map(|f| f.etcd_origin.as_ref()).filter(|o| recorded != Some(o.id.as_str()));
        let begun = origins.filter_map(|o| Some(from(o.revision)).filter(|same| same.id == o.id));
        begun.max_by_key(|same| same.revision).unwrap_or_else(|| from(revision))
    }

    /// Where the snapshot is awaited on a control plane.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.source {
            Source::Snapshot { sha256, .. } => format!("{}/restore-{}.db", super::snapshots::FOLDER, &sha256[..12]),
            Source::Survivor => format!("{DATA}/salvage/snapshot.db"),
        }
    }

    /// What a machine notes of it, in one line: as [`crate::facts::Origin`] has it.
    fn origin(&self) -> String {
        let title = self.title().split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{} {} {title}", self.revision, self.before.as_deref().unwrap_or("-"))
    }

    fn title(&self) -> &str {
        match &self.source {
            Source::Snapshot { title, .. } => title,
            Source::Survivor => "what this machine's member has",
        }
    }
}

/// The revision from which a restore of `now` (Unix seconds) goes on, where `seen` are revisions that somebody has had.
#[must_use]
pub fn revision(now: i64, seen: impl IntoIterator<Item = u64>) -> u64 {
    let time = u64::try_from(now).unwrap_or_default().saturating_mul(PACE);
    seen.into_iter().map(|seen| seen.saturating_add(LEAP)).fold(time, u64::max)
}

/// sh that tells on lines `revision N` how far the etcd of the control plane `node` is, by its member, or by data that no member uses.
#[must_use]
pub fn revision_script(node: &Node) -> String {
    let ctl = ctl_at(&format!("https://{}:2379", node.overlay));
    format!(
        "told() {{ sed -n 's/.*\"revision\":\\([0-9]*\\).*/revision \\1/p'; }}\n\
         {ctl} endpoint status -w json 2>/dev/null | told\n\
         systemctl is-active --quiet {UNIT} || for d in member restored; do\n\
         [ ! -f {DATA}/$d/snap/db ] || timeout 60 /opt/homectl/bin/etcdutl snapshot status {DATA}/$d/snap/db -w json 2>/dev/null | told\n\
         done\n"
    )
}

/// What [`revision_script`] has told.
#[must_use]
pub fn revisions(reply: &str) -> Vec<u64> {
    reply.lines().filter_map(|line| line.strip_prefix("revision ")?.parse().ok()).collect()
}

/// The restore that is asked for, where this node has a part in it.
fn asked<'a>(ctx: &Ctx<'a>) -> Option<&'a Restore> {
    ctx.restore.filter(|r| r.members.contains(&ctx.node.name))
}

/// Refuses a restore onto machines of another cluster: all that a control plane has recorded must be `known` here (the cluster
/// before, as the lock and the backup call it), or what a restore has made of such a one, this or another that was cut.
///
/// # Errors
/// A refusal that names the machine.
pub fn check(cluster: &Cluster, facts: &BTreeMap<String, Facts>, restore: &Restore, known: &[String]) -> Result<()> {
    let ours = |id: &String| *id == restore.id || known.contains(id);
    let foreign = cluster.control_planes().find_map(|n| {
        let told = facts.get(&n.name)?;
        let id = told.etcd_cluster_id.as_ref().filter(|id| !ours(id))?;
        let origin = told.etcd_origin.as_ref();
        (!origin.and_then(|o| o.before.as_ref()).is_some_and(ours)).then_some((n, id, origin))
    });
    let Some((node, id, origin)) = foreign else { return Ok(()) };
    let refused = Failure::refused(format!("it belongs to etcd cluster {id}, which is neither the lock's nor the backup's"))
        .on(&node.name)
        .seen(format!("known: {}", known.join(", ")));
    Err(match origin {
        Some(origin) => refused.seen(format!("it was restored there: {}", origin.title)).help(
            "the lock is older than that restore. Pull it from where it was committed; where nobody has it, run that same restore again: it is \
             known to be done, and is recorded; then this one",
        ),
        None => refused.help(
            "is it the right machine, and the right backup? If what it has may go, free it with its own cluster's inventory (homectl reset)",
        ),
    })
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
         echo {title}\necho 'becomes etcd cluster {id}, and goes on from revision {revision}'\nexit 1\n",
        done = done(restore),
        title = quote(restore.title()),
        id = restore.id,
        revision = restore.revision,
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
        ("revision", restore.revision.to_string()),
        ("least", LEAP.to_string()),
        ("origin", restore.origin()),
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

    const TIME: u64 = 1_795_000_000_000_000;

    /// What is made of the snapshot of yesterday, as the lock knows `recorded`, at that revision.
    fn restore(fixture: &Fixture, recorded: Option<&str>, revision: u64) -> Restore {
        let members: Vec<&Node> = fixture.cluster.control_planes().collect();
        let source = Source::Snapshot { sha256: "5".repeat(64), title: "the snapshot of yesterday".into() };
        let ca = &fixture.secrets.etcd_ca.cert;
        Restore::asked(&fixture.cluster, ca, (recorded, recorded), &source, &members, &fixture.facts, revision)
    }

    /// The machine has what a restore makes, record and note.
    fn has(fixture: &mut Fixture, node: &str, made: &Restore) {
        let facts = fixture.facts.get_mut(node).unwrap();
        let (id, before) = (made.id.clone(), made.before.clone());
        facts.etcd_cluster_id = Some(id.clone());
        facts.etcd_origin = Some(crate::facts::Origin { id, revision: made.revision, before, title: "yesterday".into() });
    }

    #[test]
    fn a_restore_is_itself_until_it_is_recorded() {
        let mut fixture = Fixture::four();
        let first = restore(&fixture, Some("0123456789abcdef"), TIME);
        assert_eq!((first.id.len(), first.members.len(), first.revision), (16, 3, TIME));
        // Cut before any machine had it: nobody is bound to anything.
        let later = restore(&fixture, Some("0123456789abcdef"), TIME + 60);
        assert!(later.id != first.id && later.revision == TIME + 60);
        // Cut behind the first machine, and another day: all the others get the same.
        has(&mut fixture, "garage", &first);
        assert_eq!(restore(&fixture, Some("0123456789abcdef"), TIME + 90), first);
        // Also where the lock is lost, or another one: what is there is gone on with.
        assert_eq!(restore(&fixture, None, TIME + 90).id, first.id);
        // Recorded: the same once more is another, and further on.
        let second = restore(&fixture, Some(&first.id), TIME + 90);
        assert!(second.id != first.id && second.revision == TIME + 90);
        // It was cut while others still had the first.
        has(&mut fixture, "attic", &second);
        assert_eq!(restore(&fixture, Some(&first.id), TIME + 120), second);
        let attic: Vec<&Node> = fixture.cluster.control_planes().take(1).collect();
        let left = Restore::new(&fixture.cluster, &fixture.secrets.etcd_ca.cert, None, Source::Survivor, &attic, TIME);
        assert!(left.members == ["attic"] && left.id != first.id);
    }

    #[test]
    fn what_another_restore_has_begun_is_replaced_and_what_nobody_knows_is_not() {
        let mut fixture = Fixture::four();
        let lock = "0123456789abcdef";
        let begun = restore(&fixture, Some(lock), TIME);
        has(&mut fixture, "garage", &begun);
        fixture.facts.get_mut("attic").unwrap().etcd_cluster_id = Some(lock.into());
        let cellar: Vec<&Node> = fixture.cluster.control_planes().collect();
        let source = Source::Snapshot { sha256: "6".repeat(64), title: "the right one".into() };
        let ca = &fixture.secrets.etcd_ca.cert;
        let other = Restore::asked(&fixture.cluster, ca, (Some(lock), Some(lock)), &source, &cellar, &fixture.facts, TIME + 9);
        let said = |known: &str| check(&fixture.cluster, &fixture.facts, &other, &[known.to_owned()]);
        assert!(said(lock).is_ok() && other.revision == TIME + 9);
        // A lock from before both: the first is known by its note, and nothing is to be freed.
        fixture.facts.get_mut("attic").unwrap().etcd_cluster_id = None;
        let e = check(&fixture.cluster, &fixture.facts, &other, &["aaaaaaaaaaaaaaaa".to_owned()]).unwrap_err();
        assert!(e.node() == Some("garage") && e.remedy().unwrap().contains("run that same restore again"), "{e}");
        fixture.facts.get_mut("garage").unwrap().etcd_origin = None;
        let e = check(&fixture.cluster, &fixture.facts, &other, &[lock.to_owned()]).unwrap_err();
        assert!(e.remedy().unwrap().contains("homectl reset"), "{e}");
    }

    #[test]
    fn the_leap_is_above_all_that_was_seen_and_far_below_what_etcd_can_count() {
        let now = 1_795_000_000;
        assert_eq!(revision(now, [500_000, 1_000_500_000]), TIME);
        // The clock was ahead when this was restored last, or is behind now.
        assert_eq!(revision(now, [TIME + 7]), TIME + 7 + LEAP);
        assert_eq!(revision(-5, [500_000]), 500_000 + LEAP);
        let decades = revision(now + 50 * 366 * 86_400, None);
        assert!(decades < 1 << 53, "exact in everybody's numbers");
    }

    #[test]
    fn how_far_etcd_is_is_told_by_lines() {
        assert_eq!(revisions("revision 6\nno\nrevision 1795000000000006\nrevision x\n"), [6, 1_795_000_000_000_006]);
        let script = revision_script(Fixture::four().cluster.node("attic").unwrap());
        let told = "printf '{\"Status\":{\"header\":{\"cluster_id\":7,\"revision\":%s,\"raft_term\":2},\"version\":\"3.6.16\"}}\\n' 42";
        let sh = script.replace("/opt/homectl/bin/etcdctl", &format!("{told} :")).replace("systemctl is-active --quiet", "true");
        let out = std::process::Command::new("sh").args(["-euc", &sh]).output().unwrap();
        assert_eq!(revisions(&String::from_utf8_lossy(&out.stdout))[0], 42, "{out:?}");
    }

    #[test]
    fn only_members_have_a_part_in_it_and_all_stop_before_one_starts() {
        let fixture = Fixture::four();
        let asked = restore(&fixture, None, TIME);
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
