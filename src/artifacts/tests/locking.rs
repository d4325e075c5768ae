//! Locks from checksum files in upstream's forms: both architectures, one of them, or lies.

use super::super::{Limits, LockMode, Locked, lock, sums_url, url};
use super::server::{Answer, head, ok, serve};
use crate::cluster::{Arch, Component, Lock};
use crate::error::Result;
use crate::inventory::{self, Inventory};
use std::path::Path;
use tempfile::TempDir;
use url::Url;

/// Told apart by component and architecture.
fn sum(component: Component, arch: Arch) -> String {
    let index = Component::ALL.iter().position(|c| *c == component).unwrap();
    format!("{:064x}", index * 2 + usize::from(arch == Arch::Arm64) + 1)
}

fn version(component: Component) -> &'static str {
    match component {
        Component::Etcd => "v3.6.16",
        Component::Containerd => "v2.3.7",
        Component::Runc => "v1.4.3",
        Component::CniPlugins => "v1.9.1",
        Component::KubeRouter => "v2.11.1",
        _ => "v1.36.3",
    }
}

/// A mirror's checksum files as upstream writes them: a bare sum for Kubernetes, a line for containerd and CNI, lists with
/// other systems' files among them for etcd, runc and kube-router.
fn mirror(folder: &Path, arches: &[Arch]) {
    for component in Component::ALL {
        for arch in arches {
            let list = sums_url(component, version(component), *arch);
            let name = url(component, version(component), *arch).rsplit('/').next().unwrap().to_owned();
            let sum = sum(component, *arch);
            let line = match component {
                Component::Etcd => format!("{}  etcd-v3.6.16-darwin-{arch}.zip\n{sum}  {name}\n", "f".repeat(64)),
                Component::Runc => format!("{sum}  {name}\n{}  runc.riscv64\n{}  runc.tar.xz\n", "e".repeat(64), "d".repeat(64)),
                Component::KubeRouter => format!("{}  kube-router_2.11.1_linux_armv7.tar.gz\n{sum}  {name}\n", "c".repeat(64)),
                Component::Containerd | Component::CniPlugins => format!("{sum}  {name}\n"),
                _ => sum,
            };
            let path = folder.join(list.trim_start_matches("https://"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let before = std::fs::read_to_string(&path).unwrap_or_default();
            std::fs::write(path, before + &line).unwrap();
        }
    }
}

struct Home {
    dir: TempDir,
    mirror: Url,
}

impl Home {
    fn new(arches: &[Arch]) -> Self {
        let dir = TempDir::new().unwrap();
        let folder = dir.path().join("mirror");
        std::fs::create_dir(&folder).unwrap();
        mirror(&folder, arches);
        Self { mirror: Url::from_file_path(folder).unwrap(), dir }
    }

    fn inventory(&self, more: &str) -> Inventory {
        let file = self.dir.path().join("home.toml");
        let text = format!(
            "[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n[artifacts]\nmirror = \"{}\"\n[[node]]\nname = \"attic\"\naddress = \"192.168.1.2\"\nrole = \"control-plane\"\n{more}",
            self.mirror
        );
        std::fs::write(&file, text).unwrap();
        inventory::read(&file).unwrap()
    }

    async fn lock(&self, more: &str, old: Option<&Lock>, when: LockMode) -> Result<Locked> {
        lock(&self.inventory(more), old, when, Limits { backoff: std::time::Duration::from_millis(5), ..Limits::default() }).await
    }
}

const PI: &str = "[[node]]\nname = \"pi\"\naddress = \"192.168.1.3\"\narch = \"arm64\"\n";

#[tokio::test]
async fn both_architectures() {
    let home = Home::new(&Arch::ALL);
    let locked = home.lock(PI, None, LockMode::Complete).await.unwrap();
    assert!(locked.changed && locked.warnings.is_empty(), "{:?}", locked.warnings);
    for component in Component::ALL {
        assert_eq!(locked.lock.programs.versions[&component], version(component));
        for arch in Arch::ALL {
            let artifact = locked.lock.programs.get(component, arch).unwrap();
            assert_eq!((artifact.url.clone(), artifact.sha256.clone()), (url(component, version(component), arch), sum(component, arch)));
        }
    }
    assert_eq!(locked.lock.numbers, [("attic".to_owned(), 1), ("pi".to_owned(), 2)].into());
    // What is saved covers the inventory without asking anybody.
    let path = home.dir.path().join("home.lock");
    locked.lock.save(&path).unwrap();
    std::fs::remove_dir_all(home.dir.path().join("mirror")).unwrap();
    let loaded = Lock::load(&path).unwrap().unwrap();
    let again = home.lock(PI, Some(&loaded), LockMode::Complete).await.unwrap();
    assert!(!again.changed);
    assert!(home.inventory(PI).resolve(&again.lock).is_ok());
}

#[test]
fn urls_as_upstream_has_them() {
    let told: Vec<String> = Component::ALL
        .iter()
        .flat_map(|c| [url(*c, version(*c), Arch::Arm64), sums_url(*c, version(*c), Arch::Arm64)])
        .filter(|u| !u.contains("dl.k8s.io") || u.contains("kubelet"))
        .collect();
    let github = "https://github.com";
    assert_eq!(
        told,
        [
            "https://dl.k8s.io/release/v1.36.3/bin/linux/arm64/kubelet".to_owned(),
            "https://dl.k8s.io/release/v1.36.3/bin/linux/arm64/kubelet.sha256".to_owned(),
            format!("{github}/etcd-io/etcd/releases/download/v3.6.16/etcd-v3.6.16-linux-arm64.tar.gz"),
            format!("{github}/etcd-io/etcd/releases/download/v3.6.16/SHA256SUMS"),
            format!("{github}/containerd/containerd/releases/download/v2.3.7/containerd-2.3.7-linux-arm64.tar.gz"),
            format!("{github}/containerd/containerd/releases/download/v2.3.7/containerd-2.3.7-linux-arm64.tar.gz.sha256sum"),
            format!("{github}/opencontainers/runc/releases/download/v1.4.3/runc.arm64"),
            format!("{github}/opencontainers/runc/releases/download/v1.4.3/runc.sha256sum"),
            format!("{github}/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-arm64-v1.9.1.tgz"),
            format!("{github}/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-arm64-v1.9.1.tgz.sha256"),
            format!("{github}/cloudnativelabs/kube-router/releases/download/v2.11.1/kube-router_2.11.1_linux_arm64.tar.gz"),
            format!("{github}/cloudnativelabs/kube-router/releases/download/v2.11.1/checksums.txt"),
        ]
    );
}

#[tokio::test]
async fn one_architecture_is_enough_until_a_node_has_the_other() {
    let home = Home::new(&[Arch::Amd64]);
    let locked = home.lock("", None, LockMode::Complete).await.unwrap();
    assert_eq!(locked.warnings, ["the source has nothing for arm64: the lock does not cover such machines"]);
    assert_eq!(locked.lock.programs.artifacts.len(), Component::ALL.len());
    let error = home.lock(PI, Some(&locked.lock), LockMode::Complete).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("for arm64") && said.contains("`pi` is arm64") && said.contains("runc: not in file:///"), "{said}");
}

#[tokio::test]
async fn nothing_complete_is_an_error_that_names_what_was_asked() {
    let home = Home::new(&[Arch::Amd64]);
    std::fs::remove_dir_all(home.dir.path().join("mirror/github.com/etcd-io")).unwrap();
    let error = home.lock("", None, LockMode::Complete).await.unwrap_err().to_string();
    assert!(error.contains("etcd: not in file:///") && error.contains("only source"), "{error}");
}

#[tokio::test]
async fn a_new_node_needs_no_mirror_and_a_new_version_does() {
    let home = Home::new(&Arch::ALL);
    let locked = home.lock("", None, LockMode::Complete).await.unwrap();
    std::fs::remove_dir_all(home.dir.path().join("mirror")).unwrap();
    let more = home.lock(PI, Some(&locked.lock), LockMode::Complete).await.unwrap();
    assert!(more.changed);
    assert_eq!(more.lock.numbers["pi"], 2);
    let other = "[cluster.versions]\netcd = \"3.6.15\"\n";
    let error = home.lock(other, Some(&locked.lock), LockMode::Complete).await.unwrap_err().to_string();
    assert!(error.contains("/etcd-io/etcd/releases/download/v3.6.15/SHA256SUMS"), "{error}");
}

#[tokio::test]
async fn a_published_sum_that_changed_is_refused() {
    let home = Home::new(&Arch::ALL);
    let locked = home.lock("", None, LockMode::Refresh).await.unwrap();
    assert!(!home.lock("", Some(&locked.lock), LockMode::Refresh).await.unwrap().changed);
    let list = home.dir.path().join("mirror/dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubelet.sha256");
    std::fs::write(list, "9".repeat(64)).unwrap();
    let error = home.lock("", Some(&locked.lock), LockMode::Refresh).await.unwrap_err();
    assert_eq!(error.exit_code(), 4);
    let said = error.to_string();
    assert!(said.contains(&"9".repeat(64)) && said.contains("linux/amd64/kubelet changed"), "{said}");
}

#[tokio::test]
async fn what_was_locked_stays_where_the_mirror_lacks_it() {
    let home = Home::new(&Arch::ALL);
    let locked = home.lock(PI, None, LockMode::Complete).await.unwrap();
    std::fs::remove_dir_all(home.dir.path().join("mirror")).unwrap();
    mirror(&home.dir.path().join("mirror"), &[Arch::Amd64]);
    let again = home.lock(PI, Some(&locked.lock), LockMode::Refresh).await.unwrap();
    assert!(!again.changed && again.warnings.is_empty(), "{:?}", again.warnings);
}

#[tokio::test]
async fn a_portal_instead_of_sums_is_told() {
    let page = ok(b"<html>log in</html>");
    let (url, asked) = serve(move |_, _| Answer::Bytes(page.clone())).await;
    let mut home = Home::new(&[]);
    home.mirror = url;
    let error = home.lock("", None, LockMode::Complete).await.unwrap_err().to_string();
    assert!(error.contains("is not a list of sums") && error.contains("<html>"), "{error}");
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 19, "every list once: {asked:?}");
}

#[tokio::test]
async fn over_http_from_a_folder_shaped_mirror() {
    let mut home = Home::new(&Arch::ALL);
    let folder = home.dir.path().join("mirror");
    let (url, _) = serve(move |_, request| {
        let path = request.trim_start_matches("GET /upstream/");
        Answer::Bytes(ok(&std::fs::read(folder.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))))
    })
    .await;
    home.mirror = url.join("upstream/").unwrap();
    let locked = home.lock(PI, None, LockMode::Complete).await.unwrap();
    assert_eq!(locked.lock.programs.artifacts.len(), 22);
}

#[tokio::test]
async fn a_source_that_fails_ends_it_at_the_first_list() {
    let down = head("503 Service Unavailable", "", 0, b"");
    let (url, asked) = serve(move |_, _| Answer::Bytes(down.clone())).await;
    let mut home = Home::new(&[]);
    home.mirror = url;
    let error = home.lock("", None, LockMode::Complete).await.unwrap_err().to_string();
    assert!(error.contains("answered 503") && error.contains(home.mirror.as_str()), "{error}");
    assert!(asked.lock().unwrap().len() < 19, "{asked:?}");
}
