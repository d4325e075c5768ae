//! Taking one: a control plane makes the snapshot, it passes through here into the encrypted file, never in clear on a disk.

use super::kept::{Opened, proven};
use super::named::{no_place, unknown};
use super::on_node::OnNode;
use crate::backup::{self, INVENTORY, KNOWN_HOSTS, LOCK, MANIFESTS, Manifest, Part, Place, SECRETS, SNAPSHOT, Seal, Snapshot};
use crate::cli::{Backup, Global};
use crate::cluster::{AddonSource, Component, Lock, Node};
use crate::error::{Failure, Result, exit};
use crate::exec::EventKind;
use crate::inventory::{Destination, Inventory};
use crate::report::{BackupReport, Copy, Reporter};
use crate::secrets::{self, Identity};
use crate::ssh::Connection;
use crate::steps;
use crate::verbs::fleet::{self, Fleet};
use crate::verbs::preflight;
use crate::verbs::world::World;
use futures::future::join_all;
use serde_json::Value;
use tempfile::NamedTempFile;

const SCRIPT: &str = include_str!("snapshot.sh");

/// What a control plane says of a snapshot that it made.
struct Taken<'a> {
    node: &'a Node,
    host: &'a Connection,
    /// On the node; goes once it was fetched.
    folder: String,
    file: String,
    part: Part,
    cluster_id: String,
    snapshot: Snapshot,
}

/// Where a copy is to go. What needs no session is open by then, so that what is wrong with it is told before anybody is asked.
enum Goal {
    Open(Place),
    OnNode { node: String, folder: String },
}

pub(super) async fn run(args: &Backup, global: &Global, out: &Reporter) -> Result<u8> {
    let now = jiff::Timestamp::now();
    let world = if args.verify {
        World::open(&args.target.inventory, global, out).await?
    } else {
        // Whom it is for is no secret: nothing has to be opened.
        World::open_to_look(&args.target.inventory, global, out).await?
    };
    let name = backup::file_name(&world.cluster.name, now);
    let goals = goals(args, &world.inventory, &name)?;
    let staged = match goals.as_slice() {
        [Goal::Open(place)] => place.staging()?,
        _ => Place::Folder(std::env::temp_dir()).staging()?,
    };
    // A machine with which something is wrong is no reason to have no backup of the others.
    let (fleet, mut failures) = fleet::open_all(&world, global, out).await?;
    let mut places = Vec::new();
    for goal in goals {
        match open(goal, &fleet, &failures, out) {
            Ok(place) => places.push(place),
            Err(failure) => failures.push(failure),
        }
    }
    if places.is_empty() {
        return Failure::together(failures).map(|()| exit::OK);
    }
    let manifest = match fresh(&world, &fleet, &staged, now, out).await {
        Ok(manifest) => manifest,
        Err(failure) => {
            failures.push(failure);
            return Failure::together(failures).map(|()| exit::OK);
        }
    };
    let proof = match world.identity().filter(|_| args.verify) {
        Some(identity) => Some(proven(&Opened::read(staged.path(), identity)?, out).await?),
        None => None,
    };
    let copies = keep(&places, staged, &name, rotation(args, &world.inventory), &world.cluster.name, &mut failures).await;
    if !copies.is_empty() {
        out.backup(&BackupReport { copies, manifest, proof });
    }
    fleet.tell_traffic(global, out);
    Failure::together(failures).map(|()| exit::OK)
}

/// What was asked for: a file, or places; else the inventory's places; where it has none, a file here.
fn goals(args: &Backup, inventory: &Inventory, name: &str) -> Result<Vec<Goal>> {
    let named = if args.to.is_empty() && args.out.is_none() {
        inventory.backups.to.clone()
    } else {
        args.to.iter().map(|text| Destination::parse(text).map_err(no_place)).collect::<Result<_>>()?
    };
    if named.is_empty() {
        if args.keep.is_some() {
            return Err(Failure::new(exit::USAGE, "--keep is for places of many backups, and none is named")
                .help("name one: --to PLACE, or [backup] in the inventory"));
        }
        let file = args.out.clone().unwrap_or_else(|| name.into());
        return Ok(vec![Goal::Open(Place::File(file))]);
    }
    named.into_iter().map(|destination| goal(destination, inventory)).collect()
}

