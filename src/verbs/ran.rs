//! What machines run, and what one of them goes back to: told by the machine (what its programs are linked to, what came up there
//! last) and by the releases that the lock knows.

use super::fleet::Fleet;
use super::world::World;
use crate::cluster::{Component, Lock, Ran, Release};
use crate::error::{Failure, Result};
use crate::facts::{self, Facts};
use futures::future::join_all;
use semver::Version;
use std::collections::BTreeMap;

/// The Kubernetes version of a program of Kubernetes: that of the release that it is linked from; where the lock knows none, what
/// the program told of itself, and of a kubelet that tells nothing, what came up there last.
pub(super) fn version_of(releases: &[Release], facts: &Facts, component: Component) -> Option<Version> {
    let sum = facts.programs.get(component.as_str())?;
    let locked = releases.iter().find(|r| r.knows(component, sum)).map(|r| r.kubernetes.clone());
    let noted = || facts.came_up.get(Component::Kubelet.as_str()).filter(|_| component == Component::Kubelet);
    locked.or_else(|| facts.versions.get(component.as_str()).cloned()).or_else(|| noted()?.trim_start_matches('v').parse().ok())
}

/// A refusal to move a program of which nobody knows what it is: it might go back.
pub(super) fn unknown(node: &str, releases: &[Release], facts: &Facts, component: Component) -> Option<Failure> {
    facts.programs.get(component.as_str())?;
    if version_of(releases, facts, component).is_some() {
        return None;
    }
    Some(
        Failure::refused(format!(
            "nobody knows which version its {component} is: not the lock, and `{component} --version` there does not tell"
        ))
        .on(node)
        .seen("what an API server has written, an older one may not read; so nothing is moved on a guess")
        .help("is this inventory's lock behind? Fetch the one that whoever moved it last has written (git pull), then run this again"),
    )
}

/// Has programs of Kubernetes which the lock does not know tell their version; etcd's is a fact anyway.
pub(super) async fn ask(world: &World, fleet: &mut Fleet) {
    let releases = world.lock.releases();
    let strange = |facts: &Facts| -> Vec<String> {
        let ours = facts.is_of(&world.cluster.name);
        let asked = Component::ALL.into_iter().filter(|c| ours && *c != Component::Etcd);
        let unknown = |c: &Component| facts.programs.get(c.as_str()).is_some_and(|sum| !releases.iter().any(|r| r.knows(*c, sum)));
        asked.filter(unknown).map(|c| c.to_string()).collect()
    };
    let asks = fleet.facts.iter().map(|(node, facts)| (node.clone(), strange(facts))).filter(|(_, names)| !names.is_empty());
    let asks = asks.filter_map(|(node, names)| Some((fleet.hosts.get(&node)?.clone(), node, names)));
    let told = join_all(asks.map(|(host, node, names)| async move {
        let reply = host.run(&facts::versions_script(&names), &mut |_| ()).await;
        (node, reply.map(|r| facts::versions(&r.output)).unwrap_or_default())
    }));
    for (node, versions) in told.await {
        fleet.facts.entry(node).and_modify(|f| f.versions = versions);
    }
}

/// What a node goes back to that somebody names, once `facts` of all machines that answer are known: what it ran; where it has come
/// up with the new versions, the last ones before, while versions move.
///
/// # Errors
/// There is nothing to go back to.
pub(super) fn chosen(lock: &Lock, facts: &BTreeMap<String, Facts>, node: &str, servers: bool) -> Result<Ran> {
    let Some(mine) = facts.get(node).filter(|f| f.is_of(&lock.cluster)) else {
        return Err(Failure::refused("the machine has no part in this cluster yet: there is nothing to go back to").on(node));
    };
    let (releases, last) = (lock.releases(), lock.last());
    let ran = Ran::of(&releases, &mine.programs, &mine.came_up);
    let or_last = |part: Option<Release>| part.or_else(|| last.cloned());
    let ran = Ran { node: or_last(ran.node), server: or_last(ran.server), etcd: or_last(ran.etcd) };
    let ran = if servers { ran } else { ran.without_servers() };
    if ran.is_some() {
        return Ok(ran);
    }
    let came_up = mine.came_up.get(Component::Kubelet.as_str()).map_or("nothing that is known".into(), |v| format!("kubelet {v}"));
    Err(Failure::refused("there is nothing to go back to")
        .on(node)
        .seen(format!("the lock has Kubernetes {} and no version is on its way; what came up there last: {came_up}", lock.kubernetes))
        .help("nothing is downgraded; homectl restore brings back what a backup holds"))
}

/// What a node may go back to of what it `ran`, and what its parts are linked to now.
///
/// # Errors
/// Programs that the lock does not know: it is behind, and so is what it would have them go back to. An API server that has served for
/// long what an older one may not read.
pub(super) fn permitted(lock: &Lock, facts: &BTreeMap<String, Facts>, node: &str, ran: Ran) -> Result<(Ran, Ran)> {
    let releases = lock.releases();
    let programs = facts.get(node).map(|f| &f.programs);
    let linked = programs.map_or(Ok(Ran::default()), |linked| Ran::linked(&releases, linked)).map_err(|component| {
        Failure::refused(format!(
            "its {component} is of a release that the lock does not know, so it is not known where it would go back from"
        ))
        .on(node)
        .seen("somebody else may have moved versions on: what an API server or etcd has written since, an older one may not read")
        .help("fetch the inventory and the lock that they wrote (git pull), then run this again")
    })?;
    if let Some(server) = &ran.server {
        let kubelets = facts.iter().filter(|(_, f)| f.is_of(&lock.cluster));
        let kubelets = kubelets.filter_map(|(name, f)| Some((name.as_str(), version_of(&releases, f, Component::Kubelet)?)));
        not_past(lock, server, kubelets).map_err(|refused| refused.on(node))?;
    }
    Ok((ran.within_minors(&linked), linked))
}

