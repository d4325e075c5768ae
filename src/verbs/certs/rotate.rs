//! `certs rotate-key`: a key takes the place of another while everything works.

use super::super::apply;
use super::super::world::World;
use super::exchange::{Exchange, Run, STOPPED, everybody, keep};
use crate::cli::{Global, Overlay, Target};
use crate::error::{Result, exit};
use crate::pki::{WireGuardKey, encryption_key};
use crate::report::Reporter;
use crate::secrets::{Secrets, Stage};

/// The key of encryption at rest.
const ENCRYPTION: Exchange = Exchange {
    stage: Secrets::key_stage,
    turn: |secrets, _| {
        secrets.turn_encryption_key(encryption_key);
        Ok(())
    },
    files: &["/etc/kubernetes/encryption.yaml"],
    says: [
        "1 of 3: every API server learns to read with the new key.",
        "2 of 3: every API server writes with the new key, and all Secrets are written anew.",
        "3 of 3: the old key is taken out.",
    ],
    again: "Going on with a key that is on its way in.",
    stopped: STOPPED,
};

/// `homectl certs rotate-key encryption`.
pub(super) async fn encryption(args: &Target, global: &Global, out: &Reporter) -> Result<u8> {
    let mut run = Run::begin(&ENCRYPTION, args, global, out).await?;
    loop {
        if let Some(code) = run.apply().await? {
            return Ok(code);
        }
        if run.stage()? == Stage::Alone {
            out.talk(
                "Secrets are encrypted with the new key, and nobody has the old one any more. Bare snapshots from before cannot be read \
                 without it, backups bring it along: take a new one (homectl backup).",
            );
            return Ok(exit::OK);
        }
        run.turn().await?;
    }
}

/// `homectl certs rotate-key overlay`.
pub(super) async fn overlay(args: &Overlay, global: &Global, out: &Reporter) -> Result<u8> {
    everybody(global)?;
    let path = &args.target.inventory;
    let kept = keep(path)?;
    let mut world = World::open(path, global, out).await?;
    if world.cluster.node(&args.name).is_none() {
        return Err(world.cluster.stranger(format!("there is no node `{}`", args.name)));
    }
    world.change(|secrets, _, _| Ok(secrets.wireguard.insert(args.name.clone(), WireGuardKey::generate())))?;
    let done = Box::pin(apply::within(&mut world, None, global, out)).await?;
    if done.code != exit::OK {
        out.talk(&format!("The new key of {} is in the secrets file; `homectl apply` goes on with it.", args.name));
    }
    kept.settle();
    Ok(done.code)
}
