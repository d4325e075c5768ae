//! `restore`: the ordinary plan, and in it etcd's data replaced by a snapshot's. Onto the machines that had it, or others.

use super::backup::{self, Named, Opened};
use super::execute::{Consent, code, execute};
use super::fleet::{self, Fleet};
use super::kept::Kept;
use super::laid::lay_out_what_is_lost;
use super::planning;
use super::survivor;
use super::world::World;
use crate::backup::{encryption_keys, knows_authority, sha256_of};
use crate::cli::{Global, Restore as Args};
use crate::cluster::{Cluster, Component, Lock, Node, etcd_step, kubernetes_step};
use crate::error::{Failure, Result, exit};
use crate::exec::{EventKind, Sink};
use crate::facts::Facts;
use crate::plan::Plan;
use crate::report::Reporter;
use crate::secrets::Secrets;
use crate::ssh::Connection;
use crate::steps::{self, Lane, Mode, Restore, Source};
use futures::future::try_join_all;
use semver::Version;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// What a restore follows from, besides what it restores.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub cluster: &'a Cluster,
    /// PEM of etcd's authority.
    pub etcd_ca: &'a str,
    /// Of every machine that answered, by node.
    pub facts: &'a BTreeMap<String, Facts>,
    /// The etcd cluster's ID in the lock, and in the backup.
    pub recorded: Option<&'a str>,
    pub backed_up: Option<&'a str>,
    /// The one control plane that is left, where it is that.
    pub survivor: Option<&'a str>,
    /// Where etcd goes on from, unless the restore is under way already.
    pub revision: u64,
}

/// A restore that this run is for.
#[derive(Debug, Clone)]
pub struct Restoring {
    pub restore: Restore,
    /// The snapshot on this computer, where it comes from here.
    pub file: Option<PathBuf>,
    /// IDs of the etcd cluster that may be replaced.
    pub known: Vec<String>,
}

impl Restoring {
    /// The restore that is `asked` for: of the snapshot in `file` on this computer, or of what the survivor has. `title` is what it is for people.
    ///
    /// # Errors
    /// A file that cannot be read; control planes that must be there and are not.
    pub fn of(asked: &Asked<'_>, file: Option<&Path>, title: &str) -> Result<Self> {
        let members = members(asked.cluster, asked.facts, asked.survivor)?;
        let source = match file {
            Some(file) => Source::Snapshot { sha256: sha256_of(file)?, title: title.to_owned() },
            None => Source::Survivor,
        };
        let known: Vec<&str> = asked.recorded.into_iter().chain(asked.backed_up).collect();
        let before = (asked.recorded, known.first().copied());
        let restore = Restore::asked(asked.cluster, asked.etcd_ca, before, &source, &members, asked.facts, asked.revision);
        Ok(Self { restore, file: file.map(Path::to_owned), known: known.into_iter().map(str::to_owned).collect() })
    }

    /// Whether every member says that it is one, and that its data is in its place.
    #[must_use]
    pub fn is_done(&self, facts: &BTreeMap<String, Facts>) -> bool {
        let is = |f: &Facts| f.etcd_cluster_id.as_ref() == Some(&self.restore.id) && f.etcd_data && f.etcd_aside.is_none();
        self.restore.members.iter().all(|name| facts.get(name).is_some_and(is))
    }

