//! Releases: the programs that a cluster runs together, and which may follow which.
//!
//! The rules are upstream's: no minor version is skipped, nothing goes back, and etcd reaches 3.6 only by way of a 3.5 that
//! knows how (from 3.5.26 on; an older one could bring back members that were removed).

use super::program::{Component, Programs};
use crate::error::{Failure, Result};
use crate::inventory::Inventory;
use semver::Version;
use std::collections::BTreeMap;

/// A Kubernetes version and the programs that come with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub kubernetes: Version,
    pub programs: Programs,
}

/// How many minor versions a kubelet may be older than the API server.
const KUBELET_LAG: u64 = 3;

impl Release {
    /// Refuses what may not follow this release: a Kubernetes version, and an etcd version with its `v`.
    ///
    /// # Errors
    /// A refusal that says which rule, and the way that is open.
    pub fn may_become(&self, kubernetes: &Version, etcd: &str) -> Result<()> {
        kubernetes_step(&self.kubernetes, kubernetes).map_err(|e| refused("Kubernetes", &self.kubernetes, kubernetes, e))?;
        let running = self::etcd(&self.programs);
        let (Some(running), Some(wanted)) = (running, version(etcd)) else { return Ok(()) };
        etcd_step(&running, &wanted).map_err(|e| refused("etcd", &running, &wanted, e))
    }

    /// The inventory, as if it asked for this release.
    #[must_use]
    pub fn within(&self, inventory: &Inventory) -> Inventory {
        let mut inventory = inventory.clone();
        inventory.kubernetes = self.kubernetes.clone();
        let versions = &mut inventory.versions;
        for (component, wanted) in [
            (Component::Etcd, &mut versions.etcd),
            (Component::Containerd, &mut versions.containerd),
            (Component::Runc, &mut versions.runc),
            (Component::CniPlugins, &mut versions.cni_plugins),
            (Component::KubeRouter, &mut versions.kube_router),
        ] {
            if let Some(version) = self.programs.versions.get(&component) {
                wanted.clone_from(version);
            }
        }
        inventory
    }

    /// Whether a machine that runs it may still be let in where the others are at `kubernetes`, or run it by mistake.
    #[must_use]
    pub fn is_known_to(&self, kubernetes: &Version) -> bool {
        self.kubernetes > *kubernetes || kubelet_step(&self.kubernetes, kubernetes).is_ok()
    }

    /// Whether it is this release that a machine has noted so.
    #[must_use]
    pub fn is_noted(&self, came_up: &BTreeMap<String, String>) -> bool {
        let mine = self.programs.noted();
        !mine.is_empty() && mine.len() == came_up.len() && mine.iter().all(|(c, v)| came_up.get(c.as_str()) == Some(v))
    }

    /// Whether a program in the store is of it, by the sum of its artifact.
    #[must_use]
    pub fn knows(&self, component: Component, sha256: &str) -> bool {
        self.programs.artifacts.iter().any(|((c, _), artifact)| *c == component && artifact.sha256 == sha256)
    }
}

/// Refuses what an API server of `from` may not become.
///
/// # Errors
/// Why, and what to do instead.
pub fn kubernetes_step(from: &Version, to: &Version) -> Result<(), (String, String)> {
    if to < from {
        return Err((
            "it would go back".into(),
            format!("nothing is downgraded: what an API server has written, an older one may not read. Put {from} back into the inventory"),
        ));
    }
    if from.major != to.major || to.minor > from.minor + 1 {
        let next = format!("{}.{}", from.major, from.minor + 1);
        return Err((format!("it would skip {next}"), format!("go by way of a {next} first: homectl upgrade --to {next}.x, then on")));
    }
    Ok(())
}

/// Refuses what a kubelet of `from` may not become, behind API servers of `to`.
///
/// # Errors
/// Why, and what to do instead.
pub fn kubelet_step(from: &Version, to: &Version) -> Result<(), (String, String)> {
    if to < from {
        return kubernetes_step(from, to);
    }
    if from.major != to.major || to.minor > from.minor + KUBELET_LAG {
        let why = format!("a kubelet may be {KUBELET_LAG} minor versions older than the API server");
        return Err((why, "it was away for too long: take it out with homectl remove-node and add it anew".into()));
    }
    Ok(())
}

