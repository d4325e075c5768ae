//! What must not happen to an etcd cluster: a second one founded beside it, members mixed, or one added that could cost the
//! majority. Judged from facts, before anything is planned.

use super::etcd::{members, token};
use super::etcd_members::{answered, member_of};
use super::etcd_recorded;
use crate::cluster::{Cluster, Node};
use crate::error::{Failure, Result};
use crate::facts::{Facts, Member};
use sha1::{Digest, Sha1};
use std::collections::{BTreeMap, BTreeSet};

/// The ID, 16 hex digits, that etcd gives a cluster founded by today's control planes: it follows from their peer addresses
/// and the token. `etcd_ca` is the authority's PEM.
#[must_use]
pub fn founding_id(cluster: &Cluster, etcd_ca: &str) -> String {
    id_of(members(cluster).map(|(_, url)| url), &token(cluster, etcd_ca))
}

/// As etcd computes it: a member's ID from its peer address and the token, the cluster's from its members' in order.
pub(super) fn id_of(urls: impl Iterator<Item = String>, token: &str) -> String {
    let first8 = |bytes: &[u8]| <[u8; 8]>::try_from(&Sha1::digest(bytes)[..8]).unwrap_or_default();
    let ids: BTreeSet<[u8; 8]> = urls.map(|url| first8(format!("{url}{token}").as_bytes())).collect();
    data_encoding::HEXLOWER.encode(&first8(&ids.into_iter().flatten().collect::<Vec<u8>>()))
}

/// Refuses what would found a second cluster, mix two, or add a member where it would do harm: `facts` of every node that
/// answered, `etcd_ca` in PEM, where it is known (without it, nobody can tell what a cluster that the lock does not know was
/// founded with).
///
/// # Errors
/// A refusal that names the machines and the way out.
pub fn check(cluster: &Cluster, facts: &BTreeMap<String, Facts>, etcd_ca: Option<&str>) -> Result<()> {
    let seen: Vec<(&Node, &Facts)> = cluster.control_planes().filter_map(|n| Some((n, facts.get(&n.name)?))).collect();
    let (with, without): (Vec<_>, Vec<_>) = seen.iter().copied().partition(|(_, f)| f.etcd_data);
    let recorded: BTreeMap<&str, &str> = seen.iter().filter_map(|(n, f)| Some((n.name.as_str(), f.etcd_cluster_id.as_deref()?))).collect();
    let known = cluster.etcd_cluster_id.as_deref();
    demoted(cluster, facts)?;
    etcd_recorded::one_cluster(known, &seen)?;
    if without.is_empty() {
        return Ok(());
    }
    match (known, answered(facts)) {
        (Some(id), _) if with.is_empty() => Err(lost(id, &names(&without))),
        (_, Some(Ok((_, members)))) => joining(cluster, &without, members),
        (Some(id), silent) => Err(blind(id, &names(&with), &names(&without), silent.and_then(Result::err))),
        (None, _) => etcd_ca.map_or(Ok(()), |ca| founded_by_others(&recorded, &founding_id(cluster, ca), &names(&without))),
    }
}

/// A control plane that the inventory makes a worker: its member would be gone without the others knowing.
fn demoted(cluster: &Cluster, facts: &BTreeMap<String, Facts>) -> Result<()> {
    let member = |n: &&Node| !n.is_control_plane() && facts.get(&n.name).is_some_and(|f| f.etcd_data);
    let Some(node) = cluster.nodes.iter().find(member) else { return Ok(()) };
    Err(Failure::refused("it is a control plane, the inventory says worker")
        .on(&node.name)
        .seen("a member of etcd has its data in /var/lib/etcd")
        .help(format!(
            "a control plane leaves by its name: give it back its role, then `homectl remove-node INVENTORY {0}`, then `homectl add-node INVENTORY {0} ADDRESS --role worker`",
            node.name
        )))
}