    /// Sends the snapshot to every machine that is going to make a member of it.
    ///
    /// # Errors
    /// A machine that has no place for it, or that it does not reach.
    pub async fn deliver(&self, hosts: &BTreeMap<String, Connection>, plan: &Plan, sink: &Sink) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let place = self.restore.place();
        let total = std::fs::metadata(file).map_or(0, |m| m.len());
        let awaits = |node: &str| {
            let here = Lane::Node(node.to_owned());
            let mut items = plan.steps.iter().filter(|s| s.id.lane == here).flat_map(|s| &s.items);
            items.any(|i| i.addr == steps::RESTORE && i.verdict.change().is_some())
        };
        let sends = hosts.iter().filter(|(node, _)| awaits(node)).map(|(node, host)| {
            let place = &place;
            async move {
                let folder = steps::SNAPSHOTS;
                let room = format!("set -eu\nmkdir -p -m 0755 /var/lib/homectl\nmkdir -p -m 0700 {folder}\nrm -f {place}\n");
                let reply = host.run(&room, &mut |_| ()).await.map_err(|e| e.into_failure(node))?;
                if reply.status != 0 {
                    return Err(Failure::failed("there is no place for the snapshot").on(node).seen(reply.output));
                }
                let tell = |bytes| sink.tell(EventKind::Uploading { node: node.clone(), what: "snapshot".into(), bytes, total });
                host.upload(file.clone(), place, &tell).await.map_err(|e| e.into_failure(node))
            }
        });
        try_join_all(sends).await.map(drop)
    }
}

/// Where the content is to come from, opened and looked at.
struct Origin {
    backup: Option<Opened>,
    file: Option<PathBuf>,
    title: String,
    /// What is written of the backup among the operator's own files.
    laid: Option<Kept>,
    _fetched: Option<NamedTempFile>,
}

/// `homectl restore`.
pub(super) async fn run(args: &Args, global: &Global, out: &Reporter) -> Result<u8> {
    let mut origin = open(args, global, out).await?;
    let mut world = World::open(&args.target.inventory, global, out).await?;
    if let Some(opened) = &origin.backup {
        fits(&world, opened)?;
    }
    if let Some(snapshot) = args.snapshot.as_ref().filter(|_| args.from_node.is_none()) {
        doubts(snapshot, world.opened()?)?.iter().for_each(|doubt| out.talk(doubt));
    }
    let mut fleet = match &args.from_node {
        Some(node) => survivor::open(&world, node, global, out).await?,
        None => fleet::open(&world, global, out).await?,
    };
    let global = &match &args.from_node {
        Some(node) => Global { limit: vec![node.clone()], ..global.clone() },
        None => global.clone(),
    };
    let manifest = origin.backup.as_ref().map(|o| &o.content.manifest);
    let seen = fleet.revisions(&world.cluster).await.into_iter().chain(manifest.map(|m| m.snapshot.revision));
    let asked = Asked {
        cluster: &world.cluster,
        etcd_ca: &world.opened()?.etcd_ca.cert,
        facts: &fleet.facts,
        recorded: world.lock.etcd_cluster_id.as_deref(),
        backed_up: manifest.map(|m| m.etcd_cluster_id.as_str()),
        survivor: args.from_node.as_deref(),
        revision: steps::revision(world.now, seen),
    };
    let restoring = Restoring::of(&asked, origin.file.as_deref(), &origin.title)?;
    let id = restoring.restore.id.clone();
    world.cluster.etcd_cluster_id = Some(id.clone());
    if let Some(node) = &args.from_node {
        survivor::is_last(&world.cluster, &fleet, node, &id).await?;
        fleet.keep_only(node);
    }
    world.restoring = Some(restoring);
    let mut plan = planning::make(&world, &fleet, Mode::Present, global, out).await?;
    out.propose(&plan);
    if plan.counts().changes() == 0 {
        // What is blocked cannot be seen, or cannot be done: only what every member says is recorded.
        record(&mut world, &mut fleet, &id, out).await?;
        origin.laid.take().into_iter().for_each(Kept::settle);
        return Ok(if plan.counts().blocked == 0 { exit::OK } else { exit::FAILED });
    }
    let question = format!(
        "Everything that the cluster learnt since {} is given up; etcd's data as it is now is moved aside, not removed.",
        origin.title
    );
    let consent = Consent { question, word: world.cluster.name.clone(), to_this_only: false };
    consent.ask(out).await?;
    let report = execute(&world, &mut fleet, &mut plan, &consent, global, out).await?;
    origin.laid.take().into_iter().for_each(Kept::settle);
    record(&mut world, &mut fleet, &id, out).await?;
    if report.failed.is_empty() && !report.interrupted {
        out.talk(&farewell(&world, args));
        if let Some(strangers) = origin.backup.as_ref().and_then(|o| strangers(&world.cluster, &o.lock.numbers)) {
            out.talk(&strangers);
        }
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
         machine in an old one's place: `homectl replace-node {0} NAME --address ADDRESS`; one that is gone for good: `homectl remove-node {0} NAME \
         --dead` (with --allow-offline while others are still away). With their old data {1} would be a cluster of \
         their own: before one of them comes back, or at once when it does, on it: systemctl disable --now etcd kube-apiserver && \
         rm -r /var/lib/etcd/member /var/lib/homectl/etcd-cluster-id",
        args.target.inventory.display(),
        others.join(", ")
    )
}

