//! One thing takes the place of another in three stages, each of which is an apply. How far it has come is in the secrets file: a plain
//! apply in between only finishes the stage.

use super::super::apply;
use super::super::distrust::Distrust;
use super::super::fleet;
use super::super::kept::Kept;
use super::super::planning;
use super::super::world::{World, secrets_beside};
use crate::cli::{Global, Target};
use crate::cluster::Lock;
use crate::error::{Failure, Result, exit};
use crate::plan::Plan;
use crate::report::Reporter;
use crate::secrets::{Secrets, Stage};
use crate::steps::Mode;
use crate::want::Act;
use std::path::Path;

/// What is exchanged.
pub(super) struct Exchange {
    pub(super) stage: fn(&Secrets) -> Stage,
    /// Takes it one stage on; Unix seconds.
    pub(super) turn: fn(&mut Secrets, i64) -> Result<()>,
    /// Files on machines in which the former one stands until it is taken out.
    pub(super) files: &'static [&'static str],
    /// What people hear at each stage: known, first, alone.
    pub(super) says: [&'static str; 3],
    /// And where it begins with one that is on its way.
    pub(super) again: &'static str,
    /// And where a stage did not end well.
    pub(super) stopped: &'static str,
}

/// What holds of an exchange while everything works, wherever it stops.
pub(super) const STOPPED: &str = "Everything works as before. The same command goes on from here.";

/// An exchange at work.
pub(super) struct Run<'a> {
    what: &'static Exchange,
    path: &'a Path,
    global: &'a Global,
    out: &'a Reporter,
    pub(super) world: World,
    kept: Option<Kept>,
    /// Whether this run began it.
    pub(super) began: bool,
    /// Whose pods do not trust the API until they begin again, in the stages that follow, where more is known of it than the secrets tell.
    pub(super) distrust: Option<Distrust>,
}

impl<'a> Run<'a> {
    /// Begins it, or goes on with one that somebody began.
    pub(super) async fn begin(what: &'static Exchange, args: &'a Target, global: &'a Global, out: &'a Reporter) -> Result<Self> {
        everybody(global)?;
        let path = &args.inventory;
        let kept = Some(keep(path)?);
        let mut world = World::open_to_exchange(path, global, out).await?;
        let began = match (what.stage)(world.opened()?) {
            Stage::Alone => !stopped_at_its_end(what, &world, global, out).await?,
            Stage::Known | Stage::First => {
                out.talk(what.again);
                false
            }
        };
        if began {
            world.change(|secrets, _, now| (what.turn)(secrets, now))?;
        }
        Ok(Self { what, path, global, out, world, kept, began, distrust: None })
    }

    /// Goes on from the stage that the secrets were brought to, of which `kept` knows how they were.
    pub(super) async fn of_the_dead(
        what: &'static Exchange,
        kept: Kept,
        args: &'a Target,
        global: &'a Global,
        out: &'a Reporter,
    ) -> Result<Self> {
        let path = &args.inventory;
        let world = World::open_to_exchange(path, global, out).await?;
        Ok(Self { what, path, global, out, world, kept: Some(kept), began: true, distrust: None })
    }

    pub(super) fn stage(&self) -> Result<Stage> {
        Ok((self.what.stage)(self.world.opened()?))
    }

    /// The apply of the stage that it is in; how it ended, where it did not end well.
    pub(super) async fn apply(&mut self) -> Result<Option<u8>> {
        let [known, first, alone] = self.what.says;
        self.out.talk(match self.stage()? {
            Stage::Known => known,
            Stage::First => first,
            Stage::Alone => alone,
        });
        if let Some(distrust) = &self.distrust {
            self.world.pace.distrust.clone_from(distrust);
        }
        let done = Box::pin(apply::within(&mut self.world, None, self.global, self.out)).await?;
        // What was agreed to is not forgotten, however this stage ended.
        if let Some(kept) = self.kept.take() {
            kept.settle();
        }
        if done.code == exit::OK {
            return Ok(None);
        }
        self.out.talk(self.what.stopped);
        Ok(Some(done.code))
    }

