//! What every verb begins with: the inventory, its lock, its secrets.

use super::moving::Moving;
use super::pace::Pace;
use super::restore::Restoring;
use crate::addons;
use crate::artifacts::{self, LockMode, Locked};
use crate::cli::Global;
use crate::cluster::{Cluster, Lock, Ran};
use crate::error::{Failure, Result, exit};
use crate::inventory::{self, Edit, Inventory};
use crate::report::Reporter;
use crate::secrets::{self, Identity, Prepared, Secrets, ToLook};
use std::path::{Path, PathBuf};

/// The files of one cluster, read and complete.
pub(super) struct World {
    pub(super) inventory: Inventory,
    pub(super) lock: Lock,
    pub(super) cluster: Cluster,
    keys: Keys,
    /// How versions move, where they do.
    pub(super) pace: Pace,
    /// The one node that a verb is about, where it leaves or is replaced.
    pub(super) moving: Option<Moving>,
    /// Unix seconds at the start; everything that judges time in this run uses it.
    pub(super) now: i64,
    /// What etcd's data is to be replaced by, where this run is for that.
    pub(super) restoring: Option<Restoring>,
}

/// The secrets, where somebody here opens them.
enum Keys {
    Open(Box<Prepared>),
    Shut { why: String },
}

/// Reads the inventory and the manifests that it names, and says its warnings.
pub(super) fn read(path: &Path, out: &Reporter) -> Result<Inventory> {
    let inventory = inventory::read(path)?;
    heed(&inventory, out)?;
    Ok(inventory)
}

/// Says an inventory's warnings, and reads the manifests that it names.
pub(super) fn heed(inventory: &Inventory, out: &Reporter) -> Result<()> {
    for warning in inventory.warnings() {
        out.talk(&format!("{:?}", miette::Report::new(warning.clone())));
    }
    addons::check(&inventory.resolved_addons()?, &inventory.home)
}

/// The lock beside the inventory; resolved (and saved) where it is missing or behind, unless `--locked` forbids it.
pub(super) async fn lock(inventory: &Inventory, global: &Global, mode: LockMode, out: &Reporter) -> Result<Lock> {
    written(inventory, resolved(inventory, global, mode, out).await?, out)
}

fn written(inventory: &Inventory, locked: Locked, out: &Reporter) -> Result<Lock> {
    if locked.changed {
        let path = Lock::path(&inventory.path);
        locked.lock.save(&path)?;
        out.talk(&format!("Wrote {} (versions, sums and node numbers; commit it).", path.display()));
    }
    Ok(locked.lock)
}

/// The same for who only looks: that the versions of a cluster that lives are on their way is written by who moves them.
async fn lock_to_look(inventory: &Inventory, global: &Global, out: &Reporter) -> Result<Lock> {
    let before = Lock::load(&Lock::path(&inventory.path))?;
    let locked = resolved(inventory, global, LockMode::Complete, out).await?;
    let departs = before.is_some_and(|b| b.etcd_cluster_id.is_some() && b.release() != locked.lock.release());
    if departs { Ok(locked.lock) } else { written(inventory, locked, out) }
}

async fn resolved(inventory: &Inventory, global: &Global, mode: LockMode, out: &Reporter) -> Result<Locked> {
    let path = Lock::path(&inventory.path);
    let old = Lock::load(&path)?;
    if global.locked {
        let why = old.as_ref().map_or_else(|| Some("there is none".to_owned()), |l| l.outdated(inventory));
        return match (why, old) {
            (None, Some(lock)) => Ok(Locked { lock, changed: false, warnings: Vec::new() }),
            (why, _) => {
                Err(Failure::new(exit::INVENTORY, format!("{} does not cover the inventory: {}", path.display(), why.unwrap_or_default()))
                    .help(format!("run `homectl lock {}` and commit what it writes, or leave out --locked", inventory.path.display())))
            }
        };
    }
    let locked = artifacts::lock(inventory, old.as_ref(), mode, artifacts::Limits::default()).await?;
    for warning in &locked.warnings {
        out.talk(&format!("warning: {warning}"));
    }
    Ok(locked)
}

