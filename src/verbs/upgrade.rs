//! `upgrade`: the version in the TOML moves, then it is an apply at an upgrade's pace.

use super::apply;
use super::kept::Kept;
use super::pace::Pace;
use super::world::{self, World};
use crate::cli::{Global, Upgrade};
use crate::cluster::Lock;
use crate::error::{Failure, Result, exit};
use crate::inventory::Edit;
use crate::report::Reporter;
use std::path::Path;

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
    world.tell_under_way(out);
    alive(&world.pace, path)?;
    world.pace.at_once = usize::from(args.max_unavailable);
    let keep = |world: &World| {
        world.keep(&edit, out)?;
        out.talk(&format!("{}: kubernetes = \"{}\" (it was {}).", path.display(), args.to, before));
        Ok(())
    };
    let code = Box::pin(apply::onward(&mut world, None, &keep, global, out)).await?;
    kept.settle();
    Ok(code)
}

/// What takes the place of ended authorities restarts everywhere at once: no pace for versions, which go round one machine after the other.
fn alive(pace: &Pace, path: &Path) -> Result<()> {
    if !pace.together {
        return Ok(());
    }
    Err(Failure::refused("versions begin to move once new authorities have taken the place of the expired ones")
        .seen("machines restart together until then, not one after the other")
        .help(format!("finish that first: homectl certs rescue {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_do_not_begin_to_move_where_everything_restarts_at_once() {
        let path = Path::new("home.toml");
        assert!(alive(&Pace::default(), path).is_ok());
        let refused = alive(&Pace { together: true, ..Pace::default() }, path).unwrap_err();
        assert!(refused.exit_code() == exit::REFUSED && refused.to_string().contains("homectl certs rescue home.toml"), "{refused}");
    }
}
