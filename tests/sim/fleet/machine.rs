//! One machine: its root, how it is started, and everything about it that must be the same after every detour.

use homectl::want::Want;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is where, or is so, and how: comparable and readable.
pub(crate) type Picture = BTreeMap<String, String>;

/// Kernel settings as the machine boots with them.
const DEFAULTS: [(&str, &str); 11] = [
    ("fs/inotify/max_user_instances", "128"),
    ("fs/inotify/max_user_watches", "65536"),
    ("kernel/hostname", "debian"),
    ("kernel/keys/root_maxbytes", "20000"),
    ("kernel/keys/root_maxkeys", "200"),
    ("kernel/panic", "0"),
    ("kernel/panic_on_oops", "0"),
    ("net/ipv4/ip_forward", "0"),
    ("net/netfilter/nf_conntrack_max", "262144"),
    ("vm/overcommit_memory", "0"),
    ("vm/panic_on_oom", "0"),
];

const FILES: [(&str, &str); 17] = [
    ("etc/os-release", "ID=debian\nVERSION_ID=\"13\"\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n"),
    ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"),
    ("etc/group", "root:x:0:\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\n"),
    ("etc/hostname", "debian\n"),
    ("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 debian\n"),
    ("etc/resolv.conf", "nameserver 192.168.1.1\n"),
    ("proc/1/comm", "systemd\n"),
    ("proc/modules", ""),
    ("proc/swaps", "Filename Type Size Used Priority\n"),
    ("proc/meminfo", "MemTotal: 8000000 kB\n"),
    ("proc/net/tcp", ""),
    ("proc/uptime", ""),
    ("proc/self/status", "CapBnd:\t000001ffffffffff\n"),
    ("proc/self/mounts", ""),
    ("proc/self/mountinfo", ""),
    ("sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n"),
];

/// The machine `name` of the world that lies in `world`.
pub(crate) struct Machine {
    world: PathBuf,
    pub(crate) name: String,
}

impl Machine {
    pub(crate) fn at(world: &Path, name: &str) -> Self {
        Self { world: world.to_owned(), name: name.to_owned() }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.world.join("machines").join(&self.name)
    }

    /// What the test tells the stand-ins.
    pub(crate) fn ctl(&self) -> PathBuf {
        self.world.join("ctl").join(&self.name)
    }