/// Whether those without data may come into the living cluster.
fn joining(cluster: &Cluster, without: &[(&Node, &Facts)], members: &[Member]) -> Result<()> {
    let wiped = without.iter().find_map(|(n, _)| Some((n, member_of(members, n).filter(|m| m.started())?)));
    if let Some((node, member)) = wiped {
        return Err(Failure::refused("its etcd member has lost its data")
            .on(&node.name)
            .seen(format!("the others list it as started (member {}), and /var/lib/etcd holds nothing", member.id))
            .help(format!(
                "a new or wiped machine takes its place with `homectl replace-node INVENTORY {}`; if the disk was only not mounted, mount it",
                node.name
            )));
    }
    let expected = |m: &Member| without.iter().any(|(n, _)| member_of(members, n).is_some_and(|own| own.id == m.id));
    if let Some(sick) = members.iter().find(|m| !m.learner && !m.healthy && !expected(m)) {
        return Err(Failure::refused(format!("etcd's member {} does not answer: no other may join now", sick.called()))
            .seen(arithmetic(members))
            .help(format!("mend {0} or take it out first (`homectl remove-node INVENTORY {0} --dead`)", sick.called())));
    }
    let strange = |m: &&Member| m.learner && !cluster.control_planes().any(|n| member_of(members, n).is_some_and(|own| own.id == m.id));
    if let Some(learner) = members.iter().find(strange) {
        return Err(Failure::refused(format!("somebody else joins etcd already: {}", learner.called()))
            .seen(format!("member {} is a learner, and no control plane of the inventory", learner.id))
            .help(format!("etcd takes one at a time: wait for it, or on a control plane: etcdctl member remove {}", learner.id)));
    }
    Ok(())
}

/// `3 members vote (attic, cellar, garage), 2 answer, 2 are needed`.
#[must_use]
pub fn arithmetic(members: &[Member]) -> String {
    let voters: Vec<&Member> = members.iter().filter(|m| !m.learner).collect();
    let mut called: Vec<&str> = voters.iter().map(|m| m.called()).collect();
    called.sort_unstable();
    let answer = voters.iter().filter(|m| m.healthy).count();
    let (s, are) = (if voters.len() == 1 { " votes" } else { "s vote" }, if answer == 1 { "answers" } else { "answer" });
    format!("{} member{s} ({}), {answer} {are}, {} needed", voters.len(), called.join(", "), voters.len() / 2 + 1)
}

/// What to do where etcd has lost its majority; said by everything that would need it.
pub const RUNBOOK: &str = "without its majority etcd changes nothing. Will the control planes that are off come back? Then switch them on: nothing \
     is lost. If they will not, see to it that none of them ever starts with its old data; then `homectl restore --from-node NODE` makes a \
     cluster of one member of what NODE has (a control plane whose disk is whole), and `homectl apply` and `homectl replace-node` grow it \
     back. If no disk is whole: `homectl restore --from BACKUP`";

fn lost(id: &str, without: &str) -> Failure {
    Failure::refused(format!("etcd cluster {id} was founded, but no control plane that answers has its data ({without})"))
        .seen("going on would found a new, empty cluster in its place")
        .help("bring back the machine that has the data; or `homectl restore --from BACKUP` (or --snapshot, one of a control plane's /var/lib/homectl/snapshots); if it may be forgotten, run homectl reset and begin again")
}

fn blind(id: &str, with: &str, without: &str, silent: Option<Vec<String>>) -> Failure {
    Failure::refused(format!("etcd cluster {id} lives on {with}; {without} would have to join it, and etcd cannot be asked"))
        .seen(silent.map_or_else(|| "no control plane that has its data answers".to_owned(), |all| all.join("\n")))
        .help(RUNBOOK)
}

