//! `certs rotate-key`: a key takes the place of another while everything works. How far it has come is in the secrets file; each
//! stage is an apply, and a plain apply in between only finishes the stage.

use super::super::apply;
use super::super::kept::Kept;
use super::super::world::{World, secrets_beside};
use crate::cli::{Global, Overlay, Target};
use crate::cluster::Lock;
use crate::error::{Failure, Result, exit};
use crate::pki::{WireGuardKey, encryption_key};
use crate::report::Reporter;
use crate::secrets::KeyStage;
use std::path::Path;

/// `homectl certs rotate-key encryption`.
pub(super) async fn encryption(args: &Target, global: &Global, out: &Reporter) -> Result<u8> {
    everybody(global)?;
    let path = &args.inventory;
    let kept = keep(path)?;
    let mut world = World::open(path, global, out).await?;
    if world.opened()?.key_stage() == KeyStage::Alone {
        world.change(|secrets, _, _| Ok(secrets.turn_encryption_key(encryption_key)))?;
    } else {
        out.talk("Going on with a key that is on its way in.");
    }
    loop {
        let stage = world.opened()?.key_stage();
        out.talk(match stage {
            KeyStage::Read => "1 of 3: every API server learns to read with the new key.",
            KeyStage::Written => "2 of 3: every API server writes with the new key, and all Secrets are written anew.",
            KeyStage::Alone => "3 of 3: the old key is taken out.",
        });
        let done = Box::pin(apply::within(&mut world, None, global, out)).await?;
        if done.code != exit::OK {
            out.talk("Everything can be read as before. The same command goes on from here.");
            kept.settle();
            return Ok(done.code);
        }
        if stage == KeyStage::Alone {
            out.talk("Secrets are encrypted with the new key, and nobody has the old one any more.");
            kept.settle();
            return Ok(exit::OK);
        }
        world = World::open(path, global, out).await?;
        world.change(|secrets, _, _| Ok(secrets.turn_encryption_key(encryption_key)))?;
    }
}

/// `homectl certs rotate-key overlay`.
pub(super) async fn overlay(args: &Overlay, global: &Global, out: &Reporter) -> Result<u8> {
    everybody(global)?;
    if global.allow_offline {
        return Err(Failure::new(exit::USAGE, "a peer that is off would not know the new key").help("leave --allow-offline out"));
    }
    let path = &args.target.inventory;
    let kept = keep(path)?;
    let mut world = World::open(path, global, out).await?;
    if world.cluster.node(&args.name).is_none() {
        let known: Vec<&str> = world.cluster.nodes.iter().map(|n| n.name.as_str()).collect();
        return Err(
            Failure::new(exit::USAGE, format!("there is no node `{}`", args.name)).help(format!("the nodes are {}", known.join(", ")))
        );
    }
    world.change(|secrets, _, _| Ok(secrets.wireguard.insert(args.name.clone(), WireGuardKey::generate())))?;
    let done = Box::pin(apply::within(&mut world, None, global, out)).await?;
    if done.code != exit::OK {
        out.talk(&format!("The new key of {} is in the secrets file; `homectl apply` goes on with it.", args.name));
    }
    kept.settle();
    Ok(done.code)
}

fn keep(path: &Path) -> Result<Kept> {
    Kept::of([secrets_beside(path), Lock::path(path)])
}

fn everybody(global: &Global) -> Result<()> {
    if global.limit.is_empty() {
        return Ok(());
    }
    Err(Failure::new(exit::USAGE, "a key that several machines must know is replaced on all of them").help("leave --limit out"))
}