/// Reads and proves what is to be restored before anything else; files of the operator that are lost come back from a backup.
async fn open(args: &Args, global: &Global, out: &Reporter) -> Result<Origin> {
    if args.from_node.is_some() {
        return Ok(Origin {
            backup: None,
            file: None,
            title: "the last thing that this machine's member heard".into(),
            laid: None,
            _fetched: None,
        });
    }
    if let Some(path) = &args.snapshot {
        let title = format!("the snapshot {}", path.display());
        return Ok(Origin { backup: None, file: Some(path.clone()), title, laid: None, _fetched: None });
    }
    let text = args.from.as_deref().unwrap_or_default();
    let identity = backup::identity(global)?;
    let at_hand = Named::find(text, &args.target.inventory, global, out).await?.bring_one().await?;
    let opened = Opened::read(&at_hand.file, &identity)?;
    if at_hand.copy.is_some() {
        out.talk(&format!(
            "{text} was brought here and read to its end: nothing more of it is asked for, whatever becomes of where it lies."
        ));
    }
    let manifest = &opened.content.manifest;
    if std::env::consts::OS == "linux" {
        let proof = backup::proven(&opened, out).await?;
        out.talk(&format!(
            "{text} holds: revision {}, {} keys, as the cluster {} had them on {}.",
            proof.revision, proof.keys, manifest.cluster, manifest.time
        ));
    }
    let laid = lay_out_what_is_lost(&opened.content, &args.target.inventory, &|line| out.talk(line))?;
    let title = format!("{} (from {text}, revision {})", manifest.time, manifest.snapshot.revision);
    Ok(Origin { file: Some(opened.snapshot.clone()), title, backup: Some(opened), laid, _fetched: at_hand.copy })
}

/// A backup of this cluster, which its secrets can still read.
fn fits(world: &World, opened: &Opened) -> Result<()> {
    let (theirs, ours) = (&opened.content.manifest.cluster, world.opened()?);
    if *theirs != world.cluster.name {
        return Err(Failure::refused(format!("the backup is of the cluster `{theirs}`, the inventory is of `{}`", world.cluster.name))
            .help("name the right one of them"));
    }
    may_read(&opened.content.manifest.kubernetes, &opened.content.manifest.etcd, &world.cluster)?;
    // Where one key is taking another's place, a Secret may be encrypted with either.
    let known = ours.encryption_keys();
    if opened.secrets.encryption_keys().iter().any(|(_, key)| !known.iter().any(|(_, ours)| ours == key)) {
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
    numbered_alike(&world.lock.numbers, &opened.lock.numbers).map_err(|f| {
        f.help(format!(
            "move {} away (the one in the backup takes its place), or name the inventory whose lock was there when the backup was made",
            Lock::path(&world.inventory.path).display()
        ))
    })
}

/// What an API server and etcd have written, the next minor version of each reads, and no older one.
fn may_read(kubernetes: &str, etcd: &str, cluster: &Cluster) -> Result<()> {
    let version = |text: &str| text.trim_start_matches('v').parse::<Version>().ok();
    let refused = |what: &str, from: &Version, to: &Version, why: String| {
        Err(Failure::refused(format!("what {what} {from} has written is not for {what} {to}: {why}"))
            .seen(format!("the backup is of {what} {from}, the inventory asks for {to}"))
            .help(
                "restore it with the versions that it was taken with, then upgrade from minor to minor: put them into the inventory; where \
                 machines run newer ones, homectl backup unpack gives the inventory and the lock that belong to it, for machines that are \
                 free (homectl reset)",
            ))
    };
    if let Some(from) = version(kubernetes)
        && let Err((why, _)) = kubernetes_step(&from, &cluster.kubernetes)
    {
        return refused("Kubernetes", &from, &cluster.kubernetes, why);
    }
    let to = cluster.programs.versions.get(&Component::Etcd).and_then(|v| version(v));
    if let (Some(from), Some(to)) = (version(etcd), to)
        && let Err((why, _)) = etcd_step(&from, &to)
    {
        return refused("etcd", &from, &to, why);
    }
    Ok(())
}

/// A node's number is its overlay address and its pods' range, which the restored objects say, too.
fn numbered_alike(ours: &BTreeMap<String, u16>, theirs: &BTreeMap<String, u16>) -> Result<()> {
    let differ = ours.iter().filter_map(|(name, number)| Some((name, number, theirs.get(name).filter(|n| *n != number)?)));
    let differ: Vec<String> = differ.map(|(name, ours, theirs)| format!("{name} is {ours} in the lock, {theirs} in the backup")).collect();
    if differ.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(
        "the lock numbers nodes otherwise than the backup: they would have other addresses than the restored cluster knows",
    )
    .seen(differ.join("\n")))
}

