//! Archives: what is taken out, and what is refused though its sum is right.

use super::super::unpack::unpack;
use super::super::{Limits, Store, UnpackedFile};
use super::fetching::sha256;
use crate::cluster::{Artifact, Component};
use flate2::{Compression, write::GzEncoder};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;
use url::Url;

type Archive = Builder<GzEncoder<Vec<u8>>>;

fn archive() -> Archive {
    Builder::new(GzEncoder::new(Vec::new(), Compression::fast()))
}

fn packed(archive: Archive) -> Vec<u8> {
    archive.into_inner().unwrap().finish().unwrap()
}

/// An entry whose path is written as it is, whatever it leads to.
fn entry(archive: &mut Archive, kind: EntryType, path: &str, link: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o4755);
    header.set_size(content.len() as u64);
    header.set_cksum();
    archive.append(&header, content).unwrap();
}

fn file(archive: &mut Archive, path: &str, content: &[u8]) {
    entry(archive, EntryType::Regular, path, "", content);
}

fn members(component: Component, prefix: &str) -> Archive {
    let mut archive = archive();
    for (path, name) in component.members() {
        file(&mut archive, &path.replace("*/", prefix), name.as_bytes());
    }
    archive
}

fn take(component: Component, bytes: &[u8]) -> (io::Result<Vec<UnpackedFile>>, TempDir) {
    let dir = TempDir::new().unwrap();
    let into = dir.path().join("a/b/into");
    std::fs::create_dir_all(&into).unwrap();
    let download = dir.path().join("download.part");
    std::fs::write(&download, bytes).unwrap();
    (unpack(component, &download, "", &into, 1 << 20), dir)
}

/// Everything below a folder, by path.
fn all_files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for e in std::fs::read_dir(folder).unwrap() {
        let path = e.unwrap().path();
        if path.is_dir() {
            found.extend(all_files(&path));
        } else {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    found.sort();
    found
}

#[test]
fn members_are_taken_in_their_order_and_nothing_else() {
    for (component, prefix) in [
        (Component::Etcd, "etcd-v3.6.16-linux-amd64/"),
        (Component::Etcd, "./etcd-v3.6.16-linux-amd64/"),
        (Component::Containerd, ""),
        (Component::CniPlugins, ""),
        (Component::KubeRouter, ""),
    ] {
        let mut archive = members(component, prefix);
        file(&mut archive, "README.md", b"hello");
        entry(&mut archive, EntryType::Symlink, "bin/other", "/etc/passwd", b"");
        let (files, dir) = take(component, &packed(archive));
        let files = files.unwrap();
        let names: Vec<&str> = component.members().iter().map(|(_, n)| *n).collect();
        assert_eq!(files.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), names);
        for f in &files {
            assert_eq!(std::fs::read(&f.path).unwrap(), f.name.as_bytes());
            assert_eq!(f.sha256, sha256(f.name.as_bytes()));
            // No bit of the archive's own: 04755 stands there.
            assert_eq!(std::fs::metadata(&f.path).unwrap().permissions().mode() & 0o7777, 0o755);
        }
        assert_eq!(all_files(dir.path()).len(), names.len() + 1);
    }
}

/// cni-plugins and kube-router are packed with `./` in front.
#[test]
fn a_dot_in_front_is_nothing() {
    let mut archive = archive();
    file(&mut archive, "./kube-router", b"x");
    assert!(take(Component::KubeRouter, &packed(archive)).0.is_ok());
}

#[test]
fn a_path_that_leads_elsewhere_is_no_member() {
    for path in ["../kube-router", "/kube-router", "x/../kube-router", "x/kube-router", "./../kube-router", "kube-router/", "KUBE-ROUTER"] {
        let mut archive = archive();
        file(&mut archive, path, b"evil");
        let (result, dir) = take(Component::KubeRouter, &packed(archive));
        assert!(result.unwrap_err().to_string().contains("it has no `kube-router`"), "{path}");
        assert_eq!(all_files(dir.path()), ["download.part"], "{path}");
    }
    for path in ["../etcd", "/etcd", "./etcd", "a/b/etcd", "etcd"] {
        let mut archive = archive();
        file(&mut archive, path, b"evil");
        assert!(take(Component::Etcd, &packed(archive)).0.is_err(), "{path}");
    }
}

