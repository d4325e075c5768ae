//! The machines: `tests/lab/lab` with this run's name and subnet.

use crate::Result;
use crate::scene::{ensure, say};
use crate::shell::{Ran, run};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Cold: an image, an engine and programs have to be made first.
const UP: Duration = Duration::from_hours(1);
const SHORT: Duration = Duration::from_mins(3);

/// Machines that go when this is dropped.
pub(crate) struct Lab {
    name: String,
    subnet: String,
    suite: &'static str,
    keep: bool,
}

impl Lab {
    /// The machines of a topology: one of the lab's, or a file of `tests/e2e/topologies`. What an earlier run left goes first.
    pub(crate) fn up(topology: &str, suite: &'static str) -> Result<Self> {
        let own = |name: &str, default: &str| std::env::var(name).ok().filter(|v| !v.is_empty()).unwrap_or_else(|| default.to_owned());
        let keep = std::env::var_os("HOMECTL_E2E_KEEP").is_some();
        let lab = Self { name: own("LAB_NAME", "e2e"), subnet: own("LAB_SUBNET", "198.19.7.0/24"), suite, keep };
        let here = root().join("tests/e2e/topologies").join(topology);
        let topology = if here.exists() { here.display().to_string() } else { topology.to_owned() };
        if !lab.keep {
            lab.run(&["down"], &[], SHORT)?.ok()?;
        }
        lab.run(&["up", &topology], &[], UP)?.ok()?;
        Ok(lab)
    }

    /// Has the mirror hold these programs besides, building what is not there: an older Kubernetes takes its time.
    pub(crate) fn artifacts(names: &[&str]) -> Result {
        let mut command = Command::new(root().join("tests/lab/lab"));
        run(command.arg("artifacts").args(names), &[], UP)?.ok().map(drop)
    }

    /// Runs one of the lab's commands.
    fn run(&self, args: &[&str], stdin: &[u8], deadline: Duration) -> Result<Ran> {
        let mut command = Command::new(root().join("tests/lab/lab"));
        command.args(args).env("LAB_NAME", &self.name).env("LAB_SUBNET", &self.subnet).env("LAB_SUITE", self.suite);
        run(&mut command, stdin, deadline)
    }

    /// `kill`, `start` or another of the lab's verbs, on these machines.
    pub(crate) fn each(&self, verb: &str, nodes: &[&str]) -> Result {
        let args: Vec<&str> = std::iter::once(verb).chain(nodes.iter().copied()).collect();
        self.run(&args, &[], SHORT)?.ok().map(drop)
    }

    /// The stdout of a script that runs as root in a machine, if it ends well.
    pub(crate) fn sh(&self, node: &str, script: &str) -> Result<String> {
        self.sh_ran(node, script)?.ok().map_err(|error| format!("on {node}: {error}"))
    }

    /// The same, whatever it ends with.
    pub(crate) fn sh_ran(&self, node: &str, script: &str) -> Result<Ran> {
        self.run(&["sh", node, "sh", "-c", script], &[], SHORT)
    }

    /// Puts a file into a machine.
    pub(crate) fn put(&self, node: &str, path: &str, bytes: &[u8], mode: &str) -> Result {
        let script = format!("mkdir -p \"$(dirname '{path}')\" && cat >'{path}' && chmod {mode} '{path}'");
        self.run(&["sh", node, "sh", "-c", &script], bytes, SHORT)?.ok().map(drop)
    }

    /// An address in the lab's subnet.
    pub(crate) fn address(&self, host: u8) -> String {
        format!("{}.{host}", self.subnet.trim_end_matches(".0/24"))
    }

    /// Where the lab keeps the key and what it knows of the machines.
    pub(crate) fn state(&self) -> PathBuf {
        cache().join(&self.name)
    }

    /// The fingerprint of a machine's host key.
    pub(crate) fn pin(&self, node: &str) -> Result<String> {
        read(&self.state().join("pins").join(node)).map(|pin| pin.trim().to_owned())
    }

    /// The inventory that the lab wrote for its topology.
    pub(crate) fn inventory(&self) -> Result<String> {
        read(&self.state().join("inventory.toml"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.keep {
            say(&format!("   the lab stays: LAB_NAME={} LAB_SUBNET={} tests/lab/lab down", self.name, self.subnet));
            return;
        }
        if let Err(error) = self.run(&["down"], &[], SHORT).and_then(Ran::ok) {
            say(&format!("   the lab did not go: {error}"));
        }
    }
}

/// The project's folder.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The lab's cache, as `tests/lab/lib/common.sh` has it.
fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"));
    cache.join("homectl/lab")
}

/// The folder that looks like upstream's download sites.
pub(crate) fn mirror() -> PathBuf {
    cache().join("mirror")
}

/// Upstream's kubectl, the newest of the mirror.
pub(crate) fn kubectl() -> Result<PathBuf> {
    let releases = mirror().join("dl.k8s.io/release");
    let entries = std::fs::read_dir(&releases).map_err(|error| format!("{}: {error}", releases.display()))?;
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path().join("bin/linux/amd64/kubectl"))).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().ok_or_else(|| format!("no kubectl below {}", releases.display()))
}

pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

pub(crate) fn write(path: &Path, text: &str) -> Result {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Whether two lists are one; what each has alone.
pub(crate) fn same_lines(what: &str, before: &str, after: &str) -> Result {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let only = |these: &[&str], those: &[&str], sign: &str| -> Vec<String> {
        let those: std::collections::BTreeSet<&str> = those.iter().copied().collect();
        these.iter().filter(|line| !those.contains(**line)).map(|line| format!("{sign} {line}")).collect()
    };
    let mut lines = only(&before, &after, "-");
    lines.extend(only(&after, &before, "+"));
    lines.truncate(40);
    ensure(before == after, || format!("{what}:\n      {}", lines.join("\n      ")))
}
