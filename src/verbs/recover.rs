//! `recover`: the secrets file is lost, the machines are not. Where each secret lies is asked of the steps that put it there.

use super::fleet;
use super::world::{self, World};
use crate::artifacts::LockMode;
use crate::cli::{Global, Target};
use crate::cluster::{Cluster, Lock};
use crate::error::{Failure, Result, exit};
use crate::os;
use crate::pki::Ca;
use crate::report::Reporter;
use crate::secrets::{self, Authority, Pair, Prepared, SecretText, Secrets, WireGuardKey};
use crate::steps::{self, Ctx};
use crate::want::{Body, Want, quote};
use data_encoding::BASE64;
use futures::future::try_join_all;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// One secret, or what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Certificate(Ca),
    Key(Ca),
    AccountPrivate,
    AccountPublic,
    Encryption,
    WireGuard,
    /// A leaf of the node, by name.
    LeafCertificate(String),
    LeafKey(String),
}

/// Where a secret lies on a node.
struct Spot {
    path: String,
    slot: Slot,
    /// What stands before it on its line, and whether it is wrapped in base64; else it is all of the file.
    line: Option<(String, bool)>,
}

/// What was found, by node.
type Found = BTreeMap<String, BTreeMap<Slot, SecretText>>;

/// `homectl recover`.
pub(super) async fn run(args: &Target, global: &Global, out: &Reporter) -> Result<u8> {
    let inventory = world::read(&args.inventory, out)?;
    let path = inventory.path.with_extension("secrets.age");
    let lock = world::lock(&inventory, global, LockMode::Complete, out).await?;
    let cluster = inventory.resolve(&lock)?;
    vacant(&path, &cluster, global)?;
    let identity = secrets::identity(global.identity.as_deref(), &path)?;
    let now = jiff::Timestamp::now().as_second();
    let stand_in = |secrets| Prepared { secrets, identity: identity.clone(), made: false, changes: Vec::new(), warnings: Vec::new() };
    let prepared = stand_in(Secrets::placeholders(&cluster));
    let world = World::with(inventory, lock, cluster, prepared, now);
    let fleet = fleet::open(&world, global, out).await?;
    if let Some((node, seen)) = fleet.offline.first().filter(|_| !global.allow_offline) {
        return Err(Failure::failed("the machine does not answer, and its WireGuard key lies nowhere else")
            .on(node)
            .seen(seen)
            .help("switch it on; or go on without it: --allow-offline (it gets a new key by the next apply)"));
    }
    let asks = fleet.hosts.iter().map(|(node, host)| {
        let spots = spots(&world, &fleet.facts, node);
        async move {
            let spots = spots?;
            let reply = host.run(&script(&spots), &mut |_| ()).await.map_err(|e| e.into_failure(node))?;
            Ok::<_, Failure>((node.clone(), read(&spots, &reply.output)))
        }
    });
    let found: Found = try_join_all(asks).await?.into_iter().collect();
    let mut recovered = assemble(&world.cluster, &found)?;
    recovered.etcd_cluster_id = fleet.facts.values().find_map(|f| f.etcd_cluster_id.clone());
    agrees(&world, &recovered)?;
    let from: Vec<&str> = found.iter().filter(|(_, all)| !all.is_empty()).map(|(node, _)| node.as_str()).collect();
    let whole = recovered.leaves.len();
    let made = recovered.refresh(&world.cluster, now)?;
    secrets::save(&path, &recovered, &identity.identity, &[])?;
    out.talk(&format!(
        "Wrote {}: three authorities, the service-account key, the encryption key, {} WireGuard keys and {whole} certificates, from {}.",
        path.display(),
        recovered.wireguard.len(),
        from.join(", ")
    ));
    for line in &made {
        out.talk(line);
    }
    let id = recovered.etcd_cluster_id.clone();
    let World { inventory, lock, cluster, .. } = world;
    if id.is_some() {
        World::with(inventory, lock, cluster, stand_in(recovered), now).record_etcd(id.as_deref())?;
    }
    Ok(exit::OK)
}

/// A secrets file that is there stays: one that opens needs no recovery, and one that does not may still be somebody's.
fn vacant(path: &Path, cluster: &Cluster, global: &Global) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let opens =
        secrets::find_identity(global.identity.as_deref())?.is_some_and(|c| secrets::open(path, &cluster.name, &c.identity).is_ok());
    let what = if opens { "is there, and can be opened: nothing is lost" } else { "is there, though this identity does not open it" };
    Err(Failure::refused(format!("{} {what}", path.display())).help("to make it anew from the machines all the same, move it away first"))
}

