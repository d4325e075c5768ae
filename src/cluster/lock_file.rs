//! The lock as a file: TOML, whole or not there, the same bytes for the same content.

use super::lock::Lock;
use super::program::{Artifact, Component, Programs};
use super::release::Release;
use crate::error::{Failure, Result, exit};
use crate::inventory::Arch;
use crate::whole;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
const MAX_BYTES: u64 = 4 << 20;
const HEADER: &str = "\
# Made by homectl; commit it. What an inventory's versions mean (where programs come from, with their sums), and each
# node's number, from which its overlay address and pod range follow. `homectl remove-node` takes a number out.
";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    version: u32,
    cluster: String,
    kubernetes: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    etcd_cluster_id: Option<String>,
    #[serde(default)]
    numbers: BTreeMap<String, u16>,
    #[serde(default)]
    programs: BTreeMap<Component, Program>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Older>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    older: Vec<Older>,
}

/// What machines ran before.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Older {
    kubernetes: Version,
    programs: BTreeMap<Component, Program>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    amd64: Option<Artifact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arm64: Option<Artifact>,
}

/// Only the format, so that a newer lock is told from a broken one.
#[derive(Deserialize)]
struct Probe {
    version: Option<u32>,
}

impl Lock {
    /// Where the lock of an inventory lies: `home.toml` → `home.lock`.
    #[must_use]
    pub fn path(inventory: &Path) -> PathBuf {
        inventory.with_extension("lock")
    }

    /// Reads a lock; `None` when there is none.
    ///
    /// # Errors
    /// Exit code 65: not readable, not a lock, or of a newer homectl.
    pub fn load(path: &Path) -> Result<Option<Self>> {
        let invalid = |why: String| Failure::new(exit::INVENTORY, format!("{} cannot be used: {why}", path.display()));
        let file = match std::fs::File::open(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| invalid(e.to_string()))?,
        };
        let mut text = String::new();
        file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|e| invalid(e.to_string()))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(invalid("it is longer than 4 MiB".to_owned()));
        }
        let restore = "get it back from version control; node numbers cannot be made up again";
        let broken = |e: toml::de::Error| invalid("it is not a lock of homectl".to_owned()).seen(e.to_string()).help(restore);
        match toml::from_str::<Probe>(&text).map_err(broken)?.version {
            Some(FORMAT) => {}
            Some(other) => return Err(invalid(format!("its format is {other}, this homectl knows {FORMAT}")).help("use a newer homectl")),
            None => return Err(invalid("it has no format version".to_owned()).help(restore)),
        }
        let file: File = toml::from_str(&text).map_err(broken)?;
        Self::judge(file).map(Some).map_err(|why| invalid(why).help(restore))
    }

    fn judge(file: File) -> Result<Self, String> {
        let mut names = BTreeMap::new();
        for (name, number) in &file.numbers {
            if *number == 0 {
                return Err(format!("node `{name}` has the number 0, they begin at 1"));
            }
            if let Some(other) = names.insert(*number, name) {
                return Err(format!("nodes `{other}` and `{name}` both have the number {number}"));
            }
        }
        if let Some(id) = file.etcd_cluster_id.as_ref().filter(|id| id.len() != 16 || !is_hex(id)) {
            return Err(format!("`{id}` is not an etcd cluster ID (16 hex digits)"));
        }
        let programs = judge_programs(file.programs)?;
        let release = |older: Older| Ok::<_, String>(Release { kubernetes: older.kubernetes, programs: judge_programs(older.programs)? });
        let previous = file.previous.map(release).transpose()?;
        let older = file.older.into_iter().map(release).collect::<Result<_, _>>()?;
        Ok(Self {
            cluster: file.cluster,
            kubernetes: file.kubernetes,
            programs,
            numbers: file.numbers,
            etcd_cluster_id: file.etcd_cluster_id,
            previous,
            older,
        })
    }

    /// The file's text.
    ///
    /// # Errors
    /// None that a lock of ours can cause.
    pub fn text(&self) -> Result<String> {
        let file = File {
            version: FORMAT,
            cluster: self.cluster.clone(),
            kubernetes: self.kubernetes.clone(),
            etcd_cluster_id: self.etcd_cluster_id.clone(),
            numbers: self.numbers.clone(),
            programs: written(&self.programs),
            previous: self.previous.as_ref().map(older),
            older: self.older.iter().map(older).collect(),
        };
        let body = toml::to_string(&file).map_err(|e| Failure::bug("the lock cannot be written as TOML").seen(e.to_string()))?;
        Ok(format!("{HEADER}\n{body}"))
    }

    /// Writes the lock where it differs; says whether it did. The old file stays whole until the new one is on the disk.
    ///
    /// # Errors
    /// The folder cannot be written, or the disk is full.
    pub fn save(&self, path: &Path) -> Result<bool> {
        let text = self.text()?;
        if std::fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(false);
        }
        whole::replace(path, text.as_bytes(), 0o644).map(|()| true).map_err(|e| {
            Failure::failed(format!("cannot write {}: {e}", path.display()))
                .help("nothing was changed; make room or mend the folder's rights, and run again")
        })
    }
}

fn older(release: &Release) -> Older {
    Older { kubernetes: release.kubernetes.clone(), programs: written(&release.programs) }
}

fn written(programs: &Programs) -> BTreeMap<Component, Program> {
    let program = |(component, version): (&Component, &String)| {
        let artifact = |arch| programs.get(*component, arch).cloned();
        (*component, Program { version: version.clone(), amd64: artifact(Arch::Amd64), arm64: artifact(Arch::Arm64) })
    };
    programs.versions.iter().map(program).collect()
}

fn judge_programs(given: BTreeMap<Component, Program>) -> Result<Programs, String> {
    let mut programs = Programs::default();
    for (component, program) in given {
        programs.versions.insert(component, program.version);
        for (arch, artifact) in [(Arch::Amd64, program.amd64), (Arch::Arm64, program.arm64)] {
            let Some(artifact) = artifact else { continue };
            if artifact.sha256.len() != 64 || !is_hex(&artifact.sha256) {
                return Err(format!("`{}` is not the sha256 of {component} ({arch})", artifact.sha256));
            }
            if !url::Url::parse(&artifact.url).is_ok_and(|u| u.scheme() == "https" && u.has_host()) {
                return Err(format!("`{}` is not the https URL of {component} ({arch})", artifact.url));
            }
            programs.artifacts.insert((component, arch), artifact);
        }
    }
    Ok(programs)
}

fn is_hex(s: &str) -> bool {
    s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
