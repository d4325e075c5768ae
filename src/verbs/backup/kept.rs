//! Backups that there are: listed, opened, and proven by restoring them where nobody sees it.

use super::named::Named;
use crate::artifacts::{Store, cache_dir};
use crate::backup::{self, Content, Programs, Proof, SECRETS, SNAPSHOT, Scratch};
use crate::cli::{BackupFile, BackupPlace, Global};
use crate::cluster::{Component, Lock};
use crate::error::{Failure, Result, exit};
use crate::exec::EventKind;
use crate::inventory::{self, Arch, Destination, Inventory};
use crate::report::{BackupReport, Reporter};
use crate::secrets::{self, Identity, Secrets};
use std::path::{Path, PathBuf};

/// etcd makes its log of this many bytes at once, twice.
const LOGS: u64 = 160 << 20;

/// A backup that was read to its end, and what it holds, in a folder that goes with this value.
pub(in crate::verbs) struct Opened {
    pub(in crate::verbs) content: Content,
    pub(in crate::verbs) inventory: Inventory,
    pub(in crate::verbs) lock: Lock,
    pub(in crate::verbs) secrets: Secrets,
    /// In clear.
    pub(in crate::verbs) snapshot: PathBuf,
    scratch: Scratch,
}

impl Opened {
    /// Reads the backup `file`, and whether its parts are of one cluster.
    pub(in crate::verbs) fn read(file: &Path, identity: &Identity) -> Result<Self> {
        let size = std::fs::metadata(file).map_err(|e| Failure::failed(format!("{} cannot be read: {e}", file.display())))?.len();
        let scratch = Scratch::new(size * 4 + LOGS)?;
        let at = scratch.path().join(SNAPSHOT);
        let failed = |e: std::io::Error| Failure::failed(format!("{} cannot be written: {e}", at.display()));
        let mut snapshot = std::fs::File::create(&at).map_err(failed)?;
        let content = backup::read(file, identity, Some(&mut snapshot))?;
        let folder = scratch.path().join("beside");
        std::fs::create_dir(&folder).map_err(failed)?;
        let path = folder.join(backup::INVENTORY);
        super::unpack::lay_aside(&content, &path)?;
        let inventory = inventory::read(&path)?;
        let lock = Lock::load(&Lock::path(&path))?.ok_or_else(|| Failure::failed("the backup holds no lock"))?;
        lock.belongs_to(&inventory)?;
        let secrets = secrets::open_bytes(Path::new(SECRETS), content.part(SECRETS)?, &inventory.name, identity)?;
        let manifest = &content.manifest;
        let mixed = |what: &str, a: &str, b: &str| {
            Failure::failed(format!("the backup is mixed: its {what} says {a}, its manifest {b}")).help("take another one")
        };
        if inventory.name != manifest.cluster {
            return Err(mixed("inventory", &inventory.name, &manifest.cluster));
        }
        for (what, id) in [("lock", &lock.etcd_cluster_id), ("secrets file", &secrets.etcd_cluster_id)] {
            if let Some(id) = id.as_ref().filter(|id| **id != manifest.etcd_cluster_id) {
                return Err(mixed(what, id, &manifest.etcd_cluster_id));
            }
        }
        Ok(Self { content, inventory, lock, secrets, snapshot: at, scratch })
    }
}

/// `homectl backup list`: what is in a file, or which files are in a place; in every one of the inventory's where none was named.
pub(super) async fn list(args: &BackupPlace, global: &Global, out: &Reporter) -> Result<u8> {
    let Some(place) = &args.place else { return list_all(args, global, out).await };
    let named = Named::find(place, &args.inventory, global, out).await?;
    if named.one.is_none() {
        out.backups(&[(place.clone(), named.all().await?)]);
        return Ok(exit::OK);
    }
    let identity = identity(global)?;
    let at_hand = named.bring_one().await?;
    let manifest = backup::read(&at_hand.file, &identity, None)?.manifest;
    out.backup(&BackupReport::at(at_hand.shown, manifest, None));
    Ok(exit::OK)
}

