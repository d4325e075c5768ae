//! `recover`: the secrets file is lost, the machines are not. Where each secret lies is asked of the steps that put it there.

use super::fleet;
use super::live_etcd::live_etcd;
use super::world::{self, World};
use crate::artifacts::LockMode;
use crate::cli::{Global, Target};
use crate::cluster::Cluster;
use crate::error::{Failure, Result, exit};
use crate::facts::Facts;
use crate::os;
use crate::pki::Ca;
use crate::report::Reporter;
use crate::secrets::{self, FoundAuthority, Pair, Prepared, SecretText, Secrets, WireGuardKey};
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

/// What is said where an exchange of authorities cannot go on.
const GIVEN_UP: &str = "New authorities that had signed nothing yet are given up: their keys were in the lost file only. The next apply takes them \
                        out again; to replace the former ones: homectl certs rotate-ca.";

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
    let stand_ins = Secrets::placeholders(&cluster);
    let prepared = stand_in(stand_ins.clone());
    let world = World::with(inventory, lock, cluster, prepared, now);
    let fleet = fleet::open(&world, global, out).await?;
    if let Some((node, seen)) = fleet.offline.first().filter(|_| !global.allow_offline) {
        return Err(Failure::failed("the machine does not answer, and its WireGuard key lies nowhere else")
            .on(node)
            .seen(seen)
            .help("switch it on; or go on without it: --allow-offline (it gets a new key by the next apply)"));
    }
    let asks = fleet.hosts.iter().map(|(node, host)| {
        let spots = spots(&world.cluster, &stand_ins, &fleet.facts, node);
        async move {
            let spots = spots?;
            let reply = host.run(&script(&spots), &mut |_| ()).await.map_err(|e| e.into_failure(node))?;
            Ok::<_, Failure>((node.clone(), read(&spots, &reply.output)))
        }
    });
    let found: Found = try_join_all(asks).await?.into_iter().collect();
    let (mut recovered, given_up) = assemble(&world.cluster, &found)?;
    let (id, told_of_etcd) = live_etcd(&fleet.facts, world.lock.etcd_cluster_id.as_deref())?;
    recovered.etcd_cluster_id.clone_from(&id);
    let from: Vec<&str> = found.iter().filter(|(_, all)| !all.is_empty()).map(|(node, _)| node.as_str()).collect();
    let whole = recovered.leaves.len();
    // Where an authority has run out nothing can be made by it: another verb's work.
    let made = if recovered.authorities_end()?.1 > now { recovered.refresh(&world.cluster, now)? } else { Vec::new() };
    secrets::save(&path, &recovered, &identity.identity, &[])?;
    out.talk(&format!(
        "Wrote {}: three authorities, the service-account key, the encryption key, {} WireGuard keys and {whole} certificates, from {}.",
        path.display(),
        recovered.wireguard.len(),
        from.join(", ")
    ));
    for line in made.iter().chain(&recovered.under_way(now)).chain(&recovered.warnings(now)?) {
        out.talk(line);
    }
    if given_up {
        out.talk(GIVEN_UP);
    }
    if let Some(told) = told_of_etcd {
        out.talk(&told);
    }
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
fn spots(cluster: &Cluster, stand_ins: &Secrets, all: &BTreeMap<String, Facts>, node: &str) -> Result<Vec<Spot>> {
    let (Some(facts), Some(node)) = (all.get(node), cluster.node(node)) else { return Ok(Vec::new()) };
    let os = os::of(facts).ok_or_else(|| Failure::failed(format!("{} is not supported", facts.os_name)).on(&node.name))?;
    let ctx = Ctx { cluster, node, facts, all, secrets: stand_ins, os, now: 0, restore: None };
    let texts = slots(stand_ins, &node.name);
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

/// The secrets of the cluster, and whether an exchange of authorities was given up. What all machines share must be the same on all, but
/// for what one takes the place of.
fn assemble(cluster: &Cluster, found: &Found) -> Result<(Secrets, bool)> {
    let mut secrets = Secrets::placeholders(cluster);
    for ca in Ca::ALL {
        any(found, &Slot::Certificate(ca), &format!("certificate of the {ca}"))?;
        any(found, &Slot::Key(ca), &format!("key of the {ca}"))?;
    }
    let all = |slot: Slot| found.values().filter_map(move |slots| slots.get(&slot).cloned());
    let given_up = secrets.take_authorities(|ca| FoundAuthority {
        bundles: all(Slot::Certificate(ca)).map(|text| text.expose().to_owned()).collect(),
        keys: all(Slot::Key(ca)).collect(),
    });
    let given_up = given_up.map_err(|why| {
        Failure::refused(format!("authorities on the machines do not fit together: {why}"))
            .seen(format!("asked: {}", found.keys().cloned().collect::<Vec<_>>().join(", ")))
            .help("are all of this cluster? Leave a wrong one out: --limit NODE,…; or take the secrets file from version control or a backup (`homectl backup unpack`)")
    })?;
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
    Ok((secrets, given_up))
}

/// The first machine that has it, and what it has.
fn any<'a>(found: &'a Found, slot: &Slot, what: &str) -> Result<(&'a String, &'a SecretText)> {
    let mut all = found.iter().filter_map(|(node, slots)| Some((node, slots.get(slot)?)));
    all.next().ok_or_else(|| {
        Failure::failed(format!("the {what} lies on no machine that answers"))
            .seen(format!("asked: {}", found.keys().cloned().collect::<Vec<_>>().join(", ")))
            .help("it is on every control plane that homectl has set up: bring back one of them; or take the secrets file from version control or a backup (`homectl backup unpack`)")
    })
}