/// How many stay, where older ones are to go: what the inventory says is said of its own places.
fn rotation(args: &Backup, inventory: &Inventory) -> Option<usize> {
    args.keep.map(usize::from).or(inventory.backups.keep.filter(|_| args.to.is_empty() && args.out.is_none()))
}

fn goal(destination: Destination, inventory: &Inventory) -> Result<Goal> {
    Ok(match destination {
        Destination::Path(folder) => Goal::Open(Place::Folder(folder)),
        Destination::Bucket(bucket) => Goal::Open(Place::bucket(&bucket, &super::act::env)?),
        Destination::Node { node, folder } => {
            inventory.machine(&node, unknown(&node))?;
            Goal::OnNode { node, folder }
        }
    })
}

fn open(goal: Goal, fleet: &Fleet, failures: &[Failure], out: &Reporter) -> Result<Place> {
    let (node, folder) = match goal {
        Goal::Open(place) => return Ok(place),
        Goal::OnNode { node, folder } => (node, folder),
    };
    if let Some(host) = fleet.hosts.get(&node).cloned() {
        return Ok(Place::Shelf(Box::new(OnNode { node, folder, host, sink: out.sink() })));
    }
    let off = fleet.offline.iter().find(|(name, _)| *name == node).map(|(_, seen)| seen.as_str());
    let seen = off.or_else(|| failures.iter().find(|f| f.node() == Some(&node)).map(Failure::what));
    let seen = seen.unwrap_or("--limit leaves it out");
    Err(Failure::failed(format!("no backup can be kept in {folder}: the machine is not there"))
        .seen(seen)
        .on(node)
        .help("switch it on, or name another place"))
}

/// Keeps `staged` in every one of `places`, and only then removes what is too old there. One that fails keeps no other from its copy.
async fn keep(
    places: &[Place],
    staged: NamedTempFile,
    name: &str,
    newest: Option<usize>,
    cluster: &str,
    failures: &mut Vec<Failure>,
) -> Vec<Copy> {
    let kept = match places {
        [only] => vec![only.keep(staged, name).await],
        many => join_all(many.iter().map(|place| place.keep_copy(staged.path(), name))).await,
    };
    let mut copies = Vec::new();
    for (place, kept) in places.iter().zip(kept) {
        match kept {
            Ok(shown) => copies.push(copy(place, shown, name, newest, cluster, failures).await),
            Err(failure) => failures.push(failure),
        }
    }
    copies
}

/// What is in `place`, where `name` was kept just now, once what is too old has gone.
async fn copy(place: &Place, shown: String, name: &str, newest: Option<usize>, cluster: &str, failures: &mut Vec<Failure>) -> Copy {
    let mut copy = Copy { place: shown, removed: Vec::new(), there: None };
    let all = match place.list(cluster).await {
        Ok(all) => all,
        Err(failure) => {
            // Whoever may only write to a place is not asked for more, where nothing is to go.
            failures.extend(newest.map(|_| failure));
            return copy;
        }
    };
    if let Some(newest) = newest {
        copy.removed = place.rotate(&all, newest, name).await.map_err(|failure| failures.push(failure)).unwrap_or_default();
    }
    copy.there = all.iter().any(|kept| kept.name == name).then(|| all.len() - copy.removed.len());
    copy
}

/// What a backup is named by, where that may be wrong.
fn apart(node: &str, skew: i64) -> Option<String> {
    (skew.abs() > preflight::SKEW).then(|| {
        let way = if skew > 0 { "ahead of" } else { "behind" };
        format!(
            "{node}: its clock is {} s {way} this computer's, which the backup's name tells; backups are sorted by it (timedatectl set-ntp true \
             where the clock is wrong)",
            skew.abs()
        )
    })
}

/// Takes a backup of the cluster as it is `now`, into `staged`.
pub(in crate::verbs) async fn fresh(
    world: &World,
    fleet: &Fleet,
    staged: &NamedTempFile,
    now: jiff::Timestamp,
    out: &Reporter,
) -> Result<Manifest> {
    let taken = snapshot(world, fleet, out).await?;
    let skew = fleet.facts.get(&taken.node.name).map_or(0, |facts| facts.skew);
    if let Some(told) = apart(&taken.node.name, skew) {
        out.talk(&told);
    }
    let fits = of_one_cluster(world.lock.etcd_cluster_id.as_deref(), &taken.node.name, &taken.cluster_id)
        .and_then(|()| knows_its_keys(world, fleet, taken.node));
    let written = match fits {
        Ok(()) => write(world, &taken, staged, now, out).await,
        Err(mixed) => Err(mixed),
    };
    // What is left on the node is only a copy: a failure to remove it is mended by the next run.
    let _ = taken.host.run(&format!("rm -rf {}", crate::want::quote(&taken.folder)), &mut |_| ()).await;
    written
}

