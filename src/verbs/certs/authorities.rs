//! Other authorities sign all certificates: `certs rotate-ca` while everything works, `certs rescue` where the old ones have run out.

use super::super::distrust::Distrust;
use super::super::fleet;
use super::super::tap;
use super::super::world::World;
use super::again::{self, Left};
use super::exchange::{Exchange, Run, STOPPED, keep, unlimited};
use crate::cli::{Global, RotateCa, Target};
use crate::error::{Failure, Result, exit};
use crate::kube::{Api, ApiError, Holder};
use crate::pki::Ca;
use crate::report::Reporter;
use crate::secrets::{Secrets, Stage};
use std::time::{Duration, Instant};

const AUTHORITIES: Exchange = Exchange {
    stage: Secrets::authority_stage,
    turn: Secrets::turn_authorities,
    files: &["/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/etcd/ca.crt", "/etc/kubernetes/pki/front-proxy-ca.crt"],
    says: [
        "1 of 3: every machine learns to trust the new authorities beside the old ones.",
        "2 of 3: every certificate is signed by the new authorities.",
        "3 of 3: the old authorities are taken out.",
    ],
    again: "Going on with authorities that are on their way in.",
    stopped: STOPPED,
};

/// The same without its first stage: nobody believes the old ones, so nobody has to believe both.
const SUPERSEDED: Exchange = Exchange {
    says: [
        AUTHORITIES.says[0],
        "1 of 2: every certificate is made anew by new authorities, and what reads it restarts on all machines at once (disruptive).",
        "2 of 2: the expired authorities are taken out, one control plane at a time.",
    ],
    stopped: "What was done stays, and the new authorities are in the secrets file. The same command goes on from here.",
    ..AUTHORITIES
};

/// For the controller manager to tell every namespace.
const PATIENCE: Duration = Duration::from_mins(2);

/// `homectl certs rotate-ca`.
pub(super) async fn run(args: &RotateCa, global: &Global, out: &Reporter) -> Result<u8> {
    let mut run = Run::begin(&AUTHORITIES, &args.target, global, out).await?;
    run.distrust = match run.stage()? {
        Stage::Known => None,
        Stage::First => Some(holders(&mut run.world, global, out).await.map_or(Distrust::Anybody, Distrust::These)),
        // Stopped in its last stage: since when the new ones were known is told by nobody any more.
        Stage::Alone => Some(Distrust::Anybody),
    };
    loop {
        if let Some(code) = run.apply().await? {
            return Ok(code);
        }
        match run.stage()? {
            Stage::Known => {
                let left = holders(&mut run.world, global, out).await?;
                if !left.is_empty() && !args.leave_pods {
                    return wait_for_pods(&left, run.began, out);
                }
                run.distrust = Some(Distrust::These(left));
            }
            Stage::First => {}
            Stage::Alone => {
                forget(&run.world, global, out).await;
                farewell(out);
                return Ok(exit::OK);
            }
        }
        run.turn().await?;
    }
}

/// All authorities anew, where some have run out, and with them whatever they signed: how it ended, and who began before and does
/// not trust the new ones, which is told by then.
pub(super) async fn supersede(world: &mut World, args: &Target, global: &Global, out: &Reporter) -> Result<(u8, Left)> {
    unlimited(global)?;
    let kept = keep(&args.inventory)?;
    world.change(|secrets, _, now| match secrets.authorities_end()? {
        (_, end) if end <= now => secrets.supersede_authorities(now),
        _ => Ok(()),
    })?;
    let mut run = Run::of_the_dead(&SUPERSEDED, kept, args, global, out).await?;
    if let Some(code) = run.apply().await? {
        return Ok((code, Left::default()));
    }
    let held = holders(&mut run.world, global, out).await?;
    let left = again::begin(&run.world, held, global, out).await?;
    run.distrust = Some(Distrust::These(left.holders.clone()));
    let code = left.tell_behind(Box::pin(alone(&mut run, global, out)), |line| out.talk(line)).await?;
    Ok((code, left))
}