/// Where this node's secrets lie: its steps are made with texts that stand for them, and each text is looked up in what they write.
fn spots(world: &World, all: &BTreeMap<String, crate::facts::Facts>, node: &str) -> Result<Vec<Spot>> {
    let (Some(facts), Some(node)) = (all.get(node), world.cluster.node(node)) else { return Ok(Vec::new()) };
    let os = os::of(facts).ok_or_else(|| Failure::failed(format!("{} is not supported", facts.os_name)).on(&node.name))?;
    let ctx = Ctx { cluster: &world.cluster, node, facts, all, secrets: world.opened()?, os, now: world.now, restore: None };
    let texts = slots(world.opened()?, &node.name);
    let mut spots = Vec::new();
    for want in steps::node(&ctx)?.into_iter().flat_map(|s| s.wants) {
        let (path, body) = match want {
            Want::File(file) => match file.body {
                Some(Body::Text(text)) => (file.path, SecretText::new(text)),
                Some(Body::Secret(text)) => (file.path, text),
                Some(Body::Sealed(_)) | None => continue,
            },
            Want::Leaf(leaf) => match leaf.file() {
                Some(text) => (leaf.path.clone(), text.clone()),
                None => continue,
            },
            _ => continue,
        };
        spots.extend(texts.iter().filter_map(|(text, slot)| spot(&path, body.expose(), text, slot)));
    }
    // Whole files first: they need no reading.
    spots.sort_by_key(|s| s.line.is_some());
    Ok(spots)
}

fn spot(path: &str, body: &str, text: &str, slot: &Slot) -> Option<Spot> {
    let at = |line| Some(Spot { path: path.to_owned(), slot: slot.clone(), line });
    // The keys of encryption at rest have names, and may be two: their file is taken as a whole.
    let keys = *slot == Slot::Encryption && body.lines().any(|line| line.ends_with(text));
    if keys || body.trim_end() == text.trim_end() {
        return at(None);
    }
    let wrapped = BASE64.encode(text.as_bytes());
    for (needle, is_wrapped) in [(text.trim_end(), false), (wrapped.as_str(), true)] {
        if let Some(prefix) = body.lines().find_map(|line| line.strip_suffix(needle)).filter(|_| !needle.contains('\n')) {
            return at(Some((prefix.to_owned(), is_wrapped)));
        }
    }
    None
}

/// The texts that stand for a node's secrets.
fn slots(secrets: &Secrets, node: &str) -> Vec<(String, Slot)> {
    let mut all = Vec::new();
    for ca in Ca::ALL {
        let authority = secrets.authority(ca);
        all.push((authority.cert.clone(), Slot::Certificate(ca)));
        all.push((authority.key.expose().to_owned(), Slot::Key(ca)));
    }
    all.push((secrets.service_account.expose().to_owned(), Slot::AccountPrivate));
    all.push((secrets.service_account_public.clone(), Slot::AccountPublic));
    all.push((secrets.encryption_key.expose().to_owned(), Slot::Encryption));
    all.extend(secrets.wireguard.get(node).map(|key| (key.private.expose().to_owned(), Slot::WireGuard)));
    for ((owner, name), pair) in &secrets.leaves {
        if owner == node {
            all.push((pair.cert.clone(), Slot::LeafCertificate(name.clone())));
            all.push((pair.key.expose().to_owned(), Slot::LeafKey(name.clone())));
        }
    }
    all
}

/// sh that gives each file that can be read, by its number.
fn script(spots: &[Spot]) -> String {
    let mut script = String::new();
    for (i, spot) in spots.iter().enumerate() {
        let path = quote(&spot.path);
        let _ = writeln!(script, "[ ! -f {path} ] || printf '%s %s\\n' {i} \"$(base64 -w 0 <{path})\"");
    }
    script
}

fn read(spots: &[Spot], reply: &str) -> BTreeMap<Slot, SecretText> {
    let mut found = BTreeMap::new();
    for line in reply.lines() {
        let Some((spot, text)) = line.split_once(' ').and_then(|(i, text)| Some((spots.get(i.parse::<usize>().ok()?)?, text))) else {
            continue;
        };
        let Some(text) = BASE64.decode(text.as_bytes()).ok().and_then(|b| String::from_utf8(b).ok()) else { continue };
        let value = match &spot.line {
            None => Some(text),
            Some((prefix, wrapped)) => {
                let value = text.lines().find_map(|l| l.strip_prefix(prefix.as_str())).map(str::trim);
                if *wrapped {
                    value.and_then(|v| String::from_utf8(BASE64.decode(v.as_bytes()).ok()?).ok())
                } else {
                    value.map(str::to_owned)
                }
            }
        };
        if let Some(value) = value {
            found.entry(spot.slot.clone()).or_insert_with(|| SecretText::new(value));
        }
    }
    found
}