impl World {
    /// Reads everything and makes what is missing: the lock, the age identity, the secrets. Says which exchange is under way.
    pub(super) async fn open(path: &Path, global: &Global, out: &Reporter) -> Result<Self> {
        let world = Self::open_to_exchange(path, global, out).await?;
        world.tell_under_way(out);
        Ok(world)
    }

    /// The same for who takes an exchange on, and says so in words of its own.
    pub(super) async fn open_to_exchange(path: &Path, global: &Global, out: &Reporter) -> Result<Self> {
        let inventory = read(path, out)?;
        let lock = lock(&inventory, global, LockMode::Complete, out).await?;
        Self::to_change(inventory, lock, global, out)
    }

    /// As it would be with an inventory that is still being edited; neither that nor the lock is written before [`World::keep`].
    pub(super) async fn draft(edit: &Edit, global: &Global, out: &Reporter) -> Result<Self> {
        let inventory = edit.inventory()?;
        let lock = resolved(&inventory, global, LockMode::Complete, out).await?.lock;
        Self::to_change(inventory, lock, global, out)
    }

    /// Writes a draft.
    pub(super) fn keep(&self, edit: &Edit, out: &Reporter) -> Result<()> {
        self.lock.save(&Lock::path(&self.inventory.path))?;
        if edit.save()? {
            out.talk(&format!("Wrote {} (and its lock; commit both).", self.inventory.path.display()));
        }
        Ok(())
    }

    fn to_change(inventory: Inventory, lock: Lock, global: &Global, out: &Reporter) -> Result<Self> {
        Self::of(inventory, lock, out, |file, cluster, now| {
            secrets::prepare(file, cluster, global.identity.as_deref(), now).map(|prepared| ToLook::Open(Box::new(prepared)))
        })
    }

    /// The same for who can do something about authorities that have run out: then nothing is made.
    pub(super) async fn open_as_is(path: &Path, global: &Global, out: &Reporter) -> Result<Self> {
        let inventory = read(path, out)?;
        let lock = lock(&inventory, global, LockMode::Complete, out).await?;
        Self::of(inventory, lock, out, |file, cluster, now| {
            secrets::prepare_as_is(file, cluster, global.identity.as_deref(), now).map(|prepared| ToLook::Open(Box::new(prepared)))
        })
    }

    /// The same for verbs that change nothing: they go on without the secrets where no identity opens them.
    pub(super) async fn open_to_look(path: &Path, global: &Global, out: &Reporter) -> Result<Self> {
        let inventory = read(path, out)?;
        let lock = lock_to_look(&inventory, global, out).await?;
        Self::of(inventory, lock, out, |file, cluster, now| secrets::prepare_to_look(file, cluster, global.identity.as_deref(), now))
    }

    fn of(inventory: Inventory, lock: Lock, out: &Reporter, prepare: impl FnOnce(&Path, &Cluster, i64) -> Result<ToLook>) -> Result<Self> {
        let cluster = inventory.resolve(&lock)?;
        let now = jiff::Timestamp::now().as_second();
        let keys = match prepare(&secrets_path(&inventory), &cluster, now)? {
            ToLook::Open(prepared) => {
                tell(&prepared, &inventory, out);
                Keys::Open(prepared)
            }
            ToLook::Shut(why) => Keys::Shut { why },
        };
        Ok(Self::begin(inventory, lock, cluster, keys, now))
    }

    /// What is in hand already, at `now`.
    pub(super) fn with(inventory: Inventory, lock: Lock, cluster: Cluster, prepared: Prepared, now: i64) -> Self {
        Self::begin(inventory, lock, cluster, Keys::Open(Box::new(prepared)), now)
    }