/// What must be one and the same wherever it lies.
fn shared(found: &Found, slot: &Slot, what: &str) -> Result<SecretText> {
    let (first, text) = any(found, slot, what)?;
    let mut all = found.iter().filter_map(|(node, slots)| Some((node, slots.get(slot)?)));
    match all.find(|(_, other)| other.expose().trim_end() != text.expose().trim_end()) {
        None => Ok(text.clone()),
        Some((node, _)) => Err(Failure::refused(format!("{first} and {node} have different ones: {what}"))
            .help("are both of this cluster? Leave the wrong one out: --limit NODE,…")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::fixture::NOW;
    use crate::scenes::Scene;
    use crate::secrets::Stage;

    const PLANES: [&str; 3] = ["attic", "cellar", "garage"];

    /// Three control planes and a worker, and their secrets before an exchange of authorities and in each of its stages.
    struct House {
        scene: Scene,
        stages: [Secrets; 4],
    }

    const OLD: usize = 0;
    const KNOWN: usize = 1;
    const FIRST: usize = 2;
    const ALONE: usize = 3;

    impl House {
        fn new() -> Self {
            let scene = Scene::four();
            let mut secrets = Secrets::make(&scene.cluster, NOW).unwrap();
            let stages = std::array::from_fn(|stage| {
                if stage > OLD {
                    secrets.turn_authorities(NOW).unwrap();
                    secrets.refresh(&scene.cluster, NOW).unwrap();
                }
                secrets.clone()
            });
            Self { scene, stages }
        }

        /// The files of a machine that an apply has brought to that stage.
        fn files(&self, node: &str, stage: usize) -> BTreeMap<String, String> {
            let (cluster, facts) = (&self.scene.cluster, &self.scene.facts[node]);
            let (node, os) = (cluster.node(node).unwrap(), os::of(facts).unwrap());
            let ctx = Ctx { cluster, node, facts, all: &self.scene.facts, secrets: &self.stages[stage], os, now: NOW, restore: None };
            let text = |want: Want| match want {
                Want::File(file) => match file.body? {
                    Body::Text(text) => Some((file.path, text)),
                    Body::Secret(text) => Some((file.path, text.expose().to_owned())),
                    Body::Sealed(_) => None,
                },
                Want::Leaf(leaf) => Some((leaf.path.clone(), leaf.file()?.expose().to_owned())),
                _ => None,
            };
            steps::node(&ctx).unwrap().into_iter().flat_map(|s| s.wants).filter_map(text).collect()
        }

        fn found(&self, node: &str, files: &BTreeMap<String, String>) -> BTreeMap<Slot, SecretText> {
            let spots = spots(&self.scene.cluster, &Secrets::placeholders(&self.scene.cluster), &self.scene.facts, node).unwrap();
            let line = |(i, spot): (usize, &Spot)| Some(format!("{i} {}\n", BASE64.encode(files.get(&spot.path)?.as_bytes())));
            read(&spots, &spots.iter().enumerate().filter_map(line).collect::<String>())
        }

        /// What is recovered from machines at these stages, the control planes first.
        fn recovered(&self, stages: [usize; 4]) -> Result<(Secrets, bool)> {
            let nodes = PLANES.into_iter().chain(["shed"]).zip(stages);
            let found = nodes.map(|(node, stage)| (node.to_owned(), self.found(node, &self.files(node, stage)))).collect();
            assemble(&self.scene.cluster, &found)
        }
    }

    #[test]
    fn authorities_are_recovered_wherever_their_exchange_was_cut() {
        let house = House::new();
        let [old, known, first, alone] = &house.stages;
        for (stages, stage, like, given_up) in [
            ([OLD; 4], Stage::Alone, old, false),
            // The keys of those that have signed nothing were in the lost file only.
            ([KNOWN, OLD, OLD, OLD], Stage::Alone, old, true),
            ([KNOWN; 4], Stage::Alone, old, true),
            ([FIRST, KNOWN, KNOWN, KNOWN], Stage::First, first, false),
            ([FIRST, FIRST, FIRST, KNOWN], Stage::First, first, false),
            ([FIRST; 4], Stage::First, first, false),
            ([ALONE, FIRST, FIRST, FIRST], Stage::Alone, alone, false),
            ([ALONE; 4], Stage::Alone, alone, false),
        ] {
            let (mut secrets, is_given_up) = house.recovered(stages).unwrap();
            assert_eq!((secrets.authority_stage(), is_given_up), (stage, given_up), "{stages:?}");
            for ca in Ca::ALL {
                assert_eq!(secrets.authority(ca).cert, like.authority(ca).cert, "{stages:?}");
                assert!(secrets.authority(ca).is_whole(), "{stages:?}");
                assert_eq!(secrets.trusted(ca), like.trusted(ca), "{stages:?}");
            }
            assert_eq!(secrets.cluster_ca.is_whole(), stages[..3] != [FIRST; 3], "{stages:?}: the key that signed before");
            // It is gone on with as if nothing had been lost.
            secrets.refresh(&house.scene.cluster, NOW).unwrap();
            if stage == Stage::First {
                secrets.turn_authorities(NOW).unwrap();
                assert!(Ca::ALL.iter().all(|&ca| secrets.trusted(ca) == alone.trusted(ca)));
            }
        }
        assert_eq!(known.authority_stage(), Stage::Known);
    }

    #[test]
    fn a_machine_that_was_cut_between_two_keys_is_recovered() {
        let house = House::new();
        let mut files = house.files("attic", KNOWN);
        let later = house.files("attic", FIRST);
        for path in ["/etc/kubernetes/pki/ca.key", "/etc/kubernetes/pki/ca-signing.crt"] {
            files.insert(path.into(), later[path].clone());
        }
        let found = Found::from([("attic".to_owned(), house.found("attic", &files))]);
        let (secrets, given_up) = assemble(&house.scene.cluster, &found).unwrap();
        assert!(given_up);
        let [old, _, first, _] = &house.stages;
        assert_eq!(secrets.authority_stage(), Stage::First);
        assert_eq!(secrets.authority(Ca::Cluster), first.authority(Ca::Cluster));
        assert_eq!(secrets.trusted(Ca::Cluster), first.trusted(Ca::Cluster));
        assert_eq!((secrets.authority(Ca::Etcd), secrets.trusted(Ca::Etcd)), (&old.etcd_ca, old.trusted(Ca::Etcd)));
    }

    #[test]
    fn a_stranger_among_the_machines_is_refused() {
        let (house, other) = (House::new(), House::new());
        let of = |house: &House, node: &str| (node.to_owned(), house.found(node, &house.files(node, OLD)));
        let found = Found::from([of(&house, "attic"), of(&other, "cellar")]);
        let refusal = assemble(&house.scene.cluster, &found).unwrap_err();
        assert_eq!(refusal.exit_code(), exit::REFUSED);
        assert_eq!(refusal.what(), "authorities on the machines do not fit together: cluster CA: machines have different certificates");
    }
}