/// What etcd is without `leaver`, in words; refused where the rest would have no majority.
///
/// # Errors
/// A refusal with the numbers.
pub fn without(members: &[Member], leaver: &Member) -> Result<String> {
    let stay: Vec<&Member> = members.iter().filter(|m| !m.learner && m.id != leaver.id).collect();
    let (answer, needed) = (stay.iter().filter(|m| m.healthy).count(), stay.len() / 2 + 1);
    let now = arithmetic(members);
    if stay.is_empty() {
        return Err(Failure::refused(format!("{} is the last member of etcd", leaver.called()))
            .seen(now)
            .help("a cluster ends with `homectl reset`, which takes all machines together"));
    }
    if answer < needed {
        let silent: Vec<&str> = stay.iter().filter(|m| !m.healthy).map(|m| m.called()).collect();
        return Err(Failure::refused(format!("without {} etcd would have no majority", leaver.called()))
            .seen(now)
            .seen(format!("then {} of {} would answer, {needed} needed; silent: {}", answer, stay.len(), silent.join(", ")))
            .help(format!("bring {0} back first, or take {0} out instead if it is gone", silent.join(", "))));
    }
    let spare = match stay.len() - needed {
        0 => "none of them may fail".to_owned(),
        spare => format!("{spare} of them may fail"),
    };
    Ok(format!("etcd: {now}; without {} {} vote, {needed} needed: {spare}", leaver.called(), stay.len()))
}

/// Not known to us yet: an interrupted foundation may go on, a cluster with other members may not be founded once more.
fn founded_by_others(recorded: &BTreeMap<&str, &str>, ours: &str, without: &str) -> Result<()> {
    let Some((node, id)) = recorded.iter().find(|(_, id)| **id != ours) else { return Ok(()) };
    Err(Failure::refused(format!(
        "etcd cluster {id} was founded with other members than the inventory has; {without} would found a second one"
    ))
    .on(*node)
    .help("apply the inventory it was founded with once more, so that it is known"))
}