    fn begin(inventory: Inventory, lock: Lock, cluster: Cluster, keys: Keys, now: i64) -> Self {
        let pace = match &keys {
            Keys::Open(prepared) => Pace::of(&prepared.secrets, now),
            Keys::Shut { .. } => Pace::default(),
        };
        Self { inventory, lock, cluster, keys, pace, moving: None, now, restoring: None }
    }

    /// Says what is on its way in, so that nobody wonders what a plan has to do with it.
    pub(super) fn tell_under_way(&self, out: &Reporter) {
        for line in self.secrets().map(|secrets| secrets.under_way(self.now)).unwrap_or_default() {
            out.talk(&line);
        }
    }

    /// The secrets, or why they are shut.
    pub(super) fn secrets(&self) -> Result<&Secrets, &str> {
        match &self.keys {
            Keys::Open(prepared) => Ok(&prepared.secrets),
            Keys::Shut { why } => Err(why),
        }
    }

    /// The secrets, for verbs that do not begin without.
    pub(super) fn opened(&self) -> Result<&Secrets> {
        self.secrets().map_err(|why| Failure::bug("a verb needs secrets that it did not open").seen(why))
    }

    /// Forgets a node that has left: its number and its keys.
    pub(super) fn forget(&mut self, node: &str) -> Result<()> {
        // The number is last: as long as the lock has it, the same command finds the node and goes on.
        if let Keys::Open(prepared) = &mut self.keys {
            prepared.secrets.wireguard.remove(node);
            prepared.secrets.leaves.retain(|(owner, _), _| owner != node);
            secrets::save(&secrets_path(&self.inventory), &prepared.secrets, &prepared.identity.identity, &[])?;
        }
        if self.lock.numbers.remove(node).is_some() {
            self.lock.save(&Lock::path(&self.inventory.path))?;
        }
        Ok(())
    }

    /// Who opens the secrets, where somebody here does.
    pub(super) fn identity(&self) -> Option<&Identity> {
        match &self.keys {
            Keys::Open(prepared) => Some(&prepared.identity.identity),
            Keys::Shut { .. } => None,
        }
    }

    /// Changes the secrets and saves them.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&mut Secrets, &Cluster, i64) -> Result<T>) -> Result<T> {
        let Keys::Open(prepared) = &mut self.keys else {
            return Err(Failure::bug("a verb changes secrets that it did not open"));
        };
        let changed = change(&mut prepared.secrets, &self.cluster, self.now)?;
        secrets::save(&secrets_path(&self.inventory), &prepared.secrets, &prepared.identity.identity, &[])?;
        Ok(changed)
    }

    /// The `known_hosts` file beside the inventory.
    pub(super) fn known_hosts(&self) -> PathBuf {
        known_hosts(&self.inventory)
    }

    /// The lock's release is run now by every machine (`all`), or by every one that answers: nobody goes back any more.
    pub(super) fn arrived(&mut self, all: bool) -> Result<()> {
        if self.lock.arrive(all) {
            self.lock.save(&Lock::path(&self.inventory.path))?;
        }
        Ok(())
    }

    /// Turns one node to what it `ran`; its other parts stay what they are `linked` to, and nothing else is touched then.
    ///
    /// # Errors
    /// A release that this inventory cannot be resolved with.
    pub(super) fn turn_back(&mut self, node: &str, ran: &Ran, linked: &Ran) -> Result<()> {
        let release = [ran, linked].into_iter().find_map(|r| r.node.clone()).unwrap_or_else(|| self.lock.release());
        self.inventory = release.within(&self.inventory);
        let programs = ran.programs(linked, &self.lock.programs);
        let lock = Lock { kubernetes: release.kubernetes, programs: release.programs, ..self.lock.clone() };
        self.cluster = self.inventory.resolve(&lock)?;
        self.cluster.programs = programs;
        self.pace.back = Some((node.to_owned(), ran.parts().collect()));
        Ok(())
    }

    /// The secrets file beside the inventory.
    pub(super) fn secrets_path(&self) -> PathBuf {
        secrets_path(&self.inventory)
    }

    /// Records (or forgets) the etcd cluster ID in the lock and the secrets file; writes only what changed.
    pub(super) fn record_etcd(&mut self, id: Option<&str>) -> Result<()> {
        if self.lock.etcd_cluster_id.as_deref() != id {
            self.lock.etcd_cluster_id = id.map(str::to_owned);
            self.lock.save(&Lock::path(&self.inventory.path))?;
        }
        if let Keys::Open(prepared) = &mut self.keys
            && prepared.secrets.etcd_cluster_id.as_deref() != id
        {
            prepared.secrets.etcd_cluster_id = id.map(str::to_owned);
            secrets::save(&secrets_path(&self.inventory), &prepared.secrets, &prepared.identity.identity, &[])?;
        }
        Ok(())
    }
}