/// What a bare snapshot says against being restored with these secrets; a backup has its own.
fn doubts(snapshot: &Path, secrets: &Secrets) -> Result<Vec<String>> {
    let unreadable = |e: std::io::Error| Failure::failed(format!("{} cannot be read: {e}", snapshot.display()));
    let mut doubts = Vec::new();
    if !knows_authority(snapshot, &secrets.cluster_ca.cert).map_err(unreadable)? {
        doubts.push(format!(
            "{} does not hold the certificate of this cluster's authority: it is another cluster's, or older than that authority. \
             Its Secrets may not be readable.",
            snapshot.display()
        ));
    }
    let ours: Vec<String> = secrets.encryption_keys().into_iter().map(|(name, _)| name).collect();
    let strange: Vec<String> = encryption_keys(snapshot).map_err(unreadable)?.into_iter().filter(|name| !ours.contains(name)).collect();
    if !strange.is_empty() {
        doubts.push(format!(
            "{} holds Secrets that were encrypted with {}, and the secrets file has {}: unless it is only what was written over since, \
             nobody will be able to read them. A backup from before the key was changed has its key with it: restore that instead.",
            snapshot.display(),
            strange.join(", "),
            ours.join(", ")
        ));
    }
    Ok(doubts)
}

/// The control planes that are to be members: all of the inventory, or the one that is left; each must answer.
fn members<'a>(cluster: &'a Cluster, facts: &BTreeMap<String, Facts>, survivor: Option<&str>) -> Result<Vec<&'a Node>> {
    let all: Vec<&Node> = cluster.control_planes().collect();
    if let Some(name) = survivor {
        let node = all.into_iter().find(|n| n.name == name);
        let node = node.ok_or_else(|| Failure::new(exit::USAGE, format!("{name} is no control plane of the inventory")))?;
        return match facts.get(name) {
            Some(facts) if facts.etcd_data => Ok(vec![node]),
            Some(_) => Err(Failure::refused("it has no data of etcd, so nothing of the cluster is left here").on(name).help(
                "name the control plane whose disk is whole; if there is none, restore a backup (--from), or a snapshot (--snapshot) of a control plane's /var/lib/homectl/snapshots",
            )),
            None => Err(Failure::failed("the machine does not answer").on(name).seen("what was tried to reach it is told above").help(
                "switch it on, and see that ssh reaches it by hand; the one to name is a control plane whose disk is whole",
            )),
        };
    }
    let silent: Vec<&str> = all.iter().map(|n| n.name.as_str()).filter(|n| !facts.contains_key(*n)).collect();
    if silent.is_empty() {
        return Ok(all);
    }
    Err(Failure::refused(format!("every control plane of the inventory becomes a member of the restored etcd; off: {}", silent.join(", ")))
        .help("switch them on; or take those that will not come back out of the inventory (remove their [[node]]), and leave --limit out"))
}

