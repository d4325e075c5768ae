//! `restore`: the ordinary plan, and in it etcd's data replaced by a snapshot's. Onto the machines that had it, or others.

use super::backup::{self, Opened};
use super::execute::{Consent, code, execute};
use super::fleet::{self, Fleet};
use super::planning;
use super::world::World;
use crate::backup::{Place, sha256_of};
use crate::cli::{Global, Restore as Args};
use crate::cluster::{Cluster, Node};
use crate::error::{Failure, Result, exit};
use crate::report::Reporter;
use crate::steps::{self, Mode, Restore, Source};
use std::path::PathBuf;
use tempfile::NamedTempFile;

/// A restore that this run is for.
pub(super) struct Restoring {
    pub(super) restore: Restore,
    /// The snapshot on this computer, where it comes from here.
    pub(super) file: Option<PathBuf>,
    /// IDs of the etcd cluster that may be replaced.
    pub(super) known: Vec<String>,
}

/// Where the content is to come from, opened and looked at.
struct Origin {
    backup: Option<Opened>,
    file: Option<PathBuf>,
    title: String,
    _fetched: Option<NamedTempFile>,
}

/// `homectl restore`.
pub(super) async fn run(args: &Args, global: &Global, out: &Reporter) -> Result<u8> {
    let origin = open(args, global, out).await?;
    let mut world = World::open(&args.target.inventory, global, out).await?;
    if let Some(opened) = &origin.backup {
        fits(&world, opened)?;
    }
    let global = &match &args.from_node {
        Some(node) => Global { limit: vec![node.clone()], ..global.clone() },
        None => global.clone(),
    };
    let mut fleet = fleet::open(&world, global, out).await?;
    let members = members(&world.cluster, &fleet, args.from_node.as_deref())?;
    let source = match &origin.file {
        Some(file) => Source::Snapshot { sha256: sha256_of(file)?, title: origin.title.clone() },
        None => Source::Survivor,
    };
    let before = world.lock.etcd_cluster_id.clone();
    let restore = Restore::new(&world.cluster, &world.opened()?.etcd_ca.cert, before.as_deref(), source, &members);
    let id = restore.id.clone();
    let known = before.into_iter().chain(origin.backup.as_ref().map(|o| o.content.manifest.etcd_cluster_id.clone())).collect();
    world.cluster.etcd_cluster_id = Some(id.clone());
    world.restoring = Some(Restoring { restore, file: origin.file.clone(), known });
    let plan = planning::make(&world, &fleet, Mode::Present, global, out).await?;
    out.propose(&plan);
    if plan.counts().changes() == 0 {
        world.record_etcd(Some(&id))?;
        return Ok(exit::OK);
    }
    let question = format!(
        "Everything that the cluster learnt since {} is given up; etcd's data as it is now is moved aside, not removed.",
        origin.title
    );
    let consent = Consent { question, word: world.cluster.name.clone(), to_this_only: false };
    consent.ask(out).await?;
    let report = execute(&world, &mut fleet, plan, &consent, global, out).await?;
    record(&mut world, &mut fleet, &id).await?;
    if report.failed.is_empty() && !report.interrupted {
        out.talk(&farewell(&world, args));
    }
    Ok(code(&report))
}

/// What is to be done now, and what was left behind.
fn farewell(world: &World, args: &Args) -> String {
    let aside = "What etcd had before lies in /var/lib/etcd/before-… on the control planes; remove it once nothing is missed.";
    let Some(survivor) = &args.from_node else { return aside.into() };
    let others: Vec<&str> = world.cluster.control_planes().map(|n| n.name.as_str()).filter(|n| n != survivor).collect();
    if others.is_empty() {
        return aside.into();
    }
    format!(
        "{aside}\netcd has one member now, {survivor}. To grow it back: machines that come back empty join with `homectl apply {0}`; a new \
         machine in an old one's place: `homectl replace-node {0} NAME --address ADDRESS`. With their old data {1} would be a cluster of \
         their own: before one of them comes back, or at once when it does, on it: systemctl disable --now etcd kube-apiserver && \
         rm -r /var/lib/etcd/member /var/lib/homectl/etcd-cluster-id",
        args.target.inventory.display(),
        others.join(", ")
    )
}