#[test]
fn a_member_that_is_no_regular_file_is_refused() {
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Directory,
        EntryType::GNUSparse,
    ] {
        let mut archive = archive();
        entry(&mut archive, kind, "kube-router", "/etc/shadow", b"");
        let (result, dir) = take(Component::KubeRouter, &packed(archive));
        assert!(result.unwrap_err().to_string().contains("not a regular file"), "{kind:?}");
        assert_eq!(all_files(dir.path()), ["download.part"], "{kind:?}");
    }
}

#[test]
fn a_member_that_comes_twice_is_refused() {
    let mut archive = members(Component::KubeRouter, "");
    file(&mut archive, "./kube-router", b"another");
    assert!(take(Component::KubeRouter, &packed(archive)).0.unwrap_err().to_string().contains("twice"));
}

/// A long-name header may not turn the next entry into a member, nor make us hold it in memory.
#[test]
fn headers_that_rename_the_next_entry_are_not_listened_to() {
    let mut archive = archive();
    entry(&mut archive, EntryType::GNULongName, "././@LongLink", "", b"kube-router\0");
    file(&mut archive, "harmless", b"evil");
    assert!(take(Component::KubeRouter, &packed(archive)).0.is_err());
}

#[test]
fn bombs_are_cut_off() {
    let zeros = vec![0; 3 << 20];
    for path in ["kube-router", "elsewhere"] {
        let mut archive = archive();
        file(&mut archive, path, &zeros);
        file(&mut archive, "kube-router", b"x");
        let bytes = packed(archive);
        assert!(bytes.len() < 50_000);
        assert!(take(Component::KubeRouter, &bytes).0.unwrap_err().to_string().contains("far more"), "{path}");
    }
}

#[test]
fn what_is_no_archive_or_ends_early_is_refused() {
    let whole = packed(members(Component::CniPlugins, ""));
    assert!(take(Component::CniPlugins, &whole[..whole.len() / 2]).0.is_err());
    assert!(take(Component::CniPlugins, b"<!DOCTYPE html>").0.is_err());
    assert!(take(Component::CniPlugins, b"").0.is_err());
}

#[tokio::test]
async fn a_bad_archive_leaves_nothing_in_the_cache() {
    let (mirror, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut bad = archive();
    entry(&mut bad, EntryType::Symlink, "kube-router", "/etc/shadow", b"");
    let bytes = packed(bad);
    let url = "https://example.net/x.tar.gz";
    let place = mirror.path().join("example.net/x.tar.gz");
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(&place, &bytes).unwrap();
    let store = Store::with_limits(Some(&Url::from_file_path(mirror.path()).unwrap()), cache.path().to_path_buf(), Limits::default());
    let artifact = Artifact { url: url.to_owned(), sha256: sha256(&bytes) };
    let error = store.fetch(Component::KubeRouter, &artifact, &|_| {}).await.unwrap_err();
    assert!(error.what().contains("cannot be unpacked"), "{error}");
    assert_eq!(all_files(cache.path()), ["lock"]);
    // The same store takes a good one afterwards, and keeps no archive.
    let good = packed(members(Component::KubeRouter, ""));
    std::fs::write(&place, &good).unwrap();
    let artifact = Artifact { url: url.to_owned(), sha256: sha256(&good) };
    let unpacked = store.fetch(Component::KubeRouter, &artifact, &|_| {}).await.unwrap();
    assert_eq!(unpacked.files.len(), 1);
    assert_eq!(all_files(&cache.path().join(&artifact.sha256)), ["kube-router", "lock", "manifest.json"]);
}