/// What a clone that is behind would put together could not be restored, and would take the place of backups that can.
fn of_one_cluster(locked: Option<&str>, node: &str, runs: &str) -> Result<()> {
    match locked {
        Some(locked) if locked != runs => Err(Failure::refused(
            "the lock is of another etcd cluster than the one that runs: a backup of both could not be restored",
        )
        .on(node)
        .seen(format!("it runs etcd cluster {runs}; the lock says {locked}"))
        .help("where the cluster was restored by somebody else, pull the lock and the secrets file that it wrote; then run this again")),
        _ => Ok(()),
    }
}

/// Nor could a snapshot be restored with a secrets file that does not know the key that its Secrets are encrypted with.
fn knows_its_keys(world: &World, fleet: &Fleet, node: &Node) -> Result<()> {
    let known = world.secrets().map_or_else(|_| secrets::known(&world.secrets_path()), |secrets| Ok(secrets.sums()))?;
    match fleet.facts.get(&node.name) {
        // A file that does not say what it knows is from before files did.
        Some(facts) if !known.is_empty() => steps::knows_secrets_of(&node.name, facts, &known),
        _ => Ok(()),
    }
}

/// A snapshot by the first control plane whose etcd is well.
async fn snapshot<'a>(world: &'a World, fleet: &'a Fleet, out: &Reporter) -> Result<Taken<'a>> {
    if !fleet.facts.values().any(|f| f.etcd_data) {
        return Err(Failure::failed("there is nothing to back up: no control plane that answers has etcd's data")
            .help("homectl status says what is there"));
    }
    let mut failures = Vec::new();
    for node in world.cluster.control_planes() {
        let Some(host) = fleet.hosts.get(&node.name) else { continue };
        match ask(node, host).await {
            Ok(taken) => {
                for failure in failures {
                    out.talk(&format!("{failure}"));
                }
                return Ok(taken);
            }
            Err(failure) => failures.push(failure),
        }
    }
    match Failure::together(failures) {
        Err(failure) => Err(failure),
        Ok(()) => Err(Failure::failed("no control plane answers, so there is no snapshot")),
    }
}

async fn ask<'a>(node: &'a Node, host: &'a Connection) -> Result<Taken<'a>> {
    let script = format!("overlay={}\n{SCRIPT}", node.overlay);
    let reply = host.run(&script, &mut |_| ()).await.map_err(|e| e.into_failure(&node.name))?;
    if reply.status != 0 {
        return Err(Failure::failed("etcd gave no snapshot")
            .on(&node.name)
            .seen(reply.output.trim())
            .help("homectl status says how etcd is"));
    }
    read(node, host, &reply.output)
        .ok_or_else(|| Failure::failed("what was said of the snapshot cannot be read").on(&node.name).seen(reply.output))
}

fn read<'a>(node: &'a Node, host: &'a Connection, said: &str) -> Option<Taken<'a>> {
    let of = |key: &str| said.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(' '));
    let json = |key: &str| serde_json::from_str::<Value>(of(key)?).ok();
    let (status, live, hash) = (json("status")?, json("live")?, json("hashkv")?);
    let hash = &hash[0]["HashKV"];
    Some(Taken {
        node,
        host,
        folder: of("folder")?.to_owned(),
        file: of("file")?.to_owned(),
        part: Part { name: SNAPSHOT.into(), bytes: of("bytes")?.parse().ok()?, sha256: of("sha256")?.to_owned() },
        cluster_id: format!("{:016x}", live[0]["Status"]["header"]["cluster_id"].as_u64()?),
        snapshot: Snapshot {
            revision: status["revision"].as_u64()?,
            keys: of("count")?.parse().ok()?,
            hash: status["hash"].as_u64()?,
            // etcd leaves fields out that are 0.
            hash_kv: hash["hash"].as_u64().unwrap_or_default(),
            compacted: hash["compact_revision"].as_i64().unwrap_or_default(),
        },
    })
}

