//! Secrets that are older than what machines have: somebody else has replaced keys or authorities, and this copy of the secrets file
//! does not know. What it would put back opens nothing that was written since, and nobody trusts it.

use crate::cluster::{Cluster, Node};
use crate::error::{Failure, Result};
use crate::facts::Facts;
use crate::secrets::{Mark, Marks};
use std::collections::BTreeMap;

/// Refuses where a machine is further on than the secrets of `ours`: control planes that hold the cluster tell; where none of them
/// answered, the other machines do.
///
/// What only drifted is no reason: an authority counts where its certificate lies both among those that are trusted and as the
/// one that signs.
///
/// # Errors
/// A refusal that names the machine and the way out.
pub fn check(cluster: &Cluster, facts: &BTreeMap<String, Facts>, ours: &Marks) -> Result<()> {
    let seen = |node: &&Node| facts.get(&node.name).is_some_and(|f| f.etcd_data);
    let planes: Vec<&Node> = cluster.control_planes().filter(seen).collect();
    for node in &planes {
        plane(&node.name, &facts[&node.name], ours)?;
    }
    if planes.is_empty() && cluster.etcd_cluster_id.is_some() {
        return ours.authority.as_ref().map_or(Ok(()), |mark| others(cluster, facts, mark));
    }
    Ok(())
}

/// Refuses where a control plane signs with an authority, or writes Secrets with a key, of which the secrets do not know the sum.
///
/// # Errors
/// As [`check`].
pub fn knows(node: &str, facts: &Facts, known: &[String]) -> Result<()> {
    if let Some(signer) = signer(facts).filter(|signer| !known.contains(signer)) {
        return Err(behind(AUTHORITY, node, "an authority that the secrets file does not know signs there", signer));
    }
    match facts.encryption.first().filter(|(_, sum)| !known.contains(sum)) {
        Some((number, sum)) => {
            Err(behind(KEY, node, &format!("Secrets are written with a key{number} that the secrets file does not know"), sum))
        }
        None => Ok(()),
    }
}

/// One control plane is no stage further on.
fn plane(node: &str, facts: &Facts, ours: &Marks) -> Result<()> {
    let authorities = ours.authority.as_ref().map_or(&facts.authorities, |mark| &mark.known);
    let known: Vec<String> = authorities.iter().chain(&ours.encryption.known).cloned().collect();
    knows(node, facts, &known)?;
    let on = |mark: &Mark, sum: &String| at(mark, sum).is_some_and(|at| at > mark.used);
    if let (Some(mark), Some(signer)) = (&ours.authority, signer(facts))
        && on(mark, signer)
    {
        return Err(behind(AUTHORITY, node, "the new authority signs there already, by the secrets file the former one does", signer));
    }
    let mark = &ours.encryption;
    if let Some((number, sum)) = facts.encryption.first().filter(|(_, sum)| on(mark, sum)) {
        let seen = format!("Secrets are written with key{number} already, by the secrets file with key{}", mark.number);
        return Err(behind(KEY, node, &seen, sum));
    }
    let newest = u32::try_from(mark.known.len()).map_or(u32::MAX, |known| mark.number + known - 1);
    match facts.encryption.iter().find(|(number, _)| *number > newest) {
        Some((number, sum)) => {
            Err(behind(KEY, node, &format!("API servers can read with key{number}, which the secrets file does not know"), sum))
        }
        None => Ok(()),
    }
}

/// Who signs on a control plane: trusted there as well, so that it is no file that somebody put there.
fn signer(facts: &Facts) -> Option<&String> {
    facts.signer.as_ref().filter(|signer| facts.authorities.contains(signer))
}

