//! The renewal script on real certificates: made by `pki`, renewed by openssl, judged by `pki` again.

use super::approver_tests::executable;
use super::fixture::Fixture;
use super::{Step, node};
use crate::pki::{Ca, judge};
use crate::secrets::Secrets;
use crate::want::{Leaf, LeafForm, Want};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SCRIPT: &str = include_str!("../../templates/renewal/renew-certificates");
const DAY: i64 = 86400;

/// A control plane's files in a folder, `days` after they were made.
struct Plane {
    dir: tempfile::TempDir,
    leaves: Vec<Leaf>,
    now: i64,
}

impl Plane {
    fn aged(days: i64) -> Self {
        Self::of(days, |_, _| ())
    }

    /// The same, with something done to the secrets since; `now` in Unix seconds.
    fn of(days: i64, since: impl FnOnce(&mut Secrets, i64)) -> Self {
        let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let mut fixture = Fixture::three();
        fixture.secrets = Secrets::make(&fixture.cluster, now - days * DAY).unwrap();
        since(&mut fixture.secrets, now);
        let steps = node(&fixture.ctx("attic")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut leaves = Vec::new();
        for want in steps.iter().flat_map(|s: &Step| &s.wants) {
            match want {
                Want::File(f) if f.path.starts_with("/etc/kubernetes/pki/") => {
                    let Some(body) = &f.body else { continue };
                    let text = match body {
                        crate::want::Body::Text(t) => t,
                        crate::want::Body::Secret(s) => s.expose(),
                        crate::want::Body::Sealed(_) => panic!("the secrets are open"),
                    };
                    write(&dir.path().join(&f.path[1..]), text, f.mode);
                }
                Want::File(f) if f.path == "/etc/homectl/certificates.list" => {
                    let crate::want::Body::Text(text) = f.body.clone().unwrap() else { panic!("a text") };
                    // No unit of this name is to be restarted on the machine that runs the test.
                    let here = text.replace("/etc/", &format!("{}/etc/", dir.path().display())).replace(".service", ".no-such-unit");
                    write(&dir.path().join("certificates.list"), &here, 0o644);
                }
                Want::Leaf(leaf) => {
                    write(&dir.path().join(&leaf.path[1..]), leaf.file().unwrap().expose(), leaf.mode);
                    leaves.push(leaf.clone());
                }
                _ => {}
            }
        }
        Self { dir, leaves, now }
    }

    fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        let mut sh = Command::new("sh");
        sh.arg("-c").arg(SCRIPT).arg("renew-certificates").args(args);
        sh.env("HOMECTL_CERTIFICATES", self.dir.path().join("certificates.list")).env("TMPDIR", self.dir.path());
        sh.env("HOMECTL_RENEW_URGENT", "101").envs(env.iter().copied());
        sh.output().unwrap()
    }

    fn path(&self, leaf: &Leaf) -> PathBuf {
        self.dir.path().join(&leaf.path[1..])
    }

    fn text(&self, leaf: &Leaf) -> String {
        std::fs::read_to_string(self.path(leaf)).unwrap()
    }

    fn texts(&self) -> Vec<String> {
        self.leaves.iter().map(|l| self.text(l)).collect()
    }

    /// The certificate in a leaf's file.
    fn pem(&self, leaf: &Leaf) -> String {
        let text = self.text(leaf);
        match leaf.form {
            LeafForm::Pem => text,
            LeafForm::Kubeconfig => {
                let line = text.lines().find_map(|l| l.trim().strip_prefix("client-certificate-data: ")).unwrap();
                String::from_utf8(data_encoding::BASE64.decode(line.as_bytes()).unwrap()).unwrap()
            }
        }
    }

    fn judge(&self, leaf: &Leaf) -> Result<String, String> {
        judge(&leaf.spec, ca(leaf), &self.pem(leaf), self.now + 60)
    }
}

