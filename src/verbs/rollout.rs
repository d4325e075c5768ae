//! What a change of versions means for the machines that answered: which of them move, from what, and what may not be.

use super::ground::Ground;
use super::ran;
use super::world::World;
use crate::addons::Survey;
use crate::cli::Global;
use crate::cluster::{Component, Node, Ran, etcd_step, kubelet_step, kubernetes_step};
use crate::error::{Failure, Result};
use crate::facts::Facts;
use crate::kube::{Api, Away, NodeStatus, is_cordoned_by_us};
use crate::plan::{Move, Place, Rollout};
use crate::want::Seen;
use semver::Version;
use std::collections::{BTreeMap, BTreeSet};

/// The moves of the nodes that answered.
///
/// # Errors
/// Refusals, for all machines together: a version that may not follow what runs, or a control plane that does not answer while
/// versions move.
pub(super) fn checked(world: &World, ground: &Ground, global: &Global) -> Result<Rollout> {
    let rollout = of(ground)?;
    if !rollout.moves.is_empty() && world.pace.back.is_none() {
        all_planes(ground, global)?;
    }
    Ok(rollout)
}

/// The same, where every control plane takes part.
pub(super) fn of(ground: &Ground) -> Result<Rollout> {
    let (to, pace) = (&ground.cluster.kubernetes, ground.pace);
    let mut moves = Vec::new();
    let mut failures = Vec::new();
    let (mut ran, mut etcd_moves) = (BTreeMap::new(), false);
    let etcd_to = ground.cluster.programs.versions.get(&Component::Etcd).and_then(|v| version(v));
    for (node, facts) in ground.cluster.nodes.iter().filter_map(|n| Some((n, ground.facts.get(&n.name)?))) {
        if !pace.concerns(&node.name) {
            continue;
        }
        let server = running(ground, facts, Component::KubeApiserver).filter(|_| node.is_control_plane());
        let kubelet = running(ground, facts, Component::Kubelet);
        if pace.back.is_none() {
            failures.extend(server.as_ref().and_then(|from| refused(node, "API server", from, to, kubernetes_step)));
            failures.extend(kubelet.as_ref().and_then(|from| refused(node, "kubelet", from, to, kubelet_step)));
            failures.extend(strange(ground, node, facts));
        }
        let etcd = node.is_control_plane().then(|| etcd_of(ground, facts)).flatten();
        if let (Some(from), Some(to)) = (etcd, &etcd_to) {
            failures.extend(refused(node, "etcd", &from, to, etcd_step).filter(|_| pace.back.is_none()));
            etcd_moves |= from != *to;
        }
        if facts.is_of(&ground.cluster.name) {
            ran.insert(node.name.clone(), Ran::of(ground.releases, &facts.programs, &facts.came_up));
        }
        if let Some(from) = kubelet.filter(|from| from != to) {
            moves.push(Move { node: node.name.clone(), control_plane: node.is_control_plane(), from });
        }
    }
    Failure::together(failures)?;
    let forward = pace.back.is_none();
    Ok(Rollout {
        moves,
        to: Some(to.clone()),
        at_once: pace.at_once,
        ran,
        snapshot: forward,
        etcd: etcd_moves,
        places: if forward { ground.cluster.nodes.iter().map(|n| (n.name.clone(), as_wanted(n))).collect() } else { BTreeMap::new() },
        ..Rollout::default()
    })
}

/// A node as a place for pods, as far as the inventory tells.
fn as_wanted(node: &Node) -> Place {
    let keeps = node.taints.iter().filter(|t| t.effect != "PreferNoSchedule").map(|t| format!("{}={}:{}", t.key, t.value, t.effect));
    let own = (node.is_control_plane() && !node.workloads).then(|| "node-role.kubernetes.io/control-plane=:NoSchedule".to_owned());
    Place { open: true, taints: keeps.chain(own).collect() }
}

/// What the API says of it: whom homectl keeps pods away from, and what each drain would lose.
///
/// # Errors
/// The API does not answer.
pub(super) async fn ask(rollout: &mut Rollout, ground: &Ground<'_>, survey: &Survey, api: &Api) -> Result<Vec<String>> {
    let (cordoned, away) = ground.cordoned(survey.seen.iter());
    rollout.cordoned = cordoned;
    foresee(rollout, api).await?;
    let told = |node: &String| {
        format!(
            "{node} does not answer, and homectl keeps pods away from it since a run was cut: it takes them again once an apply finds it"
        )
    };
    Ok(away.iter().map(told).collect())
}