/// Machines of which none holds the cluster: they all trust somebody else.
fn others(cluster: &Cluster, facts: &BTreeMap<String, Facts>, mark: &Mark) -> Result<()> {
    let ours = |f: &Facts| f.is_of(&cluster.name) && !f.authorities.is_empty();
    let strange = |f: &Facts| ours(f) && !f.authorities.iter().any(|sum| mark.known.contains(sum));
    let Some((node, found)) = facts.iter().find(|(_, f)| strange(f)) else { return Ok(()) };
    let refused = behind(AUTHORITY, node, "it trusts only authorities that the secrets file does not know", &found.authorities.join(", "));
    Err(refused
        .help(format!("{WAY_OUT}. If it is this machine that is from before: leave --limit out, so that control planes are asked, too")))
}

fn at(mark: &Mark, sum: &String) -> Option<usize> {
    mark.known.iter().position(|known| known == sum)
}

const AUTHORITY: &str = "another authority";
const KEY: &str = "another key of encryption at rest";
const WAY_OUT: &str = "keys were replaced with another copy of it, or are being: pull the secrets file (and the lock) from where that one was \
                       committed, then run this again. Where nobody has it any more: move this one away and run homectl recover, which makes \
                       it anew from the machines";

fn behind(what: &str, node: &str, seen: &str, sum: &str) -> Failure {
    Failure::refused(format!("the secrets file is older than what the machines have ({what}); nothing was changed anywhere"))
        .on(node)
        .seen(format!("{seen} (sha256 {sum})"))
        .help(WAY_OUT)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::error::exit;
    use crate::pki::{encryption_key, fixture::NOW};
    use crate::secrets::Secrets;

    /// Machines that are as `there` has it.
    fn held(there: &Secrets) -> Fixture {
        let mut fixture = Fixture::four();
        let marks = there.marks(NOW);
        let authority = marks.authority.unwrap();
        for (name, facts) in &mut fixture.facts {
            facts.cluster = Some(fixture.cluster.name.clone());
            facts.authorities.clone_from(&authority.known);
            facts.etcd_data = fixture.cluster.node(name).unwrap().is_control_plane();
            if facts.etcd_data {
                facts.signer = Some(authority.known[authority.used].clone());
                let keys = there.encryption_keys();
                facts.encryption = keys.into_iter().map(|(name, key)| (name[3..].parse().unwrap(), key.sha256())).collect();
            }
        }
        fixture
    }

    /// Whether an apply from `ours` is refused where machines are as `there` has it; for what.
    fn said(ours: &Secrets, there: &Secrets) -> Option<String> {
        let fixture = held(there);
        let refused = check(&fixture.cluster, &fixture.facts, &ours.marks(NOW)).err()?;
        assert_eq!((refused.exit_code(), refused.node().is_some()), (exit::REFUSED, true));
        assert!(refused.remedy().unwrap().contains("homectl recover"), "{refused}");
        Some(refused.what().split(['(', ')']).nth(1).unwrap().to_owned())
    }

    /// The stages of two exchanges in a row.
    fn stages(mut secrets: Secrets, turn: impl Fn(&mut Secrets)) -> Vec<Secrets> {
        let mut all = vec![secrets.clone()];
        for _ in 0..6 {
            turn(&mut secrets);
            all.push(secrets.clone());
        }
        all
    }

    #[test]
    fn who_is_ahead_of_the_machines_goes_on_and_who_is_behind_is_refused() {
        let made = Secrets::make(&Fixture::four().cluster, NOW).unwrap();
        let authorities = stages(made.clone(), |s| s.turn_authorities(NOW).unwrap());
        let keys = stages(made, |s| {
            s.turn_encryption_key(encryption_key);
        });
        for (what, all) in [("another authority", &authorities), ("another key of encryption at rest", &keys)] {
            for (at, there) in all.iter().enumerate() {
                assert_eq!(said(there, there), None, "{what}: {at}");
                if let Some(next) = all.get(at + 1) {
                    assert_eq!(said(next, there), None, "{what}: {at}, and a stage on");
                }
                for (behind, ours) in all.iter().enumerate().take(at) {
                    let refused = said(ours, there);
                    // What was only made known is used by nobody, and one that goes may be trusted for longer: neither does harm.
                    let harmless = match at - behind {
                        1 | 2 if at % 3 == 1 => what == "another authority",
                        1 => at % 3 == 0,
                        _ => false,
                    };
                    assert_eq!(refused.is_none(), harmless, "{what}: machines at {at}, ours at {behind}: {refused:?}");
                    assert!(refused.is_none_or(|said| said == what));
                }
            }
        }
    }

    #[test]
    fn who_knows_what_is_used_can_keep_it() {
        let made = Secrets::make(&Fixture::four().cluster, NOW).unwrap();
        let authorities = stages(made.clone(), |s| s.turn_authorities(NOW).unwrap());
        let keys = stages(made, |s| {
            s.turn_encryption_key(encryption_key);
        });
        let kept = |ours: &Secrets, there: &Secrets| knows("attic", &held(there).facts["attic"], &ours.sums()).is_ok();
        for all in [authorities, keys] {
            // Nobody knows the next one, who was told of it does, and who has gone on does not know the former one.
            assert_eq!([1, 2, 3, 4].map(|there| kept(&all[0], &all[there])), [true, false, false, false]);
            assert_eq!([0, 1, 2, 3, 4].map(|there| kept(&all[1], &all[there])), [true; 5]);
            assert_eq!([0, 1, 2, 3].map(|there| kept(&all[3], &all[there])), [false, false, true, true]);
        }
    }

    /// Where new authorities had signed nothing yet, `recover` gives them up: machines still trust them, and that is mended.
    #[test]
    fn authorities_that_were_given_up_and_machines_that_drifted_are_mended() {
        let old = Secrets::make(&Fixture::four().cluster, NOW).unwrap();
        let mut known = old.clone();
        known.turn_authorities(NOW).unwrap();
        assert_eq!(said(&old, &known), None);
        let mut fixture = held(&old);
        let attic = fixture.facts.get_mut("attic").unwrap();
        attic.authorities = vec!["somebody's".into()];
        assert!(check(&fixture.cluster, &fixture.facts, &old.marks(NOW)).is_ok());
        fixture.facts.get_mut("attic").unwrap().encryption.clear();
        assert!(check(&fixture.cluster, &fixture.facts, &old.marks(NOW)).is_ok());
        for facts in fixture.facts.values_mut() {
            (facts.authorities, facts.signer, facts.encryption) = (Vec::new(), None, Vec::new());
        }
        assert!(check(&fixture.cluster, &fixture.facts, &old.marks(NOW)).is_ok(), "machines that have nothing yet");
    }

    #[test]
    fn of_authorities_that_have_run_out_nobody_is_ahead() {
        let mut ours = Secrets::make(&Fixture::four().cluster, NOW).unwrap();
        let fixture = held(&ours);
        let (_, end) = ours.authorities_end().unwrap();
        ours.turn_authorities(NOW).unwrap();
        ours.supersede_authorities(end + 1).unwrap();
        assert!(ours.marks(end + 1).authority.is_none());
        assert!(check(&fixture.cluster, &fixture.facts, &ours.marks(end + 1)).is_ok());
    }

    /// A worker that was off for long is from before, and control planes tell; asked alone, nobody can tell.
    #[test]
    fn workers_are_asked_where_no_control_plane_answered() {
        let old = Secrets::make(&Fixture::four().cluster, NOW).unwrap();
        let new = Secrets::make(&Fixture::four().cluster, NOW).unwrap();
        let mut fixture = held(&new);
        let from_before = held(&old).facts.remove("shed").unwrap();
        fixture.facts.insert("shed".into(), from_before);
        assert!(check(&fixture.cluster, &fixture.facts, &new.marks(NOW)).is_ok());
        fixture.facts.retain(|name, _| name == "shed");
        assert!(check(&fixture.cluster, &fixture.facts, &new.marks(NOW)).is_ok(), "nothing was founded that is known");
        fixture.cluster.etcd_cluster_id = Some("a".repeat(16));
        let refused = check(&fixture.cluster, &fixture.facts, &new.marks(NOW)).unwrap_err();
        assert!(refused.node() == Some("shed") && refused.remedy().unwrap().contains("--limit"), "{refused}");
    }
}