/// Says what was made for the operator to know.
fn tell(prepared: &Prepared, inventory: &Inventory, out: &Reporter) {
    if prepared.identity.created {
        out.talk(&format!(
            "Made an age identity: {}. It opens this cluster's secrets; keep a copy where the laptop's loss does not reach.",
            prepared.identity.path.display()
        ));
    }
    if prepared.made {
        out.talk(&format!("Made the cluster's secrets: {} (encrypted; commit it).", secrets_path(inventory).display()));
    }
    for line in prepared.changes.iter().chain(&prepared.warnings) {
        out.talk(line);
    }
}

/// The `known_hosts` file beside `inventory`.
pub(super) fn known_hosts(inventory: &Inventory) -> PathBuf {
    inventory.path.with_extension("known_hosts")
}

/// The secrets file beside `inventory`.
fn secrets_path(inventory: &Inventory) -> PathBuf {
    secrets_beside(&inventory.path)
}

/// Where the secrets of the inventory at `path` lie.
pub(super) fn secrets_beside(path: &Path) -> PathBuf {
    path.with_extension("secrets.age")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Component;

    #[test]
    fn who_is_forgotten_has_no_key_left_before_the_number_goes() {
        let home = tempfile::TempDir::new().unwrap();
        let (path, identity) = (home.path().join("inventory.toml"), home.path().join("identity"));
        let node = |name: &str, last: u8, more: &str| {
            format!("\n[[node]]\nname = \"{name}\"\naddress = \"192.168.1.{last}\"\nendpoint = \"192.168.1.{last}:51820\"\n{more}")
        };
        let head = "[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n[ssh]\nuser = \"pi\"\n";
        std::fs::write(&path, format!("{head}{}{}", node("attic", 2, "role = \"control-plane\"\n"), node("shed", 3, ""))).unwrap();
        let inventory = inventory::read(&path).unwrap();
        let mut lock = Lock { programs: crate::scenes::programs(), ..Lock::empty(&inventory) };
        lock.programs.versions = Component::ALL.into_iter().map(|c| (c, c.version(&inventory))).collect();
        lock.assign(&inventory).unwrap();
        secrets::create_identity(&identity).unwrap();
        let cluster = inventory.resolve(&lock).unwrap();
        let now = jiff::Timestamp::now().as_second();
        let prepare = || secrets::prepare(&secrets_beside(&path), &cluster, Some(&identity), now).unwrap();
        // The lock cannot be written: as if the run were cut there.
        std::fs::create_dir(Lock::path(&path)).unwrap();
        let mut world = World::with(inventory, lock, cluster.clone(), prepare(), now);
        assert!(world.opened().unwrap().wireguard.contains_key("shed"));
        assert!(world.forget("shed").is_err());
        let identity = secrets::find_identity(Some(&identity)).unwrap().unwrap().identity;
        let kept = secrets::open(&secrets_beside(&path), "home", &identity).unwrap();
        assert!(kept.wireguard.contains_key("attic") && !kept.wireguard.contains_key("shed"), "its key is still there");
    }
}
