//! Secrets made, kept, saved and opened.

mod identities;
mod preparing;

use super::*;
use crate::cluster::Role;
use crate::error::exit;
use crate::house::node;
use crate::pki::fixture::{DAY, NOW, cluster, run};
use crate::pki::{self, Ca, name, same_key};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

fn secrets() -> Secrets {
    Secrets::make(&cluster(), NOW).unwrap()
}

/// Everything in `s` that nobody may see.
fn keys(s: &Secrets) -> Vec<&str> {
    let authorities = Ca::ALL.map(|ca| s.authority(ca).key.expose());
    let wireguard = s.wireguard.values().map(|k| k.private.expose());
    let leaves = s.leaves.values().map(|p| p.key.expose());
    authorities.into_iter().chain(wireguard).chain(leaves).chain([s.service_account.expose(), s.encryption_key.expose()]).collect()
}

/// A directory with an identity's secrets file in it.
struct Place {
    dir: tempfile::TempDir,
    identity: Identity,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), identity: Identity::generate() }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("inventory.secrets.age")
    }

    fn save(&self, secrets: &Secrets) -> bool {
        save(&self.file(), secrets, &self.identity, &[]).unwrap()
    }

    fn open(&self) -> crate::error::Result<Secrets> {
        open(&self.file(), "home", &self.identity)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn made_secrets_hold_and_stay() {
    let mut secrets = secrets();
    let cluster = cluster();
    assert_eq!(secrets.leaves.len(), pki::leaves(&cluster).len());
    assert_eq!(secrets.wireguard.keys().collect::<Vec<_>>(), ["attic", "cellar"]);
    for leaf in pki::leaves(&cluster) {
        let pair = secrets.leaf(&leaf.owner, leaf.name).unwrap();
        pki::judge(&leaf.spec, &secrets.authority(leaf.spec.ca).cert, &pair.cert, NOW).unwrap();
        assert!(pair.is_whole());
    }
    let before = secrets.clone();
    assert!(!secrets.ensure(&cluster, NOW + 200 * DAY).unwrap());
    assert_eq!(secrets, before);
    let mut all = keys(&secrets);
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn new_nodes_get_theirs_and_old_ones_keep_theirs() {
    let (mut secrets, mut cluster) = (secrets(), cluster());
    let before = secrets.clone();
    cluster.nodes.push(node(3, "garage", Role::ControlPlane));
    cluster.nodes.remove(1);
    let changes = secrets.refresh(&cluster, NOW).unwrap();
    assert_eq!(changes.len(), 13);
    assert_eq!((changes[0].as_str(), changes[1].as_str()), ("garage/wireguard: made", "garage/apiserver: made"));
    for (key, pair) in &before.leaves {
        assert_eq!(&secrets.leaves[key], pair);
    }
    assert_eq!(secrets.wireguard["cellar"], before.wireguard["cellar"]);
    assert_eq!(secrets.cluster_ca, before.cluster_ca);
}

#[test]
fn only_what_no_longer_holds_is_renewed_and_keys_stay() {
    let (mut secrets, mut cluster) = (secrets(), cluster());
    let before = secrets.clone();
    cluster.api.names.push("new.home.lan".into());
    assert_eq!(secrets.refresh(&cluster, NOW).unwrap(), ["attic/apiserver: lacks DNS new.home.lan"]);
    let (old, new) = (before.leaf("attic", name::APISERVER).unwrap(), secrets.leaf("attic", name::APISERVER).unwrap());
    assert_eq!(old.key, new.key);
    assert!(same_key(&old.cert, &new.cert));

    let aged = secrets.refresh(&cluster, NOW + 250 * DAY).unwrap();
    assert_eq!(aged.len(), secrets.leaves.len());
    assert!(aged[0].ends_with("less than a third of its life left (115 days of 365 days)"), "{}", aged[0]);
    assert!(!secrets.ensure(&cluster, NOW + 250 * DAY).unwrap());
    assert_eq!(secrets.cluster_ca, before.cluster_ca);

    let other = secrets.leaf("cellar", name::KUBELET).unwrap().key.clone();
    secrets.leaves.get_mut(&("attic".into(), name::ADMIN.into())).unwrap().key = other;
    assert_eq!(secrets.refresh(&cluster, NOW + 250 * DAY).unwrap(), ["attic/admin: key and certificate did not match"]);
}

#[test]
fn all_leaves_are_made_anew_with_the_keys_they_have() {
    let (mut secrets, cluster) = (secrets(), cluster());
    let before = secrets.clone();
    let later = NOW + 10 * DAY;
    assert_eq!(secrets.reissue(&cluster, later - 3600, later).unwrap(), before.leaves.len());
    for (key, pair) in &secrets.leaves {
        assert!(pair.is_whole() && pair.key == before.leaves[key].key && pair.cert != before.leaves[key].cert);
    }
    let after = secrets.clone();
    assert_eq!(secrets.reissue(&cluster, later - 3000, later + 600).unwrap(), 0);
    assert_eq!(secrets, after);
}

#[test]
fn a_new_key_of_encryption_at_rest_comes_in_by_stages_and_each_is_kept() {
    let (place, mut secrets) = (Place::new(), secrets());
    let old = secrets.encryption_key.clone();
    let new = pki::encryption_key();
    let seen = |s: &Secrets| s.encryption_keys().into_iter().map(|(name, key)| (name, key.clone())).collect::<Vec<_>>();
    let (one, two) = (("key1".to_owned(), old), ("key2".to_owned(), new.clone()));
    for (stage, keys) in
        [(Stage::Known, vec![one.clone(), two.clone()]), (Stage::First, vec![two.clone(), one]), (Stage::Alone, vec![two.clone()])]
    {
        assert_eq!(secrets.turn_encryption_key(|| new.clone()), stage);
        place.save(&secrets);
        let kept = place.open().unwrap();
        assert_eq!((seen(&kept), kept.key_stage()), (keys, stage));
        assert_eq!(kept, secrets);
    }
    assert_eq!(secrets.turn_encryption_key(pki::encryption_key), Stage::Known);
    assert_eq!(seen(&secrets)[0], two);
    assert_eq!(seen(&secrets)[1].0, "key3");
}

#[test]
fn authorities_come_in_by_stages_and_each_is_kept() {
    let (place, mut secrets) = (Place::new(), secrets());
    let old = secrets.cluster_ca.clone();
    let signed = |s: &Secrets| {
        let all = pki::leaves(&cluster());
        all.iter().filter(|l| pki::judge(&l.spec, &old.cert, &s.leaf(&l.owner, l.name).unwrap().cert, NOW).is_ok()).count()
    };
    let by_old = signed(&secrets);
    let mut new = None;
    for (stage, both) in [(Stage::Known, true), (Stage::First, true), (Stage::Alone, false)] {
        secrets.turn_authorities(NOW).unwrap();
        let next = new.get_or_insert_with(|| secrets.authorities_next.clone().unwrap().value).clone();
        assert_eq!(secrets.authority_stage(), stage);
        let changed = secrets.refresh(&cluster(), NOW).unwrap().len();
        let (by, all) = if stage == Stage::Known { (&old, 0) } else { (&next.cluster, secrets.leaves.len()) };
        assert_eq!(secrets.authority(Ca::Cluster), by);
        assert_eq!(changed, if stage == Stage::First { all } else { 0 });
        assert_eq!(signed(&secrets), if stage == Stage::Known { by_old } else { 0 });
        let trusted = if both { format!("{}{}", old.cert, next.cluster.cert) } else { next.cluster.cert.clone() };
        assert_eq!(secrets.trusted(Ca::Cluster), trusted);
        for leaf in pki::leaves(&cluster()) {
            pki::judge(&leaf.spec, &secrets.trusted(leaf.spec.ca), &secrets.leaf(&leaf.owner, leaf.name).unwrap().cert, NOW).unwrap();
        }
        assert_eq!(secrets.under_way(NOW).len(), usize::from(both));
        place.save(&secrets);
        assert_eq!(place.open().unwrap(), secrets);
    }
    assert_eq!((secrets.etcd_ca, secrets.front_proxy_ca), (new.clone().unwrap().etcd, new.unwrap().front_proxy));
}

#[test]
fn the_lost_key_of_a_former_authority_keeps_nobody_from_going_on() {
    let (place, mut secrets) = (Place::new(), secrets());
    secrets.cluster_ca.key = SecretText::new(String::new());
    place.save(&secrets);
    assert!(place.open().is_err(), "of the one that signs it must be there");
    let (place, mut secrets) = (Place::new(), self::secrets());
    secrets.turn_authorities(NOW).unwrap();
    secrets.turn_authorities(NOW).unwrap();
    secrets.cluster_ca.key = SecretText::new(String::new());
    secrets.refresh(&cluster(), NOW).unwrap();
    place.save(&secrets);
    assert_eq!(place.open().unwrap(), secrets);
    secrets.turn_authorities(NOW).unwrap();
    place.save(&secrets);
    assert_eq!(place.open().unwrap(), secrets);
}

#[test]
fn keys_of_encryption_at_rest_are_found_again_on_the_machines() {
    let file = |keys: &[(u32, &str)]| {
        let keys: Vec<String> = keys.iter().map(|(n, key)| format!("      - name: key{n}\n        secret: {key}\n")).collect();
        format!("resources:\n- resources: [\"secrets\"]\n  providers:\n  - secretbox:\n      keys:\n{}", keys.concat())
    };
    let (old, new) = ((3, "b2xk"), (4, "bmV3"));
    let take = |files: &[String]| {
        let mut secrets = secrets();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        secrets.take_encryption_keys(&files).then(|| {
            let names = secrets.encryption_keys().iter().map(|(name, key)| format!("{name}={}", key.expose())).collect::<Vec<_>>();
            names.join(" ")
        })
    };
    for (files, expected) in [
        (vec![file(&[old])], Some("key3=b2xk")),
        (vec![file(&[old]), file(&[old, new])], Some("key3=b2xk key4=bmV3")),
        (vec![file(&[old, new]), file(&[new, old])], Some("key4=bmV3 key3=b2xk")),
        (vec![file(&[new]), file(&[new, old])], Some("key4=bmV3 key3=b2xk")),
        (vec![file(&[new]), file(&[(4, "Zm9v")])], None),
        (vec![file(&[(1, "Zm9v")]), file(&[new])], None),
        (vec![], None),
    ] {
        assert_eq!(take(&files).as_deref(), expected, "{files:?}");
    }
}

#[test]
fn an_authority_that_ends_is_told_and_never_made_anew() {
    let mut secrets = secrets();
    assert_eq!(secrets.warnings(NOW).unwrap(), Vec::<String>::new());
    let late = NOW + 3550 * DAY;
    assert!(secrets.ensure(&cluster(), late).unwrap());
    assert!(!secrets.ensure(&cluster(), late).unwrap());
    assert_eq!(
        secrets.warnings(late).unwrap()[0],
        "the cluster CA ends in 100 days, and certificates cannot outlive it: homectl certs rotate-ca"
    );
    let before = secrets.clone();
    let failure = secrets.ensure(&cluster(), NOW + 3651 * DAY).unwrap_err();
    assert_eq!(failure.what(), "the cluster CA expired 24 hours ago");
    assert_eq!(secrets, before);
    let said = "the cluster CA expired 24 hours ago, and nothing can be signed by it: homectl certs rescue";
    assert_eq!(secrets.warnings(NOW + 3651 * DAY).unwrap()[0], said);
}

#[test]
fn authorities_that_have_ended_are_superseded_at_once_from_any_stage() {
    let (place, late) = (Place::new(), NOW + 3651 * DAY);
    for stages in 0..3 {
        let mut secrets = secrets();
        let ended = secrets.cluster_ca.cert.clone();
        (0..stages).for_each(|_| secrets.turn_authorities(NOW).unwrap());
        assert!(secrets.authorities_end().unwrap().1 <= late);
        secrets.supersede_authorities(late).unwrap();
        assert_eq!(secrets.authority_stage(), Stage::First);
        assert!(secrets.authorities_end().unwrap().1 > late);
        assert!(secrets.former_authorities_end().unwrap().unwrap().1 <= late);
        assert_eq!(secrets.trusted(Ca::Cluster).contains(&ended), stages == 0);
        let under_way = secrets.under_way(late);
        assert!(under_way.len() == 1 && under_way[0].ends_with("homectl certs rescue goes on"), "{under_way:?}");
        assert_eq!(secrets.refresh(&cluster(), late).unwrap().len(), secrets.leaves.len());
        place.save(&secrets);
        assert_eq!(place.open().unwrap(), secrets);
    }
}

#[test]
fn a_file_tells_whoever_cannot_open_it_what_it_knows() {
    let (place, mut secrets) = (Place::new(), secrets());
    place.save(&secrets);
    let before = known(&place.file()).unwrap();
    assert_eq!(before, secrets.sums());
    secrets.turn_encryption_key(crate::pki::encryption_key);
    secrets.turn_authorities(NOW).unwrap();
    place.save(&secrets);
    let after = known(&place.file()).unwrap();
    assert_eq!((before.len(), after.len()), (2, 4));
    assert!(before.iter().all(|sum| after.contains(sum)));
    assert_eq!(place.open().unwrap(), secrets);
}

#[test]
fn debug_shows_no_key() {
    let secrets = secrets();
    let shown = format!("{secrets:?} {secrets:#?}");
    for key in keys(&secrets) {
        for line in key.lines().filter(|l| !l.starts_with("-----")) {
            assert!(!shown.contains(line));
        }
    }
    let identity = Identity::generate();
    let shown = format!("{identity:?}");
    assert!(!shown.to_uppercase().contains("SECRET"));
    assert!(shown.contains(&identity.recipient().to_string()));
}

#[test]
fn what_is_saved_is_what_is_opened() {
    let (place, mut secrets) = (Place::new(), secrets());
    assert!(place.save(&secrets));
    assert_eq!(place.open().unwrap(), secrets);
    assert_eq!((mode(&place.file()), place.names()), (0o600, vec!["inventory.secrets.age".to_owned()]));
    let sealed = fs::read(place.file()).unwrap();
    assert!(sealed.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----\n"));

    assert!(!place.save(&secrets));
    assert_eq!(fs::read(place.file()).unwrap(), sealed);

    secrets.etcd_cluster_id = Some("0123456789abcdef".into());
    assert!(place.save(&secrets));
    assert_eq!(place.open().unwrap(), secrets);
    assert_eq!(place.names(), ["inventory.secrets.age"]);
}

#[test]
fn a_wrong_identity_is_told_the_right_one() {
    let (place, secrets) = (Place::new(), secrets());
    place.save(&secrets);
    let wrong = Identity::generate();
    let before = fs::read(place.file()).unwrap();
    for failure in [open(&place.file(), "home", &wrong).unwrap_err(), save(&place.file(), &secrets, &wrong, &[]).unwrap_err()] {
        assert_eq!(failure.exit_code(), exit::INVENTORY);
        let evidence = [format!("encrypted to {}", place.identity.recipient()), format!("identity is {}", wrong.recipient())];
        assert_eq!(failure.evidence(), evidence);
        assert!(failure.remedy().unwrap().contains("--identity"));
    }
    assert_eq!(fs::read(place.file()).unwrap(), before);
}

#[test]
fn damage_is_told_from_a_wrong_identity() {
    let (place, secrets) = (Place::new(), secrets());
    place.save(&secrets);
    let whole = fs::read(place.file()).unwrap();
    let mut cases = vec![Vec::new(), b"hello".to_vec(), whole[..whole.len() / 2].to_vec()];
    for at in [300, whole.len() / 2, whole.len() - 60] {
        let mut flipped = whole.clone();
        flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
        cases.push(flipped);
    }
    for bytes in cases {
        fs::write(place.file(), &bytes).unwrap();
        let failure = place.open().unwrap_err();
        assert_eq!(failure.exit_code(), exit::INVENTORY);
        assert!(failure.what().ends_with("is damaged"), "{failure}");
        assert!(failure.remedy().is_some());
        assert!(save(&place.file(), &secrets, &place.identity, &[]).is_err());
        assert_eq!(fs::read(place.file()).unwrap(), bytes);
    }
}

/// Writes `clear` as a secrets file.
fn seal(place: &Place, clear: &str) {
    let sealed = super::crypt::encrypt(clear, &[place.identity.recipient()], &[]).unwrap();
    fs::write(place.file(), sealed).unwrap();
}

#[test]
fn content_that_is_not_ours_is_refused_and_never_quoted() {
    let (place, mut secrets) = (Place::new(), secrets());
    let text = super::content::write(&secrets).unwrap();
    for (clear, what, evidence) in [
        (text.replacen("format = 1", "format = 5", 1), "was written by a newer homectl", "its format is 5"),
        (text.replacen("format = 1", "format = 1\nhunter2 = \"hunter2\"", 1), "is damaged", "(line 2)"),
        (text.replacen("format = 1", "format = \"hunter2\"", 1), "is damaged", "(line 1)"),
        ("hunter2".into(), "is damaged", "(line 1)"),
    ] {
        seal(&place, &clear);
        let failure = place.open().unwrap_err();
        assert!(failure.what().ends_with(what), "{failure}");
        assert!(failure.evidence()[0].contains(evidence), "{failure}");
        assert!(!failure.to_string().contains("hunter2"));
        assert_eq!(failure.exit_code(), exit::INVENTORY);
    }
    secrets.etcd_ca.key = secrets.cluster_ca.key.clone();
    seal(&place, &super::content::write(&secrets).unwrap());
    assert_eq!(place.open().unwrap_err().evidence(), ["the key and the certificate of its etcd CA do not belong together"]);
}

#[test]
fn another_clusters_secrets_are_refused() {
    let (place, secrets) = (Place::new(), secrets());
    place.save(&secrets);
    let failure = open(&place.file(), "cabin", &place.identity).unwrap_err();
    assert_eq!(failure.what(), "the secrets are of the cluster `home`, the inventory is of `cabin`");
    assert_eq!(failure.exit_code(), exit::INVENTORY);
    let theirs = Secrets { cluster: "cabin".into(), ..secrets.clone() };
    assert!(save(&place.file(), &theirs, &place.identity, &[]).is_err());
    assert_eq!(place.open().unwrap(), secrets);
}

#[test]
fn all_readers_keep_their_access() {
    let (place, mut secrets) = (Place::new(), secrets());
    let second = Identity::generate();
    save(&place.file(), &secrets, &place.identity, &[second.recipient()]).unwrap();
    assert!(!save(&place.file(), &secrets, &second, &[]).unwrap());
    assert_eq!(recipients(&place.file()).unwrap(), [place.identity.recipient(), second.recipient()]);
    secrets.etcd_cluster_id = Some("1".into());
    assert!(save(&place.file(), &secrets, &second, &[]).unwrap());
    assert_eq!(place.open().unwrap(), secrets);

    let third = Identity::generate();
    assert!(save(&place.file(), &secrets, &second, &[third.recipient()]).unwrap());
    assert_eq!(open(&place.file(), "home", &third).unwrap(), secrets);
    assert_eq!(place.open().unwrap(), secrets);
}

#[test]
fn readers_that_are_not_named_are_not_shut_out() {
    let (place, mut secrets) = (Place::new(), secrets());
    let other = Identity::generate();
    let clear = super::content::write(&secrets).unwrap();
    let by_hand = |to: &[&Recipient]| {
        let encryptor = age::Encryptor::with_recipients(to.iter().map(|r| *r as &dyn age::Recipient)).unwrap();
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
        std::io::Write::write_all(&mut writer, clear.as_bytes()).unwrap();
        writer.finish().unwrap();
        fs::write(place.file(), sealed).unwrap();
    };
    by_hand(&[&place.identity.recipient(), &other.recipient()]);
    secrets.etcd_cluster_id = Some("1".into());
    let failure = save(&place.file(), &secrets, &place.identity, &[]).unwrap_err();
    assert!(failure.what().ends_with("is for 2 readers, not all of them known"), "{failure}");
    assert!(open(&place.file(), "home", &other).is_ok());
    by_hand(&[&place.identity.recipient()]);
    assert!(place.save(&secrets));
    assert_eq!(place.open().unwrap(), secrets);
}

#[test]
fn a_link_stays_a_link() {
    let (place, secrets) = (Place::new(), secrets());
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("real.age");
    save(&target, &secrets, &place.identity, &[]).unwrap();
    symlink(&target, place.file()).unwrap();
    let changed = Secrets { etcd_cluster_id: Some("1".into()), ..secrets };
    assert!(place.save(&changed));
    assert!(fs::symlink_metadata(place.file()).unwrap().is_symlink());
    assert_eq!(open(&target, "home", &place.identity).unwrap(), changed);
}

#[test]
fn the_age_program_opens_it() {
    let (place, secrets) = (Place::new(), secrets());
    place.save(&secrets);
    let choice = create_identity(&place.dir.path().join("id/identity.txt")).unwrap();
    save(&place.file(), &secrets, &place.identity, &[choice.identity.recipient()]).unwrap();
    let file = place.file().display().to_string();
    let Some(clear) = run("age", &["--decrypt", "-i", &choice.path.display().to_string(), &file], "") else { return };
    let clear = clear.unwrap();
    assert_eq!(clear, *super::content::write(&secrets).unwrap());
    let mut lines = clear.lines();
    assert_eq!((lines.next(), lines.next()), (Some("format = 1"), Some("cluster = \"home\"")));
    let public = run("age-keygen", &["-y", &choice.path.display().to_string()], "").unwrap().unwrap();
    assert_eq!(public.trim(), choice.identity.recipient().to_string());
}