/// A place that cannot be read hides no other.
async fn list_all(args: &BackupPlace, global: &Global, out: &Reporter) -> Result<u8> {
    let inventory = args.inventory.exists().then(|| inventory::read(&args.inventory)).transpose()?;
    let mut places: Vec<Destination> = inventory.map(|inventory| inventory.backups.to).unwrap_or_default();
    if places.is_empty() {
        places.push(Destination::Path(".".into()));
    }
    let (mut listed, mut failures) = (Vec::new(), Vec::new());
    for place in places {
        let shown = place.to_string();
        let all = match Named::of(place, &args.inventory, global, out).await {
            Ok(named) => named.all().await,
            Err(failure) => Err(failure),
        };
        match all {
            Ok(all) => listed.push((shown, all)),
            Err(failure) => failures.push(failure),
        }
    }
    out.backups(&listed);
    Failure::together(failures).map(|()| exit::OK)
}

/// `homectl backup verify`.
pub(super) async fn verify(args: &BackupFile, global: &Global, out: &Reporter) -> Result<u8> {
    let identity = identity(global)?;
    let named = Named::find(&args.file, &args.inventory, global, out).await?;
    let at_hand = named.bring(|| inventory::read(&args.inventory).map(|inventory| inventory.name)).await?;
    let opened = Opened::read(&at_hand.file, &identity)?;
    let proof = proven(&opened, out).await?;
    let manifest = opened.content.manifest.clone();
    out.backup(&BackupReport::at(at_hand.shown, manifest, Some(proof)));
    Ok(exit::OK)
}

/// The identity, which must be there.
pub(in crate::verbs) fn identity(global: &Global) -> Result<Identity> {
    let found = secrets::find_identity(global.identity.as_deref())?;
    found.map(|choice| choice.identity).ok_or_else(|| {
        Failure::new(exit::USAGE, "there is no age identity to open a backup with")
            .help("name the one that opens the cluster's secrets: --identity FILE, or HOMECTL_IDENTITY")
    })
}

/// Restores what was opened into a throw-away etcd of the cluster's own version.
pub(in crate::verbs) async fn proven(opened: &Opened, out: &Reporter) -> Result<Proof> {
    let programs = programs(&opened.inventory, &opened.lock, out).await?;
    if !opened.scratch.in_memory {
        out.talk(&format!(
            "The snapshot lies in clear in {} while it is proven (there is too little room in memory).",
            opened.scratch.path().display()
        ));
    }
    let manifest = &opened.content.manifest;
    let keys: Vec<_> = opened.secrets.encryption_keys().into_iter().map(|(_, key)| key).collect();
    backup::prove(&programs, &opened.snapshot, opened.scratch.path(), &manifest.snapshot, &keys).await
}

/// etcd's programs for this computer, from the cache, or fetched into it.
async fn programs(inventory: &Inventory, lock: &Lock, out: &Reporter) -> Result<Programs> {
    let arch = Arch::from_uname(std::env::consts::ARCH).filter(|_| std::env::consts::OS == "linux");
    let artifact = arch.and_then(|arch| lock.programs.get(Component::Etcd, arch)).ok_or_else(|| {
        Failure::failed(format!("the lock has no etcd for this computer ({} {})", std::env::consts::OS, std::env::consts::ARCH))
            .help("verify it on a Linux machine of one of the lock's architectures")
    })?;
    let sink = out.sink();
    let told = |p: crate::artifacts::Progress| sink.tell(EventKind::Fetching { what: "etcd".into(), bytes: p.done, total: p.total });
    let files = Store::new(inventory.mirror.as_ref(), cache_dir()?).fetch(Component::Etcd, artifact, &told).await?.files;
    let named = |name: &str| {
        let found = files.iter().find(|f| f.name == name).map(|f| f.path.clone());
        found.ok_or_else(|| Failure::failed(format!("the cache lacks {name}")))
    };
    Ok(Programs { etcd: named("etcd")?, etcdctl: named("etcdctl")?, etcdutl: named("etcdutl")? })
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
