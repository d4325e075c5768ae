//! `certs rescue`: what has run out is made anew, also while there is no API, and be it the authorities themselves. It is an apply that
//! looks first and tells after.

use super::super::apply;
use super::super::fleet;
use super::super::world::World;
use super::{authorities, list};
use crate::cli::{Global, Target};
use crate::error::{Failure, Result, exit};
use crate::pki::{Ca, span};
use crate::report::{Certificate, Certificates, Reporter};
use crate::secrets::Secrets;

/// Seconds that clocks may differ by without anybody calling one of them wrong.
const SKEW: i64 = 10 * 60;

/// `homectl certs rescue`.
pub(super) async fn run(args: &Target, global: &Global, out: &Reporter) -> Result<u8> {
    let mut world = World::open_as_is(&args.inventory, global, out).await?;
    let before = look(&world, global, out).await?;
    let dead = expired(&before);
    let ended = ended(world.opened()?, world.now, &before.all)?;
    tell(&before, &dead, out);
    let (code, again) = match ended {
        Some((ca, ago)) => {
            announce(ca, ago, out);
            let (code, left) = authorities::supersede(&mut world, args, global, out).await?;
            if code != exit::OK {
                return Ok(code);
            }
            world = World::open_to_exchange(&args.inventory, global, out).await?;
            out.talk("Every certificate is signed by new authorities. Kubeconfigs from before are of no use now: `homectl kubeconfig` writes another.");
            (code, left.verdict())
        }
        None => (mend(&mut world, global, out).await?, Ok(())),
    };
    let after = look(&world, global, out).await?;
    let left = expired(&after);
    for certificate in &left {
        out.talk(&format!("{}: {} is still expired.", certificate.node, certificate.path));
    }
    if left.is_empty() && !dead.is_empty() {
        out.talk(&format!("{} had expired; every certificate that could be looked at is valid again.", count(dead.len())));
    }
    again?;
    Ok(if left.is_empty() { code } else { exit::FAILED })
}

/// All that is signed by authorities that hold.
async fn mend(world: &mut World, global: &Global, out: &Reporter) -> Result<u8> {
    let code = Box::pin(apply::within(world, None, global, out)).await?.code;
    if code == exit::OK {
        // A rescue that was stopped in its last stage has ended now.
        authorities::forget(world, global, out).await;
    }
    Ok(code)
}

async fn look(world: &World, global: &Global, out: &Reporter) -> Result<Certificates> {
    let fleet = fleet::open(world, global, out).await?;
    Ok(list::look(world, &fleet).await)
}

fn expired(all: &Certificates) -> Vec<&Certificate> {
    all.all.iter().filter(|c| c.expired()).collect()
}

/// The authority that has run out and must be replaced, or whose replacement is to be gone on with, and the seconds since: where this
/// computer's clock (`now`) and those of the machines agree that it has.
fn ended(secrets: &Secrets, now: i64, seen: &[Certificate]) -> Result<Option<(Ca, i64)>> {
    let apart = |c: &&Certificate| (c.ends - c.left).abs_diff(now) > SKEW.unsigned_abs() && c.expired() != (c.ends <= now);
    if let Some(odd) = seen.iter().filter(|c| c.authority).find(apart) {
        let (theirs, ours) = if odd.expired() { ("is over", "is not") } else { ("is not over", "is") };
        return Err(Failure::refused("it depends on whose clock is right whether an authority has run out")
            .on(&odd.node)
            .seen(format!("{}: {} ends on {}: by the machine's clock that {theirs}, by this computer's it {ours}", odd.path, odd.subject, odd.day()))
            .help("put the clock that is wrong right, then run this again: every certificate depends on the authority, so it is not replaced on a guess"));
    }
    let signs = secrets.authorities_end()?;
    let over = |(ca, end): (Ca, i64)| (end <= now).then_some((ca, now - end));
    Ok(over(signs).or(secrets.former_authorities_end()?.and_then(over)))
}

fn announce(ca: Ca, ago: i64, out: &Reporter) {
    out.talk(&format!("The {ca} expired {} ago: nothing that it signed is good for anything, and it can sign nothing more.", span(ago)));
    out.talk(
        "So the authorities (the cluster's, etcd's, the front proxy's) are made anew, and every certificate with them. That is disruptive:",
    );
    out.talk(
        "  - etcd, the API and the kubelets restart on all machines at once: what there still is of the API is away until they are back;",
    );
    out.talk("  - pods run on, but those that talk to the API have to begin again: those of homectl's own add-ons do, the others are named afterwards;");
    out.talk("  - kubeconfigs from before are of no use any more.");
}

fn tell(before: &Certificates, dead: &[&Certificate], out: &Reporter) {
    for (place, seen) in &before.unknown {
        out.talk(&format!("{place} could not be looked at: {seen}"));
    }
    for certificate in dead {
        out.talk(&format!("{}: {} expired on {}.", certificate.node, certificate.path, certificate.day()));
    }
    if dead.is_empty() {
        out.talk("No certificate on the machines that answered has expired; what else is to be mended is in the plan.");
    }
}

fn count(n: usize) -> String {
    if n == 1 { "1 certificate".into() } else { format!("{n} certificates") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::fixture::{DAY, NOW, cluster};
    use crate::verbs::certificates;

    /// What a machine says of `ca` whose clock is `ahead` of ours.
    fn said(ca: &str, now: i64, ahead: i64) -> Vec<Certificate> {
        certificates::told("attic", now + ahead, "/etc/kubernetes/pki/ca.crt", ca, now)
    }

    #[test]
    fn authorities_are_replaced_where_all_clocks_agree_that_they_have_ended() {
        let mut secrets = Secrets::make(&cluster(), NOW).unwrap();
        let (_, end) = secrets.authorities_end().unwrap();
        let ca = secrets.authority(Ca::Cluster).cert.clone();
        let seen = |now: i64, ahead: i64| said(&ca, now, ahead);
        assert_eq!(ended(&secrets, end - 1, &seen(end - 1, 0)).unwrap(), None);
        assert_eq!(ended(&secrets, end + 60, &seen(end + 60, 5)).unwrap(), Some((Ca::Cluster, 60)));
        assert_eq!(ended(&secrets, end + 60, &[]).unwrap(), Some((Ca::Cluster, 60)));
        for (now, ahead) in [(end - DAY, 2 * DAY), (end + DAY, -2 * DAY)] {
            let refusal = ended(&secrets, now, &seen(now, ahead)).unwrap_err();
            assert_eq!((refusal.exit_code(), refusal.node()), (exit::REFUSED, Some("attic")));
        }
        assert!(ended(&secrets, end - 60, &seen(end - 60, 70)).unwrap().is_none(), "minutes are no reason to refuse");
        // Cut on the way: the new ones are well, and it goes on.
        let later = end + DAY;
        secrets.supersede_authorities(later).unwrap();
        assert_eq!(ended(&secrets, later, &seen(later, 0)).unwrap(), Some((Ca::Cluster, DAY)));
        secrets.turn_authorities(later).unwrap();
        assert_eq!(ended(&secrets, later, &[]).unwrap(), None);
    }
}