/// What each drain would lose, and where pods could go.
///
/// # Errors
/// The API does not answer.
pub(super) async fn foresee(rollout: &mut Rollout, api: &Api) -> Result<()> {
    if rollout.emptied().is_empty() {
        return Ok(());
    }
    let failed = |e: crate::kube::ApiError| Failure::failed("the API could not be asked which pods would have to move").seen(e.to_string());
    let place = |n: NodeStatus| (n.name, Place { open: n.ready && (!n.unschedulable || n.cordoned_by_us), taints: n.taints });
    rollout.places = api.nodes().await.map_err(failed)?.into_iter().map(place).collect();
    let nodes = rollout.emptied();
    rollout.leaving = api.leaving(&nodes, Away::ForAWhile).await.map_err(failed)?;
    Ok(())
}

/// The node's name, where homectl keeps pods away from it.
pub(super) fn cordoned((name, seen): (&str, &Seen)) -> Option<String> {
    let (Seen::Object(Some(live)) | Seen::Applied { live, .. }) = seen else { return None };
    is_cordoned_by_us(live).then(|| name.to_owned())
}

/// The node, where homectl keeps pods away from it. An API that does not answer says nothing of it.
pub(super) async fn kept_away(api: &Api, node: &str) -> BTreeSet<String> {
    if api.ready().await.is_err() {
        return BTreeSet::new();
    }
    let nodes = api.nodes().await.unwrap_or_default();
    nodes.into_iter().filter(|n| n.cordoned_by_us && n.name == node).map(|n| n.name).collect()
}

/// The version of a node's program of Kubernetes.
fn running(ground: &Ground, facts: &Facts, component: Component) -> Option<Version> {
    if facts.is_of(&ground.cluster.name) { ran::version_of(ground.releases, facts, component) } else { None }
}

/// Programs of a node of which nobody knows what they are.
fn strange(ground: &Ground, node: &Node, facts: &Facts) -> Vec<Failure> {
    let own = node.is_control_plane().then_some(Component::KubeApiserver);
    let all = own.into_iter().chain([Component::Kubelet]).filter(|_| facts.is_of(&ground.cluster.name));
    all.filter_map(|c| ran::unknown(&node.name, ground.releases, facts, c)).collect()
}

/// The version of a control plane's etcd: that of the release that it is linked from; where the lock knows none, what it says itself.
fn etcd_of(ground: &Ground, facts: &Facts) -> Option<Version> {
    let sum = facts.programs.get(Component::Etcd.as_str()).filter(|_| facts.is_of(&ground.cluster.name))?;
    let release = ground.releases.iter().find(|r| r.knows(Component::Etcd, sum));
    let known = release.and_then(|r| r.programs.versions.get(&Component::Etcd));
    version(known.or(facts.etcd_version.as_ref())?)
}

fn version(text: &str) -> Option<Version> {
    text.trim_start_matches('v').parse().ok()
}

type Rule = fn(&Version, &Version) -> Result<(), (String, String)>;

fn refused(node: &Node, what: &str, from: &Version, to: &Version, rule: Rule) -> Option<Failure> {
    let (why, help) = rule(from, to).err()?;
    Some(
        Failure::refused(format!("its {what} {from} may not become {to}: {why}"))
            .on(&node.name)
            .seen(format!("it runs {from}, the inventory says {to}"))
            .help(help),
    )
}