    /// A fresh Debian.
    pub(crate) fn install(&self) {
        let root = self.root();
        for dir in [
            "etc/systemd/system",
            "etc/sysctl.d",
            "etc/modules-load.d",
            "etc/ssl",
            "var/lib",
            "var/log",
            "opt",
            "root",
            "run",
            "tmp",
            "usr",
            "fleet",
            "ctl",
            "dev",
            "sys/class/net",
            "sys/module/wireguard",
            "sim/units",
        ] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        for link in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{link}"), root.join(link)).unwrap();
        }
        for (path, text) in FILES {
            write(&root.join(path), text);
        }
        for (key, value) in DEFAULTS {
            write(&root.join("sim/defaults").join(key), &format!("{value}\n"));
            write(&root.join("proc/sys").join(key), &format!("{value}\n"));
        }
        write(&root.join("sim/packages"), "ca-certificates\n");
        self.identify();
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        // /usr/bin/awk leads there.
        if let Ok(awk) = fs::read_link("/etc/alternatives/awk") {
            fs::create_dir_all(root.join("etc/alternatives")).unwrap();
            symlink(awk, root.join("etc/alternatives/awk")).unwrap();
        }
        if let Ok(text) = fs::read_to_string("/etc/ssl/openssl.cnf") {
            write(&root.join("etc/ssl/openssl.cnf"), &text);
        }
        fs::create_dir_all(self.ctl()).unwrap();
        self.write_shell();
    }

    /// What no other machine has.
    pub(crate) fn identify(&self) {
        let id = data_encoding::HEXLOWER.encode(&Sha256::digest(&self.name)[..16]);
        write(&self.root().join("etc/machine-id"), &(id + "\n"));
    }

    /// The program that starts a root shell on the machine.
    pub(crate) fn shell(&self) -> PathBuf {
        self.ctl().join("sh")
    }

    /// It names its own place, so a copy of the world needs its own.
    pub(crate) fn write_shell(&self) {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sim");
        let text = format!("#!/bin/sh\nexec {0}/enter {1} {2} {0}/bin \"$@\"\n", here.display(), self.world.display(), self.name);
        write(&self.shell(), &text);
        fs::set_permissions(self.shell(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// All machines of its world.
    pub(crate) fn fellows(&self) -> Vec<Self> {
        let all = fs::read_dir(self.world.join("machines")).unwrap();
        all.map(|e| Self::at(&self.world, e.unwrap().file_name().to_str().unwrap())).collect()
    }

    /// Every process on it ends, wherever it is.
    pub(crate) fn kill(&self) {
        let Ok(pid) = fs::read_to_string(self.ctl().join("pid")) else { return };
        // By now the number could be somebody else's.
        let environ = fs::read(format!("/proc/{}/environ", pid.trim())).unwrap_or_default();
        if String::from_utf8_lossy(&environ).contains(&*self.root().to_string_lossy()) {
            Command::new("kill").args(["-KILL", pid.trim()]).output().unwrap();
        }
    }

    /// It goes off, and stays so.
    pub(crate) fn off(&self) {
        for unit in fs::read_dir(self.root().join("sim/units")).unwrap() {
            let _ = fs::remove_file(unit.unwrap().path().join("state"));
        }
    }

    /// It comes up again after a power cut.
    pub(crate) fn boot(&self) {
        let said = Command::new(self.shell())
            .args(["-c", "PATH=/usr/local/sbin:/usr/bin:/bin exec /usr/local/sbin/sim-boot 7>&1"])
            .output()
            .unwrap();
        assert!(said.status.success(), "{} does not boot: {said:?}", self.name);
    }

    /// The item after so many others is spoiled, or what comes before them all: before that command of it, or at its end where it
    /// has fewer.
    pub(crate) fn arm(&self, items: Option<usize>, at: usize, fails: bool) {
        let items = items.map_or("first".to_owned(), |n| n.to_string());
        write(&self.ctl().join("items"), &format!("{items}\n"));
        write(&self.ctl().join("ops"), &format!("{at}\n"));
        if fails {
            write(&self.ctl().join("fails"), "");
        }
    }

    /// Which files each unit reads, for systemd's stand-in.
    pub(crate) fn tell_reads(&self, wants: &[&Want]) {
        for want in wants {
            let Want::Unit(unit) = want else { continue };
            for (reload, when) in [(false, "start"), (true, "reload")] {
                let paths: Vec<&str> = unit.reads.iter().filter(|(_, r)| *r == reload).map(|(p, _)| p.as_str()).collect();
                if !paths.is_empty() {
                    write(&self.ctl().join("reads").join(format!("{}.{when}", unit.name)), &(paths.join("\n") + "\n"));
                }
            }
        }
    }

    /// Whether the run that works on it is alive.
    pub(crate) fn held(&self, held: bool) {
        write(&self.ctl().join("lock"), if held { "us\n" } else { "" });
    }

    pub(crate) fn disarm(&self) {
        for name in ["items", "ops", "armed", "fails"] {
            let _ = fs::remove_file(self.ctl().join(name));
        }
    }

    /// Changes whenever anything on the machine does, or what others say of etcd, the API and their kubelets. A look that nothing has changed since
    /// says the same again.
    pub(crate) fn state(&self) -> Vec<u8> {
        let mut digest = Sha256::new();
        for place in ["etc", "opt", "var", "root", "proc", "run", "sys", "sim", "tmp"] {
            stamp(&self.root().join(place), &mut digest);
        }
        for fellow in self.fellows() {
            let units = ["etcd", "kube-apiserver", "kubelet"].map(|u| format!("sim/units/{u}.service/state"));
            let told = ["var/lib/etcd/member/members", "var/lib/etcd/member/id", "var/lib/kubelet/pki/kubelet-server-current.pem"];
            for path in units.iter().map(String::as_str).chain(told) {
                digest.update(fs::read(fellow.root().join(path)).unwrap_or_default());
                digest.update([0]);
            }
        }
        digest.finalize().to_vec()
    }

    /// Everything that outlives a run.
    pub(crate) fn picture(&self) -> Picture {
        let root = self.root();
        let users = names(&root.join("etc/passwd"));
        let groups = names(&root.join("etc/group"));
        let mut picture = Picture::new();
        for place in ["etc", "opt", "var", "root", "proc/sys", "proc/net/tcp", "sys", "sim"] {
            walk(&root, &root.join(place), &|m| format!("{}:{}", of(&users, m.uid()), of(&groups, m.gid())), &mut picture);
        }
        for entry in fs::read_dir(root.join("sim/units")).unwrap() {
            let unit = entry.unwrap().file_name().into_string().unwrap();
            let old = self.outdated(&unit);
            if !old.is_empty() {
                picture.insert(format!("what {unit} has read and is not so any more"), old.join(", "));
            }
        }
        picture
    }

    /// Files that a running unit has read and that are different by now.
    fn outdated(&self, unit: &str) -> Vec<String> {
        let dir = self.root().join("sim/units").join(unit);
        let read = ["read.start", "read.reload"].map(|f| fs::read_to_string(dir.join(f)).unwrap_or_default()).concat();
        let other = |(sum, path): (&str, &str)| {
            let now = fs::read(self.root().join(path.trim_start_matches('/'))).ok();
            now.is_none_or(|bytes| data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)) != sum).then(|| path.to_owned())
        };
        read.lines().filter_map(|l| l.split_once("  ")).filter_map(other).collect()
    }
}