/// Reads and proves what is to be restored before anything else; files of the operator that are lost come back from a backup.
async fn open(args: &Args, global: &Global, out: &Reporter) -> Result<Origin> {
    if args.from_node.is_some() {
        return Ok(Origin { backup: None, file: None, title: "the last thing that this machine's member heard".into(), _fetched: None });
    }
    if let Some(path) = &args.snapshot {
        let title = format!("the snapshot {}", path.display());
        return Ok(Origin { backup: None, file: Some(path.clone()), title, _fetched: None });
    }
    let text = args.from.as_deref().unwrap_or_default();
    let (path, fetched) = Place::fetch(text, &backup::env).await?;
    let opened = Opened::read(&path, &backup::identity(global)?)?;
    let manifest = &opened.content.manifest;
    if std::env::consts::OS == "linux" {
        let proof = backup::proven(&opened, out).await?;
        out.talk(&format!(
            "{text} holds: revision {}, {} keys, as the cluster {} had them on {}.",
            proof.revision, proof.keys, manifest.cluster, manifest.time
        ));
    }
    let needed = [args.target.inventory.clone(), args.target.inventory.with_extension("secrets.age")];
    if needed.iter().any(|path| !path.exists()) {
        for path in backup::lay_out(&opened.content, &args.target.inventory)?.written {
            out.talk(&format!("Wrote {} (from the backup).", path.display()));
        }
    }
    let title = format!("{} (from {text}, revision {})", manifest.time, manifest.snapshot.revision);
    Ok(Origin { file: Some(opened.snapshot.clone()), title, backup: Some(opened), _fetched: fetched })
}

/// A backup of this cluster, which its secrets can still read.
fn fits(world: &World, opened: &Opened) -> Result<()> {
    let (theirs, ours) = (&opened.content.manifest.cluster, world.opened()?);
    if *theirs != world.cluster.name {
        return Err(Failure::refused(format!("the backup is of the cluster `{theirs}`, the inventory is of `{}`", world.cluster.name))
            .help("name the right one of them"));
    }
    if opened.secrets.encryption_key != ours.encryption_key {
        return Err(Failure::refused("the secrets file has another encryption key than the backup: restored Secrets could not be read")
            .seen(world.secrets_path().display().to_string())
            .help("move the secrets file away: the one in the backup takes its place"));
    }
    if opened.secrets.service_account != ours.service_account {
        return Err(Failure::refused(
            "the secrets file has another service-account key than the backup: restored tokens would be of no use",
        )
        .seen(world.secrets_path().display().to_string())
        .help("move the secrets file away: the one in the backup takes its place"));
    }
    Ok(())
}

/// The control planes that are to be members: all of the inventory, or the one that is left; each must answer.
fn members<'a>(cluster: &'a Cluster, fleet: &Fleet, survivor: Option<&str>) -> Result<Vec<&'a Node>> {
    let all: Vec<&Node> = cluster.control_planes().collect();
    if let Some(name) = survivor {
        let node = all.into_iter().find(|n| n.name == name);
        let node = node.ok_or_else(|| Failure::new(exit::USAGE, format!("{name} is no control plane of the inventory")))?;
        return match fleet.facts.get(name) {
            Some(facts) if facts.etcd_data => Ok(vec![node]),
            Some(_) => Err(Failure::refused("it has no data of etcd, so nothing of the cluster is left here").on(name).help(
                "name the control plane whose disk is whole; if there is none, restore a backup (--from), or a snapshot (--snapshot) of a control plane's /var/lib/homectl/snapshots",
            )),
            None => Err(Failure::failed("the machine does not answer").on(name)),
        };
    }
    let silent: Vec<&str> = all.iter().map(|n| n.name.as_str()).filter(|n| !fleet.facts.contains_key(*n)).collect();
    if silent.is_empty() {
        return Ok(all);
    }
    Err(Failure::refused(format!("every control plane of the inventory becomes a member of the restored etcd; off: {}", silent.join(", ")))
        .help("switch them on; or take those that will not come back out of the inventory (remove their [[node]]), and leave --limit out"))
}

/// Records the new etcd cluster once every member says that it is one: also after a run that failed later on.
async fn record(world: &mut World, fleet: &mut Fleet, id: &str) -> Result<()> {
    let Some(restoring) = &world.restoring else { return Ok(()) };
    if fleet.ask_again(world).await.is_err() {
        return Ok(());
    }
    let is = |name: &String| fleet.facts.get(name).and_then(|f| f.etcd_cluster_id.as_deref()) == Some(id);
    if restoring.restore.members.iter().all(is) { world.record_etcd(Some(id)) } else { Ok(()) }
}

/// Whether the machines may be restored onto.
pub(super) fn check(world: &World, fleet: &Fleet, restoring: &Restoring) -> Result<()> {
    steps::check_restore(&world.cluster, &fleet.facts, &restoring.restore, &restoring.known)
}