fn names(of: &[(&Node, &Facts)]) -> String {
    of.iter().map(|(node, _)| node.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    /// Made with etcd 3.6.16: `home-…` and three peers.
    #[test]
    fn the_founding_id_is_etcds() {
        let url = |n: u8| format!("https://10.77.0.{n}:2380");
        assert_eq!(id_of((1..=3).map(url), "home-0123456789ab"), "905ec495eb90d0b9");
        assert_eq!(id_of((1..=1).map(url), "home-3b71f4b650eb"), "244b020c19ef35c9");
    }

    /// The verdict on four (three control planes) with `id:data` for each: `-` no data, `=` data, a letter: recorded too.
    fn verdict(known: Option<&str>, state: &str) -> String {
        let mut fixture = Fixture::four();
        let ca = fixture.secrets.etcd_ca.cert.clone();
        let ours = founding_id(&fixture.cluster, &ca);
        let id = |c: char| if c == 'o' { ours.clone() } else { c.to_string().repeat(16) };
        fixture.cluster.etcd_cluster_id = known.and_then(|k| k.chars().next()).map(id);
        for (name, c) in ["attic", "cellar", "garage"].into_iter().zip(state.chars()) {
            if c == '?' {
                fixture.facts.remove(name);
                continue;
            }
            let facts = fixture.facts.get_mut(name).unwrap();
            (facts.etcd_data, facts.etcd_cluster_id) = (c != '-', (!"-=".contains(c)).then(|| id(c)));
        }
        match check(&fixture.cluster, &fixture.facts, Some(&ca)) {
            Ok(()) => "ok".into(),
            Err(e) => {
                assert_eq!(e.exit_code(), crate::error::exit::REFUSED);
                assert!(e.remedy().is_some());
                format!("{}{}", e.node().map(|n| format!("{n}: ")).unwrap_or_default(), e.what())
            }
        }
    }

    #[test]
    fn table() {
        let table = [
            // Fresh, founded, and everything between the two.
            (None, "---", "ok"),
            (None, "--?", "ok"),
            (None, "=--", "ok"),
            (None, "o--", "ok"),
            (None, "ooo", "ok"),
            (None, "===", "ok"),
            (Some("o"), "ooo", "ok"),
            (Some("o"), "o=o", "ok"),
            (Some("o"), "o?o", "ok"),
            // Grown since: its ID is no longer what its members would be founded with.
            (Some("a"), "aaa", "ok"),
            (None, "aaa", "ok"),
            // Another cluster's data.
            (Some("o"), "oob", "garage: it belongs to etcd cluster bbbbbbbbbbbbbbbb, the inventory's lock says"),
            (None, "ab=", "cellar: it belongs to etcd cluster bbbbbbbbbbbbbbbb, another control plane says aaaaaaaaaaaaaaaa"),
            // Lost, and joining.
            (
                Some("a"),
                "---",
                "etcd cluster aaaaaaaaaaaaaaaa was founded, but no control plane that answers has its data (attic, cellar, garage)",
            ),
            (
                Some("a"),
                "?--",
                "etcd cluster aaaaaaaaaaaaaaaa was founded, but no control plane that answers has its data (cellar, garage)",
            ),
            (
                Some("a"),
                "aa-",
                "etcd cluster aaaaaaaaaaaaaaaa lives on attic, cellar; garage would have to join it, and etcd cannot be asked",
            ),
            // One control plane that was a cluster of its own, and an inventory that grew before that was recorded.
            (
                None,
                "a--",
                "attic: etcd cluster aaaaaaaaaaaaaaaa was founded with other members than the inventory has; cellar, garage would",
            ),
        ];
        for (known, state, expected) in table {
            let said = verdict(known, state);
            assert!(said.starts_with(expected), "{known:?} {state}: {said}");
        }
    }

    /// Members on the four nodes, one character each: `-` none, `.` added only, `!` started and silent, `l` a learner, `m` well.
    fn listed(fixture: &Fixture, state: &str) -> Vec<Member> {
        let nodes = fixture.cluster.nodes.iter().zip(state.chars()).filter(|(_, c)| *c != '-');
        let member = |(n, c): (&Node, char)| Member {
            id: format!("id-{}", n.name),
            name: if c == '.' { String::new() } else { n.name.clone() },
            peer: super::super::etcd::peer_url(n),
            client: if c == '.' { String::new() } else { format!("https://{}:2379", n.overlay) },
            learner: c == '.' || c == 'l',
            healthy: c == 'm',
        };
        nodes.map(member).collect()
    }

    #[test]
    fn who_may_join() {
        let table = [
            // attic founded; cellar and garage are new; nobody has heard of them, or of one.
            ("a--", "m---", "ok"),
            ("a--", "m.--", "ok"),
            ("aa-", "mm--", "ok"),
            ("aa-", "mm.-", "ok"),
            // A learner that has data is no obstacle: it goes first.
            ("a=-", "ml--", "ok"),
            ("aa-", "mmm-", "garage: its etcd member has lost its data"),
            ("aa-", "mm!-", "garage: its etcd member has lost its data"),
            ("aa-", "m!--", "etcd's member cellar does not answer: no other may join now"),
            ("aa-", "mm-.", "somebody else joins etcd already: https://10.77.0.4:2380"),
        ];
        for (known, state, members, expected) in table.iter().flat_map(|(s, m, e)| [(Some("a"), *s, *m, *e), (None, *s, *m, *e)]) {
            let mut fixture = Fixture::four();
            let id = "a".repeat(16);
            fixture.cluster.etcd_cluster_id = known.map(|_| id.clone());
            let listed = listed(&fixture, members);
            for (name, c) in ["attic", "cellar", "garage"].into_iter().zip(state.chars()) {
                let facts = fixture.facts.get_mut(name).unwrap();
                (facts.etcd_data, facts.etcd_cluster_id) = (c != '-', (c == 'a').then(|| id.clone()));
            }
            assert_eq!(super::super::whom_to_ask(&fixture.cluster, &fixture.facts, false)[0].name, "attic");
            fixture.facts.get_mut("attic").unwrap().members = Some(Ok(listed));
            let said = match check(&fixture.cluster, &fixture.facts, Some("ca")) {
                Ok(()) => "ok".into(),
                Err(e) => {
                    assert!(e.exit_code() == crate::error::exit::REFUSED && e.remedy().is_some());
                    format!("{}{}", e.node().map(|n| format!("{n}: ")).unwrap_or_default(), e.what())
                }
            };
            assert_eq!(said, expected, "{known:?} {state} {members}");
        }
    }

    #[test]
    fn nobody_joins_a_cluster_that_has_no_majority() {
        let mut fixture = Fixture::four();
        fixture.cluster.etcd_cluster_id = Some("a".repeat(16));
        let attic = fixture.facts.get_mut("attic").unwrap();
        (attic.etcd_data, attic.etcd_cluster_id) = (true, Some("a".repeat(16)));
        attic.members = Some(Err("context deadline exceeded".into()));
        let e = check(&fixture.cluster, &fixture.facts, Some("ca")).unwrap_err();
        assert!(e.what().contains("etcd cannot be asked") && e.evidence()[0].contains("deadline"), "{e}");
    }

    #[test]
    fn one_silent_member_is_not_the_majority() {
        let mut fixture = Fixture::four();
        fixture.cluster.etcd_cluster_id = Some("a".repeat(16));
        for name in ["attic", "cellar"] {
            let facts = fixture.facts.get_mut(name).unwrap();
            (facts.etcd_data, facts.etcd_cluster_id) = (true, Some("a".repeat(16)));
        }
        let asked: Vec<&str> = super::super::whom_to_ask(&fixture.cluster, &fixture.facts, false).iter().map(|n| n.name.as_str()).collect();
        assert_eq!(asked, ["attic", "cellar"]);
        let listed = listed(&fixture, "!m.-");
        fixture.facts.get_mut("attic").unwrap().members = Some(Err("context deadline exceeded".into()));
        fixture.facts.get_mut("cellar").unwrap().members = Some(Ok(listed));
        let e = check(&fixture.cluster, &fixture.facts, Some("ca")).unwrap_err();
        assert_eq!(e.what(), "etcd's member attic does not answer: no other may join now");
        assert!(super::super::majority(&fixture.facts).is_ok());
        fixture.facts.get_mut("cellar").unwrap().members = Some(Err("connection refused".into()));
        let e = super::super::majority(&fixture.facts).unwrap_err();
        assert_eq!(e.evidence(), ["attic: context deadline exceeded", "cellar: connection refused"]);
        assert_eq!(e.remedy(), Some(RUNBOOK));
    }

    #[test]
    fn a_control_plane_does_not_become_a_worker_by_the_way() {
        let mut fixture = Fixture::four();
        fixture.facts.get_mut("shed").unwrap().etcd_data = true;
        let e = check(&fixture.cluster, &fixture.facts, Some("ca")).unwrap_err();
        assert_eq!((e.exit_code(), e.node()), (crate::error::exit::REFUSED, Some("shed")));
        assert!(e.remedy().unwrap().contains("remove-node"), "{e}");
    }

    #[test]
    fn who_may_leave() {
        let fixture = Fixture::four();
        let table = [
            (
                "mmm-",
                "attic",
                "etcd: 3 members vote (attic, cellar, garage), 3 answer, 2 needed; without attic 2 vote, 2 needed: none of them may fail",
            ),
            (
                "mmmm",
                "shed",
                "etcd: 4 members vote (attic, cellar, garage, shed), 4 answer, 3 needed; without shed 3 vote, 2 needed: 1 of them may fail",
            ),
            (
                "mm--",
                "attic",
                "etcd: 2 members vote (attic, cellar), 2 answer, 2 needed; without attic 1 vote, 1 needed: none of them may fail",
            ),
            (
                "mm!-",
                "garage",
                "etcd: 3 members vote (attic, cellar, garage), 2 answer, 2 needed; without garage 2 vote, 2 needed: none of them may fail",
            ),
            ("mm!-", "attic", "without attic etcd would have no majority"),
            ("m!--", "attic", "without attic etcd would have no majority"),
            ("m---", "attic", "attic is the last member of etcd"),
        ];
        for (state, leaver, expected) in table {
            let members = listed(&fixture, state);
            let leaver = members.iter().find(|m| m.name == leaver).unwrap();
            match without(&members, leaver) {
                Ok(said) => assert_eq!(said, expected),
                Err(e) => {
                    assert_eq!(e.exit_code(), crate::error::exit::REFUSED);
                    assert_eq!(e.what(), expected, "{state}");
                }
            }
        }
    }

    #[test]
    fn majorities_are_told() {
        let fixture = Fixture::four();
        assert_eq!(arithmetic(&listed(&fixture, "mm!l")), "3 members vote (attic, cellar, garage), 2 answer, 2 needed");
        assert_eq!(arithmetic(&listed(&fixture, "m---")), "1 member votes (attic), 1 answers, 1 needed");
    }
}
