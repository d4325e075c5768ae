//! Releases: the programs that a cluster runs together, and which may follow which.
//!
//! The rules are upstream's: no minor version is skipped, nothing goes back, and etcd reaches 3.6 only by way of a 3.5 that
//! knows how (from 3.5.26 on; an older one could bring back members that were removed).

use super::program::{Component, Programs};
use crate::error::{Failure, Result};
use crate::inventory::Inventory;
use semver::Version;

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
        let running = self.programs.versions.get(&Component::Etcd).and_then(|v| version(v));
        let (Some(running), Some(wanted)) = (running, version(etcd)) else { return Ok(()) };
        etcd_step(&running, &wanted).map_err(|e| refused("etcd", &running, &wanted, e))
    }

    /// What a node runs that goes back to this release from `now`: a control plane's own services stay, unless it is they that do
    /// not come up (`servers`: what they ran); etcd goes back within a minor version only.
    #[must_use]
    pub fn back_from(&self, now: &Programs, servers: Option<&Self>) -> Programs {
        let minor = |programs: &Programs| programs.versions.get(&Component::Etcd).and_then(|v| version(v)).map(|v| (v.major, v.minor));
        let servers = servers.map_or(now, |s| &s.programs);
        let of = |c: &Component| match c {
            Component::Etcd if minor(servers) != minor(now) => now,
            c if c.is_server() => servers,
            _ => &self.programs,
        };
        let versions = Component::ALL.iter().filter_map(|c| Some((*c, of(c).versions.get(c)?.clone()))).collect();
        let artifacts =
            Component::ALL.iter().flat_map(|c| of(c).artifacts.iter().filter(move |((of, _), _)| of == c)).map(|(k, v)| (*k, v.clone()));
        Programs { versions, artifacts: artifacts.collect() }
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
            let versions = std::collections::BTreeMap::from([(Component::Etcd, etcd.to_owned())]);
            let release = Release { kubernetes: kubernetes.parse().unwrap(), programs: Programs { versions, ..Programs::default() } };
            let said = release.may_become(&to.parse().unwrap(), to_etcd).map_or_else(|e| e.what().to_owned(), |()| String::new());
            assert!(if expected.is_empty() { said.is_empty() } else { said.starts_with(expected) }, "{kubernetes} → {to}: {said}");
        }
    }

    #[test]
    fn servers_do_not_go_back_with_a_kubelet() {
        let programs = |kubernetes: &str, etcd: &str| {
            let version = |c: Component| if c == Component::Etcd { etcd.to_owned() } else { kubernetes.to_owned() };
            Programs { versions: Component::ALL.into_iter().map(|c| (c, version(c))).collect(), ..Programs::default() }
        };
        let release = |etcd: &str| Release { kubernetes: Version::new(1, 35, 4), programs: programs("v1.35.4", etcd) };
        let now = programs("v1.36.3", "v3.6.16");
        let back = |etcd: &str, servers: bool| {
            let before = release(etcd);
            let back = before.back_from(&now, servers.then_some(&before)).versions;
            [Component::Kubelet, Component::KubeApiserver, Component::Etcd].map(|c| back[&c].clone())
        };
        assert_eq!(back("v3.6.8", false), ["v1.35.4", "v1.36.3", "v3.6.16"]);
        assert_eq!(back("v3.6.8", true), ["v1.35.4", "v1.35.4", "v3.6.8"]);
        assert_eq!(back("v3.5.26", true), ["v1.35.4", "v1.35.4", "v3.6.16"], "its data may be of the newer minor by now");
        let between = Release { kubernetes: Version::new(1, 36, 1), programs: programs("v1.36.1", "v3.6.9") };
        let versions = release("v3.6.8").back_from(&now, Some(&between)).versions;
        let told = [Component::Kubelet, Component::KubeApiserver, Component::Etcd].map(|c| versions[&c].as_str());
        assert_eq!(told, ["v1.35.4", "v1.36.1", "v3.6.9"], "each goes back to what it ran itself");
    }

    #[test]
    fn a_kubelet_may_lag() {
        let step = |from: &str, to: &str| kubelet_step(&from.parse().unwrap(), &to.parse().unwrap()).is_ok();
        assert!(step("1.33.0", "1.36.3") && step("1.36.3", "1.36.3"));
        assert!(!step("1.32.9", "1.36.3") && !step("1.36.3", "1.35.9"));
    }
}