fn ca(leaf: &Leaf) -> &str {
    let Some(crate::want::Measure::Ours { ca, .. }) = &leaf.measure else { panic!("the secrets are open") };
    ca
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// Every leaf of a control plane, of all three authorities, in both forms; due and expired alike.
#[test]
fn what_is_due_gets_another_year_with_the_same_key_names_and_usages() {
    for days in [300, 400] {
        let plane = Plane::aged(days);
        let before: Vec<String> = plane.leaves.iter().map(|l| plane.pem(l)).collect();
        assert!(plane.leaves.len() == 11 && plane.leaves.iter().all(|l| plane.judge(l).is_err()));
        let out = plane.run(&[], &[]);
        assert!(out.status.success(), "{}", said(&out));
        for (leaf, before) in plane.leaves.iter().zip(&before) {
            let now = plane.pem(leaf);
            assert!(plane.judge(leaf).unwrap().contains("364 days"), "{}: {:?}", leaf.path, plane.judge(leaf));
            assert!(crate::pki::same_key(before, &now) && *before != now, "{}", leaf.path);
            assert_eq!(std::fs::metadata(plane.path(leaf)).unwrap().permissions().mode() & 0o777, leaf.mode, "{}", leaf.path);
            if leaf.form == LeafForm::Kubeconfig {
                let without = |t: &str| t.lines().filter(|l| !l.contains("client-certificate-data")).collect::<Vec<_>>().join("\n");
                assert_eq!(without(&plane.text(leaf)), without(leaf.file().unwrap().expose()));
            }
        }
        assert_eq!(plane.leaves.iter().filter(|l| l.spec.ca == Ca::Etcd).count(), 4);
    }
}

/// While other authorities take over, two are trusted: the one whose key lies there signs.
#[test]
fn a_certificate_is_renewed_by_the_authority_that_signs() {
    for stages in [1, 2] {
        let plane = Plane::of(300, |secrets, now| (0..stages).for_each(|_| secrets.turn_authorities(now - DAY).unwrap()));
        let out = plane.run(&[], &[]);
        assert!(out.status.success(), "{stages}: {}", said(&out));
        assert!(plane.leaves.iter().all(|leaf| plane.judge(leaf).unwrap().contains("364 days")));
    }
}

#[test]
fn what_is_not_due_stays_byte_for_byte() {
    let plane = Plane::aged(200);
    let before = plane.texts();
    let out = plane.run(&[], &[]);
    assert!(out.status.success() && said(&out).is_empty(), "{}", said(&out));
    assert_eq!(plane.texts(), before);
}

/// The operator's side calls a leaf due at a third of its life: the node is always earlier.
#[test]
fn the_node_is_earlier_than_a_plan() {
    let plane = Plane::aged(239);
    assert!(plane.leaves.iter().all(|l| plane.judge(l).is_ok()));
    assert!(plane.run(&[], &[]).status.success());
    assert!(plane.leaves.iter().all(|l| plane.judge(l).unwrap().contains("364 days")));
}

#[test]
fn a_damaged_file_is_told_and_stops_no_other() {
    let plane = Plane::aged(300);
    std::fs::write(plane.path(&plane.leaves[0]), "no certificate\n").unwrap();
    let out = plane.run(&[], &[]);
    assert_eq!(out.status.code(), Some(1));
    assert!(said(&out).contains("cannot be read as pem"), "{}", said(&out));
    assert!(plane.leaves[1..].iter().all(|l| plane.judge(l).is_ok()));
}

/// A leaf whose key is not its own cannot be renewed, and is not replaced by something else.
#[test]
fn a_foreign_key_is_refused() {
    let plane = Plane::aged(300);
    let at = |name: &str| plane.dir.path().join("etc/kubernetes/pki").join(name);
    std::fs::copy(at("front-proxy-client.key"), at("apiserver.key")).unwrap();
    let before = std::fs::read_to_string(at("apiserver.crt")).unwrap();
    let out = plane.run(&[], &[]);
    assert_eq!(out.status.code(), Some(1));
    assert!(said(&out).contains("apiserver.crt: not renewed"), "{}", said(&out));
    assert_eq!(std::fs::read_to_string(at("apiserver.crt")).unwrap(), before);
}

/// While there is time, nothing restarts beside an etcd member that is down; when time is short, it does.
#[test]
fn an_absent_peer_is_waited_for_while_there_is_time() {
    let plane = Plane::aged(280);
    let before = plane.texts();
    let peers = ("HOMECTL_PEERS", "https://127.0.0.1:1");
    let out = plane.run(&[], &[peers, ("HOMECTL_RENEW_URGENT", "15")]);
    assert!(out.status.success() && said(&out).matches("waits: ").count() == 11, "{}", said(&out));
    assert_eq!(plane.texts(), before);
    assert!(plane.run(&[], &[peers, ("HOMECTL_RENEW_URGENT", "30")]).status.success());
    assert!(plane.leaves.iter().all(|l| plane.judge(l).is_ok()));
}

#[test]
fn check_tells_seconds_and_writes_nothing() {
    let plane = Plane::aged(300);
    let before = plane.texts();
    let out = plane.run(&["--check"], &[]);
    assert!(out.status.success());
    let lines = said(&out);
    assert_eq!(lines.lines().count(), 11);
    for line in lines.lines() {
        let seconds: i64 = line.split(' ').next().unwrap().parse().unwrap();
        assert!((64 * DAY..=65 * DAY).contains(&seconds), "{line}");
    }
    assert_eq!(plane.texts(), before);
}

/// The certificate of an add-on lives in the API: renewed there, with the key that is there.
#[test]
fn a_secret_is_renewed_in_the_api() {
    let plane = Plane::aged(300);
    let at = plane.dir.path().display().to_string();
    let leaf = plane.leaves.iter().find(|l| l.path.ends_with("/apiserver.crt")).unwrap();
    let key = std::fs::read_to_string(plane.path(leaf).with_extension("key")).unwrap();
    write(&plane.dir.path().join("crt"), &data_encoding::BASE64.encode(plane.pem(leaf).as_bytes()), 0o644);
    write(&plane.dir.path().join("key"), &data_encoding::BASE64.encode(key.as_bytes()), 0o600);
    let fake = format!(
        "#!/bin/sh\necho \"$*\" >>{at}/calls\ncase $* in\n*'.crt}}') cat {at}/crt ;;\n*'.key}}') cat {at}/key ;;\n\
         *patch*) for last; do :; done; cat \"${{last#*=}}\" >{at}/patch ;;\n*) exit 1 ;;\nesac\n"
    );
    executable(&plane.dir.path().join("kubectl"), &fake);
    write(&plane.dir.path().join("certificates.list"), &format!("secret kube-system/metrics {at}/etc/kubernetes/pki/ca - -\n"), 0o644);
    let kubectl = plane.dir.path().join("kubectl");
    let out = plane.run(&[], &[("HOMECTL_KUBECTL", kubectl.to_str().unwrap())]);
    assert!(out.status.success() && said(&out).contains("kube-system/metrics: renewed"), "{}", said(&out));
    let patch: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(plane.dir.path().join("patch")).unwrap()).unwrap();
    let pem = data_encoding::BASE64.decode(patch["data"]["tls.crt"].as_str().unwrap().as_bytes()).unwrap();
    let pem = String::from_utf8(pem).unwrap();
    assert!(judge(&leaf.spec, ca(leaf), &pem, plane.now + 60).unwrap().contains("364 days"));
    assert!(crate::pki::same_key(&plane.pem(leaf), &pem));
    let calls = std::fs::read_to_string(plane.dir.path().join("calls")).unwrap();
    assert!(calls.contains("-n kube-system patch secret metrics") && !calls.contains("PRIVATE"), "{calls}");
}