/// The same file, with the same content, mode and owner, as far as the kernel tells.
fn stamp(at: &Path, digest: &mut Sha256) {
    let Ok(meta) = fs::symlink_metadata(at) else { return };
    digest.update(at.as_os_str().as_encoded_bytes());
    for number in [meta.ino().cast_signed(), meta.ctime(), meta.ctime_nsec()] {
        digest.update(number.to_le_bytes());
    }
    if meta.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(at).unwrap().map(|e| e.unwrap().path()).collect();
        entries.sort();
        for entry in entries {
            stamp(&entry, digest);
        }
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn names(path: &Path) -> BTreeMap<u32, String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter_map(|l| Some((l.split(':').nth(2)?.parse().ok()?, l.split(':').next()?.to_owned()))).collect()
}

fn of(names: &BTreeMap<u32, String>, id: u32) -> String {
    names.get(&id).cloned().unwrap_or_else(|| id.to_string())
}

/// What differs from run to run and means nothing: moments, what systemd keeps in memory, its journal.
fn means_nothing(path: &str) -> bool {
    let unit = path
        .strip_prefix("sim/units/")
        .and_then(|p| p.split_once('/'))
        .is_some_and(|(_, f)| ["cache", "changed", "started", "read.start", "read.reload"].contains(&f));
    // Named by the moment at which they were taken or moved.
    let dated = ["var/lib/homectl/snapshots/etcd-", "var/lib/etcd/before-"].iter().any(|p| path.starts_with(p));
    unit || dated || ["sim/journal", "sim/defaults"].contains(&path) || path.ends_with("/.stamp")
}

fn walk(root: &Path, at: &Path, owner: &dyn Fn(&fs::Metadata) -> String, picture: &mut Picture) {
    let path = at.strip_prefix(root).unwrap().display().to_string();
    let Ok(meta) = fs::symlink_metadata(at) else { return };
    if means_nothing(&path) {
        return;
    }
    let what = if meta.is_symlink() {
        format!("→ {}", fs::read_link(at).unwrap().display())
    } else if meta.is_dir() {
        format!("{:o} {}", meta.mode() & 0o7777, owner(&meta))
    } else {
        format!("{:o} {} {}", meta.mode() & 0o7777, owner(&meta), content(&path, &fs::read(at).unwrap()))
    };
    if meta.is_dir() {
        for entry in fs::read_dir(at).unwrap() {
            walk(root, &entry.unwrap().path(), owner, picture);
        }
        // A unit that only was once has left an empty folder.
        if path.starts_with("sim/") {
            return;
        }
    }
    if !what.ends_with(" inactive") {
        picture.insert(path, what);
    }
}

/// Short texts as they are, others as a digest. In lists the order means nothing, nor do users' numbers.
fn content(path: &str, bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    let listed = path.starts_with("sim/") || ["etc/passwd", "etc/group"].contains(&path);
    if listed {
        let name = |l: &str| if path.starts_with("etc/") { l.split(':').next().unwrap_or_default().to_owned() } else { l.to_owned() };
        let mut lines: Vec<String> = text.lines().map(name).collect();
        lines.sort();
        text = lines.join("; ");
    }
    if text.len() <= 200 || path.starts_with("etc/") && listed {
        return text.trim().to_owned();
    }
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes())[..8])
}
