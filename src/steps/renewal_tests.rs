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
        self.ready("sh").arg("-c").arg(SCRIPT).arg("renew-certificates").args(args).envs(env.iter().copied()).output().unwrap()
    }

    fn ready(&self, program: &str) -> Command {
        let mut sh = Command::new(program);
        sh.env("HOMECTL_CERTIFICATES", self.dir.path().join("certificates.list")).env("TMPDIR", self.dir.path());
        sh.env("HOMECTL_RENEW_URGENT", "101");
        sh
    }

    /// A run by `shell` where no file can have more than `most` bytes, and whose units run since a minute: what it said, and which it
    /// restarted.
    fn cramped(&self, shell: &str, most: u64) -> (Output, Vec<String>) {
        let calls = self.dir.path().join("restarts");
        let _ = std::fs::remove_file(&calls);
        let units = format!(
            "timeout() {{ shift; \"$@\"; }}\nsystemctl() {{ case $* in *ActiveState*) echo active ;; *StartTimestamp*) echo @{} ;; \
             restart*) echo \"$2\" >>{} ;; esac; }}\nsettled() {{ :; }}\nshown() {{ :; }}\n",
            self.now - 60,
            calls.display()
        );
        // Whatever is asked for after it was defined is asked of the units above.
        let script = SCRIPT.replacen("now=$(date -u +%s)", &format!("{units}now=$(date -u +%s)"), 1);
        let limited = "trap '' XFSZ; limit=$1 shell=$2; shift 2; exec prlimit --fsize=\"$limit\" \"$shell\" -c \"$@\"";
        let out = self.ready("sh").args(["-c", limited, "-", &most.to_string(), shell, &script, "renew-certificates"]).output().unwrap();
        let restarts = std::fs::read_to_string(&calls).unwrap_or_default();
        (out, restarts.lines().map(str::to_owned).collect())
    }

    /// Nothing was written since an hour.
    fn settle(&self) {
        let then = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
        for leaf in &self.leaves {
            std::fs::File::options().append(true).open(self.path(leaf)).unwrap().set_modified(then).unwrap();
        }
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

/// A disk that is full lets go of the first bytes of a file, of all of them, or of none.
#[test]
fn a_full_disk_lands_no_file_and_restarts_nothing_on_account_of_it() {
    let shells = ["dash", "bash"].into_iter().filter(|shell| Command::new(shell).arg("-c").arg(":").status().is_ok());
    for shell in shells {
        // Less than the list of certificates, than a kubeconfig, than the longest of them, and more than all.
        let longest = Plane::aged(300).texts().iter().map(|t| t.len() as u64).max().unwrap();
        for most in [600, 1700, 2048, longest - 100, 1 << 20] {
            let plane = Plane::aged(300);
            plane.settle();
            let before = plane.texts();
            let (out, restarted) = plane.cramped(shell, most);
            let all = said(&out);
            if most == 600 {
                assert!(!out.status.success() && all.contains("File too large") && restarted.is_empty(), "{shell}: {all}");
                assert_eq!(plane.texts(), before, "{shell}");
                continue;
            }
            let mut full = 0;
            for (leaf, before) in plane.leaves.iter().zip(&before) {
                let path = plane.path(leaf);
                if plane.text(leaf) == *before {
                    full += 1;
                    let told = all.lines().find(|l| l.starts_with(&format!("{}: not renewed, and as it was: ", path.display())));
                    assert!(told.is_some_and(|l| l.contains("File too large")), "{shell} {most} {}: {all}", leaf.path);
                } else {
                    assert!(plane.judge(leaf).unwrap().contains("364 days"), "{shell} {most} {}: {all}", leaf.path);
                }
                assert!(!Path::new(&format!("{}.renewed", path.display())).exists(), "{shell} {most} {}", leaf.path);
            }
            assert_eq!(out.status.code(), Some(i32::from(full > 0)), "{shell} {most}: {all}");
            assert_eq!(all.matches(": renewed, ").count(), 11 - full, "{shell} {most}: {all}");
            assert_eq!(restarted.is_empty(), full == 11, "{shell} {most}: {restarted:?}");
            assert!(full > 0 || most == 1 << 20);
        }
    }
}

/// What runs has its certificate in memory: with a file that cannot be read it would not come back.
#[test]
fn a_unit_is_not_restarted_over_a_file_that_cannot_be_read() {
    let plane = Plane::aged(100);
    plane.settle();
    let at = |name: &str| plane.dir.path().join("etc/kubernetes/pki").join(name);
    std::fs::write(at("etcd/server.crt"), "").unwrap();
    let peer = std::fs::read(at("etcd/peer.crt")).unwrap();
    std::fs::write(at("etcd/peer.crt"), peer).unwrap();
    std::fs::write(at("apiserver.crt"), std::fs::read(at("apiserver.crt")).unwrap()).unwrap();
    let (out, restarted) = plane.cramped("sh", 1 << 20);
    assert_eq!(out.status.code(), Some(1));
    let want = format!("etcd.no-such-unit: is not restarted: {} cannot be read", at("etcd/server.crt").display());
    assert!(said(&out).contains(&want), "{}", said(&out));
    assert_eq!(restarted, ["kube-apiserver.no-such-unit"]);
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
    assert!(said(&out).contains("apiserver.crt: not renewed, and as it was: "), "{}", said(&out));
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
