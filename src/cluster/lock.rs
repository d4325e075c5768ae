//! `inventory.lock`: what was resolved once and stays: versions, URLs and sums, node numbers, the etcd cluster ID.

use super::program::{Component, Programs};
use super::release::Release;
use crate::error::{Failure, Result, exit};
use crate::inventory::Inventory;
use semver::Version;
use std::collections::{BTreeMap, BTreeSet};

/// The lock beside the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Name of the cluster it belongs to.
    pub cluster: String,
    pub kubernetes: Version,
    pub programs: Programs,
    /// Node numbers by name; a number is never given to another name while its node may come back.
    pub numbers: BTreeMap<String, u16>,
    /// Recorded at bootstrap, 16 hex digits.
    pub etcd_cluster_id: Option<String>,
    /// While versions move: the release that machines ran before, and go back to. There until all that answer run this one.
    pub previous: Option<Release>,
    /// Other releases that some machine may still run, the last one to be left first: it was off when the others moved on, or a
    /// move was given up for another. There until all machines run this one.
    pub older: Vec<Release>,
}

impl Lock {
    /// A lock without programs and numbers.
    #[must_use]
    pub fn empty(inventory: &Inventory) -> Self {
        Self {
            cluster: inventory.name.clone(),
            kubernetes: inventory.kubernetes.clone(),
            programs: Programs::default(),
            numbers: BTreeMap::new(),
            etcd_cluster_id: None,
            previous: None,
            older: Vec::new(),
        }
    }

    /// Every release that a machine may run: this one, that before it while versions move, and older ones.
    #[must_use]
    pub fn releases(&self) -> Vec<Release> {
        std::iter::once(self.release()).chain(self.previous.clone()).chain(self.older.iter().cloned()).collect()
    }

    /// While versions move: the newest release before this one that a machine may have run.
    #[must_use]
    pub fn last(&self) -> Option<&Release> {
        let before = self.previous.iter().chain(&self.older).filter(|r| r.kubernetes <= self.kubernetes);
        self.previous.as_ref()?;
        before.reduce(|newest, r| if r.kubernetes > newest.kubernetes { r } else { newest })
    }

    /// This release.
    #[must_use]
    pub fn release(&self) -> Release {
        Release { kubernetes: self.kubernetes.clone(), programs: self.programs.clone() }
    }

    /// Notes that the versions of a cluster that lives are about to move to those of `inventory`, or back to what machines ran
    /// before. Where they were on their way already, a machine may run either release by now: what neither may become is refused
    /// here, the rest is judged by what each machine runs.
    ///
    /// # Errors
    /// They may not follow what runs.
    pub fn depart(&mut self, inventory: &Inventory) -> Result<()> {
        let is_asked = |r: &Release| {
            let same = |c: Component| r.programs.versions.get(&c) == Some(&c.version(inventory));
            r.kubernetes == inventory.kubernetes && Component::ALL.into_iter().all(same)
        };
        let now = self.release();
        if self.etcd_cluster_id.is_none() || is_asked(&now) {
            return Ok(());
        }
        let may = |r: &Release| r.may_become(&inventory.kubernetes, &inventory.versions.etcd);
        let from = match self.previous.take() {
            Some(before) if may(&before).is_ok() => before,
            before => {
                may(&now)?;
                self.leave(before);
                now.clone()
            }
        };
        self.leave((now != from).then_some(now));
        if is_asked(&from) {
            (self.kubernetes, self.programs) = (from.kubernetes, from.programs);
        } else {
            self.previous = Some(from);
        }
        self.older.retain(|r| r.is_known_to(&inventory.kubernetes));
        Ok(())
    }

    /// A release that some machine may go on running.
    fn leave(&mut self, release: Option<Release>) {
        let Some(release) = release else { return };
        self.older.retain(|r| *r != release);
        self.older.insert(0, release);
    }

    /// Notes that machines run this release now: all of them, or those that answer. Nobody goes back any more. Whether that is
    /// news.
    pub fn arrive(&mut self, all: bool) -> bool {
        let news = self.previous.is_some() || all && !self.older.is_empty();
        let before = self.previous.take();
        if all {
            self.older.clear();
        } else {
            self.leave(before);
        }
        news
    }

    /// Gives every node without a number the lowest one that no name holds, in the order of the inventory.
    /// Names that left the inventory keep theirs.
    ///
    /// # Errors
    /// The ranges have no number left.
    pub fn assign(&mut self, inventory: &Inventory) -> Result<()> {
        let capacity = inventory.capacity();
        let mut taken: BTreeSet<u16> = self.numbers.values().copied().collect();
        let mut next = 1;
        for node in &inventory.nodes {
            if self.numbers.contains_key(&node.name) {
                continue;
            }
            while taken.contains(&next) {
                next += 1;
            }
            if next > capacity {
                return Err(self.full(inventory, &node.name));
            }
            taken.insert(next);
            self.numbers.insert(node.name.clone(), next);
        }
        Ok(())
    }

    fn full(&self, inventory: &Inventory, name: &str) -> Failure {
        let network = &inventory.network;
        let gone: Vec<&str> =
            self.numbers.keys().map(String::as_str).filter(|n| !inventory.nodes.iter().any(|node| node.name == *n)).collect();
        let failure = Failure::new(exit::INVENTORY, format!("there is no node number left for `{name}`")).seen(format!(
            "overlay {} and pods {} hold numbers up to {}",
            network.overlay,
            network.pods,
            inventory.capacity()
        ));
        if gone.is_empty() {
            return failure.help("take larger ranges");
        }
        failure
            .seen(format!("kept for nodes that left the inventory: {}", gone.join(", ")))
            .help("where one of these will never come back, remove its line from [numbers] in the lock; or take larger ranges")
    }

    /// Why the inventory cannot be used with this lock, where it cannot; to be mended by resolving again.
    #[must_use]
    pub fn outdated(&self, inventory: &Inventory) -> Option<String> {
        if self.kubernetes != inventory.kubernetes {
            return Some(format!("the lock has Kubernetes {}, the inventory {}", self.kubernetes, inventory.kubernetes));
        }
        for component in Component::ALL {
            let wanted = component.version(inventory);
            match self.programs.versions.get(&component) {
                Some(locked) if *locked == wanted => {}
                Some(locked) => return Some(format!("the lock has {component} {locked}, the inventory asks for {wanted}")),
                None => return Some(format!("the lock has no {component}")),
            }
        }
        let new = inventory.nodes.iter().find(|n| !self.numbers.contains_key(&n.name))?;
        Some(format!("the lock has no number for `{}`", new.name))
    }

    /// Refuses the lock of another cluster.
    ///
    /// # Errors
    /// Exit code 65, naming both.
    pub fn belongs_to(&self, inventory: &Inventory) -> Result<()> {
        if self.cluster == inventory.name {
            return Ok(());
        }
        let lock = super::Lock::path(&inventory.path);
        Err(Failure::new(
            exit::INVENTORY,
            format!("{} belongs to the cluster `{}`, the inventory is of `{}`", lock.display(), self.cluster, inventory.name),
        )
        .help("a cluster keeps its name for life: name it as before, or move the lock (and the secrets) away to begin a new one"))
    }
}
