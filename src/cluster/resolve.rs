//! Inventory + lock → cluster.

use super::lock::Lock;
use super::model::{Addon, AddonSource, Cluster, Node, nth};
use super::order;
use crate::error::{Failure, Result, exit};
use crate::inventory::{AddonEntry, IMPLIED, Inventory, Machine, expand_glob};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// One manifest file may not be larger; the API server takes 1.5 MiB an object.
const MAX_MANIFEST: u64 = 8 << 20;

impl Inventory {
    /// What the inventory and its lock mean together.
    ///
    /// # Errors
    /// Exit code 65: the lock is another cluster's or does not cover the inventory, or a manifest cannot be read.
    pub fn resolve(&self, lock: &Lock) -> Result<Cluster> {
        lock.belongs_to(self)?;
        if let Some(why) = lock.outdated(self) {
            return Err(Failure::new(exit::INVENTORY, format!("the lock does not cover the inventory: {why}"))
                .help(format!("run `homectl lock {}`", self.path.display())));
        }
        let mut nodes = self.nodes.iter().map(|m| self.node(m, lock)).collect::<Result<Vec<_>>>()?;
        nodes.sort_by_key(|n| n.number);
        Ok(Cluster {
            name: self.name.clone(),
            kubernetes: self.kubernetes.clone(),
            network: self.network.clone(),
            api: self.api.clone(),
            registries: self.registries.clone(),
            nodes,
            addons: self.resolved_addons()?,
            programs: lock.programs.clone(),
            home: self.home.clone(),
            etcd_cluster_id: lock.etcd_cluster_id.clone(),
        })
    }

    fn node(&self, machine: &Machine, lock: &Lock) -> Result<Node> {
        let number = lock.numbers.get(&machine.name).copied().unwrap_or_default();
        if number == 0 || number > self.capacity() {
            return Err(Failure::new(
                exit::INVENTORY,
                format!("the lock gives `{}` the number {number}, overlay and pods hold 1 to {}", machine.name, self.capacity()),
            )
            .help("the ranges shrank below what the cluster has: give them back their size"));
        }
        Ok(Node {
            machine: machine.clone(),
            number,
            overlay: nth(self.network.overlay, u32::from(number)),
            pods: pod_range(self.network.pods, number),
        })
    }

    /// Every add-on in the order in which they are made, the implied one included, with the texts of its manifests.
    ///
    /// # Errors
    /// A file that cannot be read, or is too large.
    pub fn resolved_addons(&self) -> Result<Vec<Addon>> {
        let mut entries = Vec::new();
        if !self.addons.iter().any(|a| a.name == IMPLIED) {
            entries.push(AddonEntry { name: IMPLIED.to_owned(), needs: Vec::new(), manifests: Vec::new() });
        }
        entries.extend(self.addons.iter().cloned());
        order::by_needs(&entries).into_iter().map(|i| addon(&entries[i], &self.home)).collect()
    }
}

/// The `number`th /24 of the pods range.
fn pod_range(pods: Ipv4Net, number: u16) -> Ipv4Net {
    let start: Ipv4Addr = nth(pods, u32::from(number) << 8);
    Ipv4Net::new_assert(start, 24)
}

fn addon(entry: &AddonEntry, home: &Path) -> Result<Addon> {
    let source = if entry.manifests.is_empty() {
        AddonSource::Catalogue
    } else {
        let mut files: Vec<(PathBuf, String)> = Vec::new();
        for pattern in &entry.manifests {
            let found = expand_glob(home, pattern)
                .map_err(|e| Failure::new(exit::INVENTORY, format!("add-on `{}`: cannot look for `{pattern}`: {e}", entry.name)))?;
            for path in found {
                if !files.iter().any(|(p, _)| *p == path) {
                    let text = manifest(&home.join(&path), &entry.name)?;
                    files.push((path, text));
                }
            }
        }
        AddonSource::Manifests(files)
    };
    Ok(Addon { name: entry.name.clone(), needs: entry.needs.clone(), source })
}

fn manifest(path: &Path, addon: &str) -> Result<String> {
    let failure = |why: String| Failure::new(exit::INVENTORY, format!("add-on `{addon}`: cannot use {}: {why}", path.display()));
    let size = std::fs::metadata(path).map_err(|e| failure(e.to_string()))?.len();
    if size > MAX_MANIFEST {
        return Err(failure("it is larger than 8 MiB".to_owned()));
    }
    std::fs::read_to_string(path).map_err(|e| failure(e.to_string()))
}