/// Records the new etcd cluster once every member says that it is one: also after a run that failed later on.
async fn record(world: &mut World, fleet: &mut Fleet, id: &str, out: &Reporter) -> Result<()> {
    let asked = fleet.ask_again(world).await;
    if asked.is_ok() && world.restoring.as_ref().is_some_and(|r| r.is_done(&fleet.facts)) {
        return world.record_etcd(Some(id));
    }
    out.talk(&format!(
        "That etcd is cluster {id} now is not recorded in the lock: not every control plane said so. Run the same restore again: what is done is not done twice."
    ));
    Ok(())
}

/// Nodes of the backup's cluster that the inventory does not have, in words: their objects are back with it.
fn strangers(cluster: &Cluster, then: &BTreeMap<String, u16>) -> Option<String> {
    let names: Vec<&str> = then.keys().map(String::as_str).filter(|name| cluster.node(name).is_none()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "The backup knows nodes that are none any more: {}. Once the API answers: kubectl delete node --ignore-not-found {}",
            names.join(", "),
            names.join(" ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_have_left_come_back_with_a_backup() {
        let cluster = crate::scenes::Scene::one().cluster;
        let then = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 1)).collect::<BTreeMap<_, _>>();
        assert_eq!(strangers(&cluster, &then(&["attic"])), None);
        let told = strangers(&cluster, &then(&["attic", "barn", "loft"])).unwrap();
        assert!(told.contains("barn, loft") && told.ends_with("kubectl delete node --ignore-not-found barn loft"), "{told}");
    }

    #[test]
    fn nodes_keep_their_numbers() {
        let of = |all: &[(&str, u16)]| all.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<BTreeMap<_, _>>();
        let backup = of(&[("attic", 1), ("barn", 2), ("cellar", 3)]);
        assert!(numbered_alike(&of(&[("attic", 1), ("shed", 4)]), &backup).is_ok(), "nodes come and go");
        let said = numbered_alike(&of(&[("attic", 1), ("barn", 3), ("cellar", 2)]), &backup).unwrap_err().to_string();
        assert!(said.contains("numbers nodes otherwise"), "{said}");
    }

    #[test]
    fn what_newer_ones_wrote_or_much_older_ones_is_not_restored() {
        let mut cluster = crate::scenes::Scene::one().cluster;
        cluster.kubernetes = Version::new(1, 36, 3);
        cluster.programs.versions.insert(Component::Etcd, "v3.6.16".into());
        let said = |kubernetes: &str, etcd: &str| may_read(kubernetes, etcd, &cluster).map_err(|f| (f.exit_code(), f.what().to_owned()));
        for (kubernetes, etcd) in [("1.36.3", "v3.6.16"), ("1.36.1", "v3.6.8"), ("1.35.4", "v3.5.26")] {
            assert_eq!(said(kubernetes, etcd), Ok(()), "{kubernetes} {etcd}");
        }
        for (kubernetes, etcd, why) in [
            ("1.37.0", "v3.6.16", "Kubernetes 1.37.0 has written is not for Kubernetes 1.36.3: it would go back"),
            ("1.34.1", "v3.6.8", "Kubernetes 1.34.1 has written is not for Kubernetes 1.36.3: it would skip 1.35"),
            ("1.36.3", "v3.7.0", "etcd 3.7.0 has written is not for etcd 3.6.16: it would go back"),
            ("1.35.4", "v3.5.9", "etcd 3.5.9 has written is not for etcd 3.6.16: members before 3.5.26"),
        ] {
            let (code, what) = said(kubernetes, etcd).unwrap_err();
            assert!(code == 4 && what.contains(why), "{what}");
        }
    }
}