/// The secrets of the cluster; what all machines share must be the same on all.
fn assemble(cluster: &Cluster, found: &Found) -> Result<Secrets> {
    let mut secrets = Secrets::placeholders(cluster);
    let authority = |ca: Ca| -> Result<Authority> {
        let (cert, key) = (
            shared(found, &Slot::Certificate(ca), &format!("certificate of the {ca}"))?,
            shared(found, &Slot::Key(ca), &format!("key of the {ca}"))?,
        );
        // Where another is about to take its place there are two; the one that signs is whose key lies there.
        let certificates = cert.expose().split_inclusive("-----END CERTIFICATE-----").map(|c| format!("{}\n", c.trim()));
        let mut authorities = certificates.map(|cert| Authority { cert, key: key.clone() });
        authorities
            .find(Authority::is_whole)
            .ok_or_else(|| Failure::failed(format!("key and certificate of the {ca} on the machines do not belong together")))
    };
    secrets.cluster_ca = authority(Ca::Cluster)?;
    secrets.etcd_ca = authority(Ca::Etcd)?;
    secrets.front_proxy_ca = authority(Ca::FrontProxy)?;
    secrets.service_account = shared(found, &Slot::AccountPrivate, "service-account key")?;
    shared(found, &Slot::AccountPublic, "public service-account key")?.expose().clone_into(&mut secrets.service_account_public);
    let files: Vec<&str> = found.values().filter_map(|slots| Some(slots.get(&Slot::Encryption)?.expose())).collect();
    if !secrets.take_encryption_keys(&files) {
        // Told apart: on no machine, or not the same on all.
        shared(found, &Slot::Encryption, "key of encryption at rest")?;
        return Err(Failure::failed("the key of encryption at rest cannot be read in what lies on the machines"));
    }
    secrets.wireguard.clear();
    secrets.leaves.clear();
    for (node, slots) in found {
        if let Some(key) = slots.get(&Slot::WireGuard) {
            let key = WireGuardKey::of(key).ok_or_else(|| Failure::failed("its WireGuard key cannot be read").on(node))?;
            secrets.wireguard.insert(node.clone(), key);
        }
        for (slot, cert) in slots {
            let Slot::LeafCertificate(name) = slot else { continue };
            let Some(key) = slots.get(&Slot::LeafKey(name.clone())) else { continue };
            let pair = Pair { cert: cert.expose().to_owned(), key: key.clone() };
            if pair.is_whole() {
                secrets.leaves.insert((node.clone(), name.clone()), pair);
            }
        }
    }
    Ok(secrets)
}

/// What must be one and the same wherever it lies.
fn shared(found: &Found, slot: &Slot, what: &str) -> Result<SecretText> {
    let mut all = found.iter().filter_map(|(node, slots)| Some((node, slots.get(slot)?)));
    let (first, text) = all.next().ok_or_else(|| {
        Failure::failed(format!("the {what} lies on no machine that answers"))
            .seen(format!("asked: {}", found.keys().cloned().collect::<Vec<_>>().join(", ")))
            .help("it is on every control plane that homectl has set up: bring back one of them; or take the secrets file from version control or a backup (`homectl backup unpack`)")
    })?;
    match all.find(|(_, other)| other.expose().trim_end() != text.expose().trim_end()) {
        None => Ok(text.clone()),
        Some((node, _)) => Err(Failure::refused(format!("{first} and {node} have different ones: {what}"))
            .help("are both of this cluster? Leave the wrong one out: --limit NODE,…")),
    }
}

/// Whether the lock speaks of the same cluster.
fn agrees(world: &World, recovered: &Secrets) -> Result<()> {
    let (Some(locked), Some(live)) =
        (&Lock::load(&Lock::path(&world.inventory.path))?.and_then(|l| l.etcd_cluster_id), &recovered.etcd_cluster_id)
    else {
        return Ok(());
    };
    if locked == live {
        return Ok(());
    }
    Err(Failure::refused(format!("the machines belong to etcd cluster {live}, the lock says {locked}")).help("is it the right inventory?"))
}