/// Refuses what an etcd of `from` may not become.
///
/// # Errors
/// Why, and what to do instead.
pub fn etcd_step(from: &Version, to: &Version) -> Result<(), (String, String)> {
    if to < from {
        return Err(("it would go back".into(), "etcd's data is not made older: put the version back".into()));
    }
    if from.major != to.major || to.minor > from.minor + 1 {
        return Err(("it would skip a minor version".into(), format!("go by way of a {}.{} first", from.major, from.minor + 1)));
    }
    let door = Version::new(3, 5, 26);
    if (from.major, from.minor) == (3, 5) && to.minor == 6 && *from < door {
        return Err((
            format!("members before {door} may bring removed ones back"),
            format!("go by way of {door} or newer first: [versions] etcd"),
        ));
    }
    Ok(())
}

fn refused(what: &str, from: &Version, to: &Version, (why, help): (String, String)) -> Failure {
    Failure::refused(format!("{what} {from} may not become {to}: {why}")).seen(format!("the cluster runs {what} {from}")).help(help)
}

/// The version of etcd among these programs.
pub(super) fn etcd(programs: &Programs) -> Option<Version> {
    version(programs.versions.get(&Component::Etcd)?)
}

fn version(text: &str) -> Option<Version> {
    Version::parse(text.trim_start_matches('v')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_may_follow_which() {
        let table = [
            ("1.35.4", "v3.6.8", "1.36.3", "v3.6.16", ""),
            ("1.36.3", "v3.6.16", "1.36.3", "v3.6.16", ""),
            ("1.36.3", "v3.6.16", "1.36.4", "v3.6.16", ""),
            ("1.36.3", "v3.6.16", "1.36.2", "v3.6.16", "Kubernetes 1.36.3 may not become 1.36.2: it would go back"),
            ("1.36.3", "v3.6.16", "1.35.9", "v3.6.16", "Kubernetes 1.36.3 may not become 1.35.9: it would go back"),
            ("1.34.1", "v3.6.8", "1.36.3", "v3.6.16", "Kubernetes 1.34.1 may not become 1.36.3: it would skip 1.35"),
            ("1.36.3", "v3.6.16", "2.0.0", "v3.6.16", "Kubernetes 1.36.3 may not become 2.0.0: it would skip 1.37"),
            ("1.35.4", "v3.5.25", "1.36.3", "v3.6.16", "etcd 3.5.25 may not become 3.6.16: members before 3.5.26"),
            ("1.35.4", "v3.5.26", "1.36.3", "v3.6.16", ""),
            ("1.35.4", "v3.6.16", "1.36.3", "v3.6.8", "etcd 3.6.16 may not become 3.6.8: it would go back"),
            ("1.35.4", "v3.4.1", "1.36.3", "v3.6.8", "etcd 3.4.1 may not become 3.6.8: it would skip a minor version"),
        ];
        for (kubernetes, etcd, to, to_etcd, expected) in table {
            let versions = BTreeMap::from([(Component::Etcd, etcd.to_owned())]);
            let release = Release { kubernetes: kubernetes.parse().unwrap(), programs: Programs { versions, ..Programs::default() } };
            let said = release.may_become(&to.parse().unwrap(), to_etcd).map_or_else(|e| e.what().to_owned(), |()| String::new());
            assert!(if expected.is_empty() { said.is_empty() } else { said.starts_with(expected) }, "{kubernetes} → {to}: {said}");
        }
    }

    #[test]
    fn a_kubelet_may_lag() {
        let step = |from: &str, to: &str| kubelet_step(&from.parse().unwrap(), &to.parse().unwrap()).is_ok();
        assert!(step("1.33.0", "1.36.3") && step("1.36.3", "1.36.3"));
        assert!(!step("1.32.9", "1.36.3") && !step("1.36.3", "1.35.9"));
    }
}
