//! A plan as a file: `plan --out` writes it, `apply FILE` runs exactly it, or nothing. It holds no secret: what would
//! run, and what it rests on, is named by digest, and made anew from the inventory when it is to run.

use super::world::World;
use crate::cluster::Lock;
use crate::error::{Failure, Result, exit};
use crate::inventory::Inventory;
use crate::plan::{Footings, Plan, moved};
use crate::report;
use crate::whole;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Raised when a field changes its meaning or goes away.
const FORMAT: u32 = 1;
/// Longer than any house's plan.
const MAX_BYTES: u64 = 512 << 20;

/// The file; `docs/plan.schema.json` describes it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanFile {
    format: u32,
    /// Version that made it: another would word its scripts otherwise.
    homectl: String,
    /// The inventory, from the folder of this file.
    inventory: PathBuf,
    /// `--limit`; empty for all.
    pub(super) limit: Vec<String>,
    /// sha256 of the files that it was made from, by what they are.
    inputs: BTreeMap<String, String>,
    rests_on: Footings,
    /// The plan as `plan --json` prints it, to be read before it runs.
    plan: Value,
}

impl PlanFile {
    /// What is written for `plan`.
    pub(super) fn new(world: &World, limit: &[String], plan: &Plan, folder: &Path) -> Result<Self> {
        Ok(Self {
            format: FORMAT,
            homectl: env!("CARGO_PKG_VERSION").to_owned(),
            inventory: from(folder, &world.inventory.path)?,
            limit: limit.to_vec(),
            inputs: inputs(&world.inventory)?,
            rests_on: plan.footings(),
            plan: report::plan_json(plan),
        })
    }

    /// Writes it whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let failed = |e: std::io::Error| Failure::failed(format!("{} could not be written", path.display())).seen(e.to_string());
        let mut text = serde_json::to_string_pretty(self).map_err(|e| Failure::bug(format!("a plan that JSON cannot say: {e}")))?;
        text.push('\n');
        whole::replace(path, text.as_bytes(), 0o600).map_err(failed)
    }

    /// The plan in the file `path`, and its inventory; nothing where the file is no plan (an inventory, say).
    pub(super) fn read(path: &Path) -> Result<Option<(Self, PathBuf)>> {
        let Ok(text) = text(path) else { return Ok(None) };
        if !text.trim_start().starts_with('{') {
            return Ok(None);
        }
        let wrong = |seen: String| {
            Failure::new(exit::INVENTORY, format!("{} is no plan that this homectl can run", path.display()))
                .seen(seen)
                .help("make a new one: homectl plan --out FILE")
        };
        let json: Value = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let ours = env!("CARGO_PKG_VERSION");
        let (format, version) = (json["format"].as_u64(), json["homectl"].as_str().unwrap_or("nobody"));
        if format != Some(u64::from(FORMAT)) || version != ours {
            let form = format.map_or_else(|| "no number".to_owned(), |f| f.to_string());
            return Err(wrong(format!("made by homectl {version} in format {form}; this is homectl {ours} with format {FORMAT}")));
        }
        let file: Self = serde_json::from_value(json).map_err(|e| wrong(e.to_string()))?;
        let inventory = whole::folder(path).join(&file.inventory);
        Ok(Some((file, inventory)))
    }

    /// Refuses where the files that it was made from are others now.
    pub(super) fn same_inputs(&self, inventory: &Inventory) -> Result<()> {
        let now = inputs(inventory)?;
        let names = self.inputs.keys().chain(now.keys());
        let other: std::collections::BTreeSet<&str> = names.filter(|n| self.inputs.get(*n) != now.get(*n)).map(String::as_str).collect();
        if other.is_empty() {
            return Ok(());
        }
        Err(stale("what the plan was made from has changed since").seen(other.into_iter().collect::<Vec<_>>().join("\n")))
    }

    /// Refuses where `now` would do something else, or rests on something else.
    pub(super) fn same_plan(&self, now: &Plan) -> Result<()> {
        let moved = moved(&self.rests_on, &now.footings());
        if moved.is_empty() {
            return Ok(());
        }
        Err(stale("the machines are no longer as this plan saw them").seen(moved.join("\n")))
    }
}

/// A plan that may not run any more.
pub(super) fn stale(what: &str) -> Failure {
    Failure::refused(format!("{what}; nothing was done")).help("make a new plan and look at it: homectl plan --out FILE")
}

fn text(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// `path` as seen from `folder`, so that both may move together.
fn from(folder: &Path, path: &Path) -> Result<PathBuf> {
    let whole = |p: &Path| p.canonicalize().map_err(|e| Failure::failed(format!("{} cannot be found", p.display())).seen(e.to_string()));
    let (folder, path) = (whole(folder)?, whole(path)?);
    let shared = folder.components().zip(path.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(shared).map(|_| std::path::Component::ParentDir);
    Ok(up.chain(path.components().skip(shared)).collect())
}

/// Digests of the inventory, its lock and the manifests that it names.
fn inputs(inventory: &Inventory) -> Result<BTreeMap<String, String>> {
    let digest = |bytes: &[u8]| HEXLOWER.encode(&Sha256::digest(bytes));
    let mut all = BTreeMap::new();
    for path in [inventory.path.clone(), Lock::path(&inventory.path)] {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).map_err(|e| Failure::failed(format!("{} cannot be read", path.display())).seen(e.to_string()))?;
        all.insert(name, digest(&bytes));
    }
    for addon in inventory.resolved_addons()? {
        if let crate::cluster::AddonSource::Manifests(files) = &addon.source {
            let name = |path: &Path| path.strip_prefix(&inventory.home).unwrap_or(path).display().to_string();
            all.extend(files.iter().map(|(path, text)| (name(path), digest(text.as_bytes()))));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inventory_is_found_from_where_the_plan_lies() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("out/deep")).unwrap();
        std::fs::write(home.path().join("inventory.toml"), "").unwrap();
        let inventory = home.path().join("inventory.toml");
        assert_eq!(from(home.path(), &inventory).unwrap(), Path::new("inventory.toml"));
        assert_eq!(from(&home.path().join("out/deep"), &inventory).unwrap(), Path::new("../../inventory.toml"));
    }

    #[test]
    fn what_is_no_plan_is_told_from_a_plan_of_another_version() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("f");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            PlanFile::read(&path)
        };
        assert!(read("[cluster]\nname = \"home\"\n").unwrap().is_none());
        assert!(PlanFile::read(&home.path().join("missing")).unwrap().is_none());
        let e = read("{\"format\": 7, \"homectl\": \"9.9.9\"}").unwrap_err().to_string();
        assert!(e.contains("made by homectl 9.9.9 in format 7"), "{e}");
        let e = read("{\"format\": 1}").unwrap_err().to_string();
        assert!(e.contains("made by homectl nobody"), "{e}");
        let e = read("{ cut").unwrap_err().to_string();
        assert!(e.contains("is no plan"), "{e}");
    }
}