/// The last stage.
async fn alone(run: &mut Run<'_>, global: &Global, out: &Reporter) -> Result<u8> {
    run.turn().await?;
    if let Some(code) = run.apply().await? {
        return Ok(code);
    }
    forget(&run.world, global, out).await;
    Ok(exit::OK)
}

/// Who still trusts the old authorities alone, once all namespaces have the new ones, too.
async fn holders(world: &mut World, global: &Global, out: &Reporter) -> Result<Vec<Holder>> {
    let fleet = fleet::open(world, global, out).await?;
    let secrets = world.opened()?;
    let api = tap::client(&world.cluster, secrets, &fleet.hosts)?;
    let lost = |e: ApiError| {
        Failure::failed("the API does not say who trusts whom").seen(e.to_string()).help("the same command goes on from here")
    };
    let since = if let Some(since) = secrets.authorities_next.as_ref().and_then(|next| next.value.trusted_since) {
        since
    } else {
        published(&api, &secrets.trusted(Ca::Cluster)).await.map_err(lost)??;
        world.change(|secrets, _, _| {
            let now = jiff::Timestamp::now().as_second();
            if let Some(next) = &mut secrets.authorities_next {
                next.value.trusted_since = Some(now);
            }
            Ok(now)
        })?
    };
    api.holders(since).await.map_err(lost)
}

/// Waits until every namespace has the bundle `pem`.
async fn published(api: &Api, pem: &str) -> Result<Result<()>, ApiError> {
    let began = Instant::now();
    loop {
        let without = api.unpublished(pem).await?;
        if without.is_empty() {
            return Ok(Ok(()));
        }
        if began.elapsed() > PATIENCE {
            return Ok(Err(Failure::failed("the controller manager has not told every namespace of the new authority")
                .seen(format!("ConfigMap kube-root-ca.crt is the old one in {}", without.join(", ")))
                .help("look at: journalctl -u kube-controller-manager; then the same command goes on from here")));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The first stage is done; whether the second may begin is not ours to say.
fn wait_for_pods(left: &[Holder], began: bool, out: &Reporter) -> Result<u8> {
    let lines: Vec<String> = left.iter().map(Holder::restart).collect();
    let help = "then the same command goes on; --leave-pods goes on without: they lose the API until they begin again";
    if !began {
        return Err(Failure::refused("some pods began before the new authorities were known: they would lose the API")
            .seen(format!("restart them when it suits you:\n{}", lines.join("\n")))
            .help(help));
    }
    out.talk("Every machine trusts the new authorities. These pods began before, and would not trust an API server that shows a certificate of theirs; restart them when it suits you:");
    for line in &lines {
        out.talk(&format!("  {line}"));
    }
    out.talk(&format!("{}{}", help[..1].to_uppercase(), &help[1..]));
    Ok(exit::OK)
}

fn farewell(out: &Reporter) {
    out.talk("Every certificate is signed by the new authorities, and no machine trusts the old ones any more.");
    out.talk("Kubeconfigs from before are of no use now: `homectl kubeconfig` writes another. Pods trust the old authority until they begin again.");
}

/// API servers only ever add to what they tell add-ons that serve parts of the API: no stage takes the old ones out there.
pub(super) async fn forget(world: &World, global: &Global, out: &Reporter) {
    if let Err(why) = forgotten(world, global, out).await {
        out.talk(&format!("What API servers tell add-ons may still name the old authorities: {why}"));
        out.talk("Deleted, it is written anew by them, without those:");
        out.talk("  kubectl -n kube-system delete configmap extension-apiserver-authentication");
    }
}

async fn forgotten(world: &World, global: &Global, out: &Reporter) -> Result<bool> {
    let fleet = fleet::open(world, global, out).await?;
    let secrets = world.opened()?;
    let api = tap::client(&world.cluster, secrets, &fleet.hosts)?;
    api.forget_former(|ca| secrets.trusted(ca)).await.map_err(|e| Failure::failed(e.to_string()))
}
