//! Inventory → lock: what `homectl lock` does, and `apply` where there is none yet.

use super::origin::Limits;
use super::resolve::{Missing, Resolved, resolve};
use crate::cluster::{Arch, Component, Lock, Programs};
use crate::error::{Failure, Result, exit};
use crate::inventory::Inventory;
use std::collections::{BTreeMap, BTreeSet};

/// When sums are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Only where the lock does not cover the versions; new nodes alone need no network.
    Complete,
    /// Always.
    Refresh,
}

/// A lock that covers the inventory, not yet saved.
#[derive(Debug, Clone)]
pub struct Locked {
    pub lock: Lock,
    /// Whether it differs from the one before.
    pub changed: bool,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// Makes a lock cover the inventory: versions, sums, node numbers.
///
/// # Errors
/// The lock is another cluster's, numbers ran out, sums cannot be had, or a published sum changed.
pub async fn lock(inventory: &Inventory, old: Option<&Lock>, mode: LockMode, limits: Limits) -> Result<Locked> {
    let mut lock = old.cloned().unwrap_or_else(|| Lock::empty(inventory));
    lock.belongs_to(inventory)?;
    lock.depart(inventory)?;
    lock.assign(inventory)?;
    let mut warnings = Vec::new();
    if mode == LockMode::Refresh || lock.outdated(inventory).is_some() || !lacking(inventory, &lock.programs).is_empty() {
        let versions: BTreeMap<Component, String> = Component::ALL.into_iter().map(|c| (c, c.version(inventory))).collect();
        let mut resolved = resolve(&versions, inventory.mirror.as_ref(), limits).await?;
        unchanged(&lock.programs, &mut resolved)?;
        enough(inventory, &resolved)?;
        warnings.extend(told(&resolved.missing));
        lock.kubernetes = inventory.kubernetes.clone();
        lock.programs = resolved.programs;
    }
    let changed = old != Some(&lock);
    Ok(Locked { lock, changed, warnings })
}

/// Architectures that nodes of the inventory name and the programs do not cover.
fn lacking(inventory: &Inventory, programs: &Programs) -> Vec<Arch> {
    let named: BTreeSet<Arch> = inventory.nodes.iter().filter_map(|n| n.arch).collect();
    named.into_iter().filter(|arch| Component::ALL.iter().any(|c| programs.get(*c, *arch).is_none())).collect()
}

/// A sum once locked stays, for as long as its URL does. What the source lacks now is taken over from the lock.
fn unchanged(old: &Programs, resolved: &mut Resolved) -> Result<()> {
    for (key, before) in &old.artifacts {
        if old.versions.get(&key.0) != resolved.programs.versions.get(&key.0) {
            continue;
        }
        match resolved.programs.artifacts.get(key) {
            Some(now) if now.url == before.url && now.sha256 != before.sha256 => {
                return Err(Failure::refused(format!("the published sum of {} changed, its version did not", before.url))
                    .seen(format!("locked    sha256 {}", before.sha256))
                    .seen(format!("published sha256 {}", now.sha256))
                    .help("releases do not change: find out why; to take the new one all the same, remove its entry from the lock"));
            }
            Some(_) => {}
            None => {
                resolved.programs.artifacts.insert(*key, before.clone());
                resolved.missing.retain(|m| (m.component, m.arch) != *key);
            }
        }
    }
    Ok(())
}

/// Every architecture that a node names must be complete; where none is named, at least one.
fn enough(inventory: &Inventory, resolved: &Resolved) -> Result<()> {
    let needed = lacking(inventory, &resolved.programs);
    let none_complete = Arch::ALL.iter().all(|arch| resolved.missing.iter().any(|m| m.arch == *arch));
    let short = match needed.first() {
        Some(arch) => *arch,
        None if none_complete => Arch::Amd64,
        None => return Ok(()),
    };
    let mut failure = Failure::new(exit::FAILED, format!("not all programs can be had for {short}"));
    if let Some(node) = inventory.nodes.iter().find(|n| n.arch == Some(short)) {
        failure = failure.seen(format!("`{}` is {short}", node.name));
    }
    for missing in resolved.missing.iter().filter(|m| m.arch == short) {
        failure = failure.seen(format!("{}: not in {}", missing.component, missing.asked));
    }
    let help = if inventory.mirror.is_some() {
        "the mirror is the only source while [artifacts] mirror is set: put the files and their sums there, or remove the key"
    } else {
        "is every version in the inventory one that upstream released?"
    };
    Err(failure.help(help))
}

/// One warning for each architecture that is not covered whole.
fn told(missing: &[Missing]) -> Vec<String> {
    let mut by_arch: BTreeMap<Arch, Vec<&str>> = BTreeMap::new();
    for m in missing {
        by_arch.entry(m.arch).or_default().push(m.component.as_str());
    }
    by_arch
        .into_iter()
        .map(|(arch, parts)| {
            let what = if parts.len() == Component::ALL.len() { "nothing".to_owned() } else { format!("no {}", parts.join(", ")) };
            format!("the source has {what} for {arch}: the lock does not cover such machines")
        })
        .collect()
}
