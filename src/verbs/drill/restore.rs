//! `drill restore`: a backup is proven as `backup verify` does it; how old it is and how long that takes is told.

use super::super::backup::{self, AtHand, Named, Opened};
use super::super::fleet;
use super::super::world::World;
use crate::backup::Place;
use crate::cli::{DrillRestore, Global};
use crate::error::Result;
use crate::inventory;
use crate::report::{BackupReport, Drill, Observed, Reporter};
use std::time::Instant;

/// `homectl drill restore`.
pub(super) async fn run(args: &DrillRestore, global: &Global, out: &Reporter) -> Result<Drill> {
    let identity = backup::identity(global)?;
    let from = Instant::now();
    let at_hand = match &args.from {
        Some(place) => kept(place, args, global, out).await?,
        None => fresh(args, global, out).await?,
    };
    let first = from.elapsed().as_secs_f64();
    let opened = Opened::read(&at_hand.file, &identity)?;
    let proof = backup::proven(&opened, out).await?;
    let seconds = from.elapsed().as_secs_f64();
    let manifest = opened.content.manifest.clone();
    let taken = manifest.time.parse::<jiff::Timestamp>().unwrap_or_default();
    let age = jiff::Timestamp::now().as_second() - taken.as_second();
    let cluster = manifest.cluster.clone();
    let report = Box::new(BackupReport::at(at_hand.shown, manifest, Some(proof)));
    let observed = Observed::Restore { backup: report, age, took: (first, seconds - first) };
    Ok(Drill { name: "restore", cluster, node: String::new(), seconds, observed, wrong: Vec::new(), interrupted: false })
}

/// The newest that a place keeps, or the one that it is.
async fn kept(place: &str, args: &DrillRestore, global: &Global, out: &Reporter) -> Result<AtHand> {
    let path = &args.target.inventory;
    let named = Named::find(place, path, global, out).await?;
    named.bring(|| inventory::read(path).map(|inventory| inventory.name)).await
}

/// One of the cluster as it is now.
async fn fresh(args: &DrillRestore, global: &Global, out: &Reporter) -> Result<AtHand> {
    let world = World::open_to_look(&args.target.inventory, global, out).await?;
    let fleet = fleet::open(&world, global, out).await?;
    let staged = Place::Folder(std::env::temp_dir()).staging()?;
    backup::fresh(&world, &fleet, &staged, jiff::Timestamp::now(), out).await?;
    Ok(AtHand { shown: "a fresh backup, which is gone now".into(), file: staged.path().to_path_buf(), copy: Some(staged) })
}
