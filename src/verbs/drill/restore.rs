//! `drill restore`: a backup is proven as `backup verify` does it; how old it is and how long that takes is told.

use super::super::backup::{self, OnNode, Opened};
use super::super::fleet;
use super::super::world::{self, World};
use crate::backup::Place;
use crate::cli::{DrillRestore, Global};
use crate::error::Result;
use crate::report::{BackupReport, Drill, Observed, Reporter};
use std::path::PathBuf;
use std::time::Instant;
use tempfile::NamedTempFile;

/// A backup on this computer.
struct AtHand {
    place: String,
    file: PathBuf,
    /// Goes with this value.
    _temporary: Option<NamedTempFile>,
}

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
    let report = Box::new(BackupReport { place: at_hand.place, manifest, proof: Some(proof), removed: Vec::new() });
    let observed = Observed::Restore { backup: report, age, took: (first, seconds - first) };
    Ok(Drill { name: "restore", cluster, node: String::new(), seconds, observed, wrong: Vec::new(), interrupted: false })
}

/// The newest that a place keeps, or the one that it is.
async fn kept(place: &str, args: &DrillRestore, global: &Global, out: &Reporter) -> Result<AtHand> {
    if let Some(on_node) = OnNode::parse(place)? {
        let world = World::open_to_look(&args.target.inventory, global, out).await?;
        on_node.of(&world.cluster)?;
        let fleet = fleet::open(&world, global, out).await?;
        let shelf = Place::Shelf(on_node.shelf(&fleet, out.sink())?);
        let name = backup::newest_of(&shelf, place, &world.cluster.name).await?;
        let file = shelf.bring(&name).await?;
        return Ok(AtHand { place: format!("{place}/{name}"), file: file.path().to_path_buf(), _temporary: Some(file) });
    }
    let place = backup::newest(place, || world::read(&args.target.inventory, out).map(|inventory| inventory.name)).await?;
    let (file, temporary) = Place::fetch(&place, &backup::env).await?;
    Ok(AtHand { place, file, _temporary: temporary })
}

/// One of the cluster as it is now.
async fn fresh(args: &DrillRestore, global: &Global, out: &Reporter) -> Result<AtHand> {
    let world = World::open_to_look(&args.target.inventory, global, out).await?;
    let fleet = fleet::open(&world, global, out).await?;
    let staged = Place::Folder(std::env::temp_dir()).staging()?;
    backup::fresh(&world, &fleet, &staged, jiff::Timestamp::now(), out).await?;
    Ok(AtHand { place: "a fresh backup, which is gone now".into(), file: staged.path().to_path_buf(), _temporary: Some(staged) })
}