/// Everything but the snapshot, by its name in the backup.
fn files(world: &World, out: &Reporter) -> Result<Vec<(String, Vec<u8>)>> {
    let read = |path: &std::path::Path| std::fs::read(path).map_err(|e| Failure::failed(format!("cannot read {}: {e}", path.display())));
    let mut files = vec![
        (INVENTORY.to_owned(), read(&world.inventory.path)?),
        (LOCK.to_owned(), read(&Lock::path(&world.inventory.path))?),
        (SECRETS.to_owned(), read(&world.secrets_path())?),
    ];
    if world.known_hosts().exists() {
        files.push((KNOWN_HOSTS.to_owned(), read(&world.known_hosts())?));
    }
    for addon in &world.cluster.addons {
        let AddonSource::Manifests(manifests) = &addon.source else { continue };
        for (path, text) in manifests {
            let below = path
                .strip_prefix(&world.inventory.home)
                .ok()
                .filter(|p| p.components().all(|c| matches!(c, std::path::Component::Normal(_))));
            match below {
                Some(below) => {
                    if below.components().any(|c| c.as_os_str().as_encoded_bytes().starts_with(b".")) {
                        out.talk(&format!("{} is hidden: it is in the backup, but is not put back with the other files", below.display()));
                    }
                    files.push((format!("{MANIFESTS}{}", below.display()), text.clone().into_bytes()));
                }
                None => out.talk(&format!("not in the backup: {} lies outside the inventory's folder", path.display())),
            }
        }
    }
    // Two add-ons may read one file.
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files.dedup_by(|a, b| a.0 == b.0);
    Ok(files)
}

/// Writes all of it into `staged`.
async fn write(world: &World, taken: &Taken<'_>, staged: &NamedTempFile, now: jiff::Timestamp, out: &Reporter) -> Result<Manifest> {
    let files = files(world, out)?;
    let etcd = world.lock.programs.versions.get(&Component::Etcd).cloned().unwrap_or_default();
    let manifest = Manifest {
        format: 1,
        homectl: env!("CARGO_PKG_VERSION").into(),
        cluster: world.cluster.name.clone(),
        time: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        node: taken.node.name.clone(),
        kubernetes: world.cluster.kubernetes.to_string(),
        etcd,
        etcd_cluster_id: taken.cluster_id.clone(),
        snapshot: taken.snapshot.clone(),
        parts: files.iter().map(|(name, bytes)| Part::of(name.clone(), bytes)).chain([taken.part.clone()]).collect(),
    };
    let mut readers = secrets::recipients(&world.secrets_path())?;
    // One whom an older file does not name can open it all the same.
    let own = world.identity().map(Identity::recipient).filter(|own| !readers.contains(own));
    readers.extend(own);
    if readers.is_empty() {
        return Err(Failure::new(exit::USAGE, format!("{} does not say for whom it is encrypted", world.secrets_path().display()))
            .help("name the age identity that opens it: --identity FILE, or HOMECTL_IDENTITY"));
    }
    let to = std::io::BufWriter::with_capacity(1 << 20, staged.as_file());
    let mut seal = Seal::begin(to, &readers, &manifest)?;
    for (name, bytes) in &files {
        seal.part(name, bytes)?;
    }
    seal.open(SNAPSHOT)?;
    let (sink, what, total) = (out.sink(), format!("snapshot of {}", taken.node.name), Some(taken.part.bytes));
    let mut bytes = 0;
    let mut take = |piece: &[u8]| {
        bytes += piece.len() as u64;
        sink.tell(EventKind::Fetching { what: what.clone(), bytes, total });
        seal.write(piece)
    };
    taken.host.download(&taken.file, &mut take).await.map_err(|e| e.into_failure(&taken.node.name))?;
    seal.close().map_err(|e| e.on(&taken.node.name))?;
    let mut to = seal.finish()?;
    std::io::Write::flush(&mut to).map_err(|e| Failure::failed(format!("the backup could not be written: {e}")))?;
    Ok(manifest)
}

#[cfg(test)]
#[path = "take_tests.rs"]
mod tests;
