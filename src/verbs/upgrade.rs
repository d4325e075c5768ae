//! `upgrade`: the version in the TOML moves, then it is an apply at an upgrade's pace.

use super::apply;
use super::kept::Kept;
use super::rollout::Pace;
use super::world::{self, World};
use crate::cli::{Global, Upgrade};
use crate::cluster::Lock;
use crate::error::{Failure, Result, exit};
use crate::inventory::Edit;
use crate::report::Reporter;

/// `homectl upgrade`.
pub(super) async fn run(args: &Upgrade, global: &Global, out: &Reporter) -> Result<u8> {
    if !global.limit.is_empty() {
        return Err(Failure::new(exit::USAGE, "an upgrade is the whole cluster's")
            .help("leave --limit out; --max-unavailable says how many workers may be away at a time"));
    }
    let path = &args.target.inventory;
    let kept = Kept::of([path.clone(), Lock::path(path)])?;
    let mut edit = Edit::open(path)?;
    // Only what is wanted need be known to this program: it may be the one that does not know the old version any more.
    let before = edit.kubernetes().unwrap_or("not said").to_owned();
    edit.set_kubernetes(&args.to)?;
    let wanted = edit.inventory()?;
    world::heed(&wanted, out)?;
    if let Some(mut lock) = Lock::load(&Lock::path(path))? {
        // Refused before anything is written, or asked of anybody.
        lock.depart(&wanted)?;
    }
    let mut world = World::draft(&edit, global, out).await?;
    world.pace = Pace { at_once: usize::from(args.max_unavailable), ..Pace::default() };
    let keep = |world: &World| {
        world.keep(&edit, out)?;
        out.talk(&format!("{}: kubernetes = \"{}\" (it was {}).", path.display(), args.to, before));
        Ok(())
    };
    let code = Box::pin(apply::onward(&mut world, None, &keep, global, out)).await?;
    kept.settle();
    Ok(code)
}