/// Kubelets move once every API server is up with the new version: where one has, API servers have served it for long.
fn not_past<'a>(lock: &Lock, last: &Release, mut kubelets: impl Iterator<Item = (&'a str, Version)>) -> Result<()> {
    let minor = |v: &Version| (v.major, v.minor);
    let Some((other, kubelet)) = kubelets.find(|(_, v)| minor(v) > minor(&last.kubernetes)) else { return Ok(()) };
    Err(Failure::refused(format!(
        "its API server has been {} for long, and is not put back to {}: what it has written since, an older one may not read",
        lock.kubernetes, last.kubernetes
    ))
    .seen(format!("kubelets move only behind API servers, and {other} has kubelet {kubelet}"))
    .help("leave --servers out: the kubelet and its company go back; mend what keeps its API server from coming up, then apply"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Arch;

    /// A release of which every sum is its own.
    fn release(kubernetes: &str, digit: char) -> Release {
        let mut programs = crate::scenes::programs();
        for artifact in programs.artifacts.values_mut() {
            artifact.sha256.replace_range(0..1, &digit.to_string());
        }
        for component in Component::ALL {
            programs.versions.insert(component, format!("v{kubernetes}"));
        }
        Release { kubernetes: kubernetes.parse().unwrap(), programs }
    }

    fn machine(server: &Release, kubelet: &Release, came_up: &Release) -> Facts {
        let mut facts = Facts { cluster: Some("home".into()), ..Facts::assumed("attic", Arch::Amd64) };
        for (component, release) in [(Component::KubeApiserver, server), (Component::Etcd, server), (Component::Kubelet, kubelet)] {
            facts.programs.insert(component.to_string(), release.programs.get(component, Arch::Amd64).unwrap().sha256.clone());
        }
        facts.came_up = came_up.programs.noted().into_iter().map(|(c, v)| (c.to_string(), v)).collect();
        facts
    }

    fn lock(now: &Release, previous: Option<&Release>, older: &[&Release]) -> Lock {
        Lock {
            cluster: "home".into(),
            kubernetes: now.kubernetes.clone(),
            programs: now.programs.clone(),
            numbers: BTreeMap::new(),
            etcd_cluster_id: Some("0123456789abcdef".into()),
            previous: previous.cloned(),
            older: older.iter().map(|r| (*r).clone()).collect(),
        }
    }

    /// Kubelet and API server that attic goes back to, or why it does not.
    fn told(lock: &Lock, attic: Facts, others: Vec<Facts>, servers: bool) -> String {
        let mut facts: BTreeMap<String, Facts> = others.into_iter().enumerate().map(|(n, f)| (format!("n{n}"), f)).collect();
        facts.insert("attic".into(), attic);
        let version = |r: Option<Release>| r.map_or("-".into(), |r| r.kubernetes.to_string());
        match chosen(lock, &facts, "attic", servers).and_then(|ran| permitted(lock, &facts, "attic", ran)) {
            Ok((ran, _)) => format!("{} {}", version(ran.node), version(ran.server)),
            Err(refused) => refused.to_string(),
        }
    }

    #[test]
    fn by_hand_a_node_goes_back_to_what_it_ran() {
        let (old, new, next) = (release("1.35.4", 'a'), release("1.36.3", 'b'), release("1.36.4", 'c'));
        let m = machine;
        // It was off while the others arrived, and its kubelet does not come up.
        let arrived = lock(&new, None, &[&old]);
        assert_eq!(told(&arrived, m(&new, &new, &old), vec![m(&new, &new, &new)], false), "1.35.4 -");
        let nothing = told(&arrived, m(&new, &new, &new), Vec::new(), false);
        assert!(nothing.contains("nothing to go back to") && nothing.contains("what came up there last: kubelet v1.36.3"), "{nothing}");
        // On from a release that not all had reached: each to what it ran itself.
        let on = lock(&next, Some(&old), &[&new]);
        assert_eq!(told(&on, m(&next, &next, &new), vec![m(&next, &new, &new)], false), "1.36.3 -");
        assert_eq!(told(&on, m(&next, &next, &new), vec![m(&next, &new, &new)], true), "1.36.3 1.36.3");
        // It has come up, and somebody wants it back all the same.
        assert_eq!(told(&lock(&new, Some(&old), &[]), m(&new, &new, &new), Vec::new(), false), "1.35.4 -");
    }

    #[test]
    fn by_hand_no_api_server_goes_back_behind_kubelets() {
        let (old, new) = (release("1.35.4", 'a'), release("1.36.3", 'b'));
        let moving = lock(&new, Some(&old), &[]);
        let m = machine;
        assert_eq!(told(&moving, m(&new, &old, &old), vec![m(&old, &old, &old)], true), "1.35.4 1.35.4", "it is the first to move");
        // The lock still has [previous], weeks after all have arrived.
        for kubelets in [(m(&new, &new, &new), Vec::new()), (m(&new, &old, &old), vec![m(&new, &new, &new)])] {
            let refused = told(&moving, kubelets.0, kubelets.1, true);
            assert!(refused.contains("has been 1.36.3 for long, and is not put back to 1.35.4"), "{refused}");
        }
        // Another laptop has moved them on, and this one has not heard of it.
        for servers in [false, true] {
            let strange = release("1.37.1", 'f');
            let refused = told(&moving, m(&strange, &new, &new), vec![m(&new, &new, &new)], servers);
            assert!(refused.contains("its kube-apiserver is of a release that the lock does not know"), "{refused}");
        }
    }
}