    /// Takes it one stage on.
    pub(super) async fn turn(&mut self) -> Result<()> {
        let turn = self.what.turn;
        self.world.change(|secrets, _, _| turn(secrets, jiff::Timestamp::now().as_second()))?;
        // What is signed by whoever signs now.
        self.world = World::open_to_exchange(self.path, self.global, self.out).await?;
        Ok(())
    }
}

/// Whether an exchange was stopped in its last stage: then this run ends it, and no other begins on top of it.
async fn stopped_at_its_end(what: &Exchange, world: &World, global: &Global, out: &Reporter) -> Result<bool> {
    let fleet = fleet::open(world, global, out).await?;
    apply::offline(world, &fleet, global).await?;
    let plan = Box::pin(planning::make(world, &fleet, Mode::Present, global, out)).await?;
    let Some(place) = still_there(&plan, what.files) else { return Ok(false) };
    out.talk(&format!(
        "{place} is not yet as the secrets file has it: an exchange was stopped in its last stage. This run ends it; for another one, run \
         the same command again afterwards."
    ));
    Ok(true)
}

/// One of `files` whose content is to become another, and where.
fn still_there(plan: &Plan, files: &[&str]) -> Option<String> {
    let mut items = plan.steps.iter().flat_map(|s| s.items.iter().map(move |i| (&s.id.lane, i)));
    items.find_map(|(lane, item)| {
        let path = item.addr.strip_prefix("file:").filter(|path| files.contains(path))?;
        item.verdict.change().filter(|c| c.act == Act::Update && c.heard).map(|_| format!("{path} on {lane}"))
    })
}

/// The files that a verb about keys changes before it asks.
pub(super) fn keep(path: &Path) -> Result<Kept> {
    Kept::of([secrets_beside(path), Lock::path(path)])
}

/// What several machines must know is known by all of them.
pub(super) fn everybody(global: &Global) -> Result<()> {
    unlimited(global)?;
    if global.allow_offline {
        return Err(Failure::new(exit::USAGE, "a machine that is off would not know the new key").help("leave --allow-offline out"));
    }
    Ok(())
}

/// None of them is left out.
pub(super) fn unlimited(global: &Global) -> Result<()> {
    if global.limit.is_empty() {
        return Ok(());
    }
    Err(Failure::new(exit::USAGE, "a key that several machines must know is replaced on all of them").help("leave --limit out"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Observed, diff};
    use crate::steps::{Step, StepId};
    use crate::want::{File, Inode, InodeKind, Seen, Want};

    /// Where the plan of a machine that has `there` and is to have `wanted` finds an exchange that was not ended.
    fn found(there: Option<(&str, u32)>, wanted: &str) -> Option<String> {
        const PATH: &str = "/etc/kubernetes/encryption.yaml";
        let file = |text: &str| File::text(PATH, text);
        let id = StepId::node("attic", "apiserver");
        let wants = vec![Want::File(file(wanted))];
        let step = Step { id: id.clone(), title: "x".into(), after: Vec::new(), wants, ready: None, rolling: None, aside: false };
        let seen = there.map_or(Seen::Absent, |(text, mode)| {
            let sha256 = file(text).body.and_then(|body| body.sha256());
            Seen::Inode(Inode { kind: InodeKind::File, mode, owner: "root:root".into(), sha256, text: None })
        });
        let plan = diff("home", Mode::Present, vec![step], &Observed::from([(id, vec![seen])])).unwrap();
        still_there(&plan, &[PATH])
    }

    #[test]
    fn an_exchange_that_was_stopped_in_its_last_stage_is_ended_before_another_begins() {
        assert_eq!(found(Some(("key1 key2", 0o644)), "key2").as_deref(), Some("/etc/kubernetes/encryption.yaml on attic"));
        assert_eq!(found(Some(("key2", 0o644)), "key2"), None);
        assert_eq!(found(Some(("key2", 0o600)), "key2"), None, "a mode is no exchange");
        assert_eq!(found(None, "key2"), None, "and what is gone holds no former key");
    }
}
