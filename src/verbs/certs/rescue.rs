//! `certs rescue`: what has run out is made anew, also while there is no API. It is an apply that looks first and tells after.

use super::super::apply;
use super::super::fleet;
use super::super::world::World;
use super::list;
use crate::cli::{Global, Target};
use crate::error::{Failure, Result, exit};
use crate::report::{Certificate, Certificates, Reporter};

/// `homectl certs rescue`.
pub(super) async fn run(args: &Target, global: &Global, out: &Reporter) -> Result<u8> {
    let mut world = World::open(&args.inventory, global, out).await?;
    let before = look(&world, global, out).await?;
    let dead = expired(&before);
    if let Some(authority) = dead.iter().find(|c| c.authority) {
        return Err(Failure::refused("an authority has run out; certificates made by it would be of no use")
            .on(&authority.node)
            .seen(format!("{}: {} ended on {}", authority.path, authority.subject, authority.day()))
            .help(
                "if it should still be valid, check the machine's clock; every certificate depends on it, so it is never replaced silently",
            ));
    }
    tell(&before, &dead, out);
    let done = Box::pin(apply::within(&mut world, None, global, out)).await?;
    let after = look(&world, global, out).await?;
    let left = expired(&after);
    for certificate in &left {
        out.talk(&format!("{}: {} is still expired.", certificate.node, certificate.path));
    }
    if left.is_empty() && !dead.is_empty() {
        out.talk(&format!("{} had expired; every certificate that could be looked at is valid again.", count(dead.len())));
    }
    Ok(if left.is_empty() { done.code } else { exit::FAILED })
}

async fn look(world: &World, global: &Global, out: &Reporter) -> Result<Certificates> {
    let fleet = fleet::open(world, global, out).await?;
    Ok(list::look(world, &fleet).await)
}

fn expired(all: &Certificates) -> Vec<&Certificate> {
    all.all.iter().filter(|c| c.expired()).collect()
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