/// No kubelet may be newer than any API server, so versions move only while every control plane takes part.
fn all_planes(ground: &Ground, global: &Global) -> Result<()> {
    let missing: Vec<&str> = ground.cluster.control_planes().map(|n| n.name.as_str()).filter(|n| !ground.facts.contains_key(*n)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let why = if global.limit.is_empty() { "not part of it: off, or without anything of a node" } else { "left out by --limit" };
    Err(Failure::refused("versions move only while every control plane takes part: no kubelet may be newer than an API server")
        .seen(format!("{}: {why}", missing.join(", ")))
        .help(if global.limit.is_empty() {
            format!(
                "switch them on; one that will not come back is taken out, which goes on with all the rest: homectl remove-node INVENTORY {} \
                 --dead. Then homectl add-node brings another in its place",
                missing[0]
            )
        } else {
            "leave --limit out".to_owned()
        }))
}

#[cfg(test)]
mod tests {
    use super::super::pace::Pace;
    use super::*;
    use crate::cluster::{Arch, Cluster, Release};
    use crate::scenes::Scene;
    use crate::secrets::Secrets;

    /// A release of which every sum is its own.
    fn release(kubernetes: &str, etcd: &str, digit: char) -> Release {
        let mut programs = crate::scenes::programs();
        for artifact in programs.artifacts.values_mut() {
            artifact.sha256.replace_range(0..1, &digit.to_string());
        }
        programs.versions.insert(Component::Etcd, etcd.into());
        Release { kubernetes: kubernetes.parse().unwrap(), programs }
    }

    /// Machines of the scene that run these, control planes first a server, then a kubelet; the cluster wants the first release.
    fn judged(releases: &[Release], runs: &[(&str, usize, usize)]) -> Result<Rollout> {
        judged_knowing(releases.len(), releases, runs)
    }

    /// The same, where the lock knows only the first `known` of them.
    fn judged_knowing(known: usize, releases: &[Release], runs: &[(&str, usize, usize)]) -> Result<Rollout> {
        let Scene { mut cluster, mut facts } = Scene::four();
        (cluster.kubernetes, cluster.programs) = (releases[0].kubernetes.clone(), releases[0].programs.clone());
        for (name, server, kubelet) in runs {
            let sum = |release: usize, c: Component| releases[release].programs.get(c, Arch::Amd64).unwrap().sha256.clone();
            let facts = facts.get_mut(*name).unwrap();
            facts.cluster = Some(cluster.name.clone());
            for (component, release) in [(Component::KubeApiserver, server), (Component::Etcd, server), (Component::Kubelet, kubelet)] {
                facts.programs.insert(component.as_str().into(), sum(*release, component));
                facts.versions.insert(component.as_str().into(), releases[*release].kubernetes.clone());
            }
            facts.came_up = releases[*kubelet].programs.noted().into_iter().map(|(c, v)| (c.to_string(), v)).collect();
            facts.etcd_version = releases[*server].programs.versions[&Component::Etcd].strip_prefix('v').map(str::to_owned);
        }
        let secrets = Secrets::make(&cluster, jiff::Timestamp::now().as_second()).unwrap();
        of(&ground(&cluster, &secrets, &facts, &releases[..known], &Pace::default()))
    }

    fn ground<'a>(
        cluster: &'a Cluster,
        secrets: &'a Secrets,
        facts: &'a BTreeMap<String, Facts>,
        releases: &'a [Release],
        pace: &'a Pace,
    ) -> Ground<'a> {
        Ground { cluster, secrets, etcd_ca: None, facts, releases, pace, moving: None, restoring: None, now: 0 }
    }

    #[test]
    fn who_died_while_pods_were_kept_away_is_not_waited_for() {
        let Scene { cluster, mut facts } = Scene::four();
        facts.remove("shed");
        let (secrets, pace) = (Secrets::make(&cluster, jiff::Timestamp::now().as_second()).unwrap(), Pace::default());
        let ground = ground(&cluster, &secrets, &facts, &[], &pace);
        let node = |name: &str| {
            let annotations = serde_json::json!({crate::kube::CORDONED: "homectl"});
            let live = serde_json::json!({"metadata": {"name": name, "annotations": annotations}, "spec": {"unschedulable": true}});
            (format!("object:v1:Node:{name}"), Seen::Object(Some(live)))
        };
        let seen = BTreeMap::from([node("attic"), node("shed")]);
        let (here, away) = ground.cordoned(seen.iter());
        assert_eq!((here, away), (BTreeSet::from(["attic".into()]), BTreeSet::from(["shed".into()])));
    }

    #[test]
    fn a_machine_that_was_off_for_long_is_judged_by_what_it_runs() {
        let all = [release("1.38.1", "v3.6.16", 'a'), release("1.37.2", "v3.6.16", 'b'), release("1.35.4", "v3.6.16", 'c')];
        let planes = |n| [("attic", n, n), ("cellar", n, n), ("garage", n, n)];
        let told = |rollout: &Rollout| rollout.moves.iter().map(|m| format!("{} {}", m.node, m.from)).collect::<Vec<_>>().join(", ");
        let late = judged(&all, &[&planes(0)[..], &[("shed", 2, 2)]].concat()).unwrap();
        assert_eq!(told(&late), "shed 1.35.4", "a kubelet may be three minors behind");
        let old = || Some(all[2].clone());
        assert_eq!(late.ran["shed"], Ran { node: old(), server: old(), etcd: old() });
        assert_eq!(late.ran["attic"], Ran::default(), "it runs what is wanted");
        let all_move = judged(&all, &[&planes(1)[..], &[("shed", 2, 2)]].concat()).unwrap();
        assert_eq!(told(&all_move), "attic 1.37.2, cellar 1.37.2, garage 1.37.2, shed 1.35.4");
        let refused = judged(&all, &[("attic", 0, 0), ("cellar", 0, 0), ("garage", 2, 2)]).unwrap_err();
        assert!(
            refused.exit_code() == 4 && refused.to_string().contains("its API server 1.35.4 may not become 1.38.1: it would skip 1.36")
        );
        let newer = [release("1.37.2", "v3.6.16", 'b'), release("1.38.1", "v3.6.16", 'a')];
        let refused = judged(&newer, &[("shed", 1, 1)]).unwrap_err();
        assert!(refused.to_string().contains("its kubelet 1.38.1 may not become 1.37.2: it would go back"), "{refused}");
    }

    #[test]
    fn a_program_that_the_lock_does_not_know_is_no_guess() {
        let told = |kubelet: Option<&str>, came_up: Option<&str>, server: Option<&str>| {
            let Scene { mut cluster, mut facts } = Scene::four();
            let releases = [release("1.36.3", "v3.6.16", 'a')];
            (cluster.kubernetes, cluster.programs) = (releases[0].kubernetes.clone(), releases[0].programs.clone());
            let attic = facts.get_mut("attic").unwrap();
            attic.cluster = Some(cluster.name.clone());
            for (component, version) in [(Component::Kubelet, kubelet), (Component::KubeApiserver, server)] {
                attic.programs.insert(component.to_string(), "f".repeat(64));
                attic.versions.extend(version.map(|v| (component.to_string(), v.parse().unwrap())));
            }
            attic.came_up.extend(came_up.map(|v| ("kubelet".to_owned(), format!("v{v}"))));
            let secrets = Secrets::make(&cluster, jiff::Timestamp::now().as_second()).unwrap();
            of(&ground(&cluster, &secrets, &facts, &releases, &Pace::default())).map_err(|e| e.to_string())
        };
        let from = |rollout: Result<Rollout, String>| rollout.unwrap().moves[0].from.to_string();
        assert_eq!(from(told(Some("1.35.4"), Some("1.36.3"), Some("1.36.3"))), "1.35.4", "the program's word is what counts");
        assert_eq!(from(told(None, Some("1.35.4"), Some("1.36.3"))), "1.35.4", "a kubelet that tells nothing is what came up last");
        let newer = told(Some("1.36.3"), None, Some("1.37.0")).unwrap_err();
        assert!(newer.contains("its API server 1.37.0 may not become 1.36.3: it would go back"), "{newer}");
        let nobody = told(Some("1.36.3"), None, None).unwrap_err();
        assert!(nobody.contains("nobody knows which version its kube-apiserver is"), "{nobody}");
    }

    #[test]
    fn etcd_moves_by_its_own_rules_on_each_machine() {
        let to = |etcd: &str| [release("1.36.3", "v3.6.16", 'a'), release("1.36.3", etcd, 'b')];
        let planes = [("attic", 1, 0), ("cellar", 0, 0), ("garage", 0, 0)];
        let alone = judged(&to("v3.5.26"), &planes).unwrap();
        assert!(alone.moves.is_empty() && alone.etcd && alone.snapshot, "a snapshot comes before that, too");
        assert!(!judged(&to("v3.6.16"), &[("attic", 0, 0)]).unwrap().etcd);
        let refused = judged(&to("v3.5.9"), &planes).unwrap_err();
        assert!(refused.to_string().contains("its etcd 3.5.9 may not become 3.6.16: members before 3.5.26"), "{refused}");
        let refused = judged(&to("v3.7.0"), &planes).unwrap_err();
        assert!(refused.to_string().contains("its etcd 3.7.0 may not become 3.6.16: it would go back"), "{refused}");
        // A clone's lock that is behind: nobody knows the program but itself.
        let both = to("v3.7.0");
        let refused = judged_knowing(1, &both, &planes).unwrap_err();
        assert!(refused.to_string().contains("its etcd 3.7.0 may not become 3.6.16: it would go back"), "{refused}");
    }

    #[test]
    fn control_planes_without_workloads_are_no_place_for_pods() {
        let mut scene = Scene::contained();
        scene.cluster.nodes.retain(|n| n.name != "attic");
        let places: Vec<(String, Place)> = scene.cluster.nodes.iter().map(|n| (n.name.clone(), as_wanted(n))).collect();
        let taints: Vec<(&str, usize)> = places.iter().map(|(name, place)| (name.as_str(), place.taints.len())).collect();
        assert_eq!(taints, [("cellar", 0), ("garage", 1), ("shed", 0)], "what is only preferred keeps nobody away");
    }
}
