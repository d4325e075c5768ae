//! The programs of a node: all of them in the store, before any service is touched.
//!
//! Links are switched in the step of the service that runs them ([`links`]), so that a node's kubelet does not come
//! up in a new version before its turn. Only what nobody runs but the operator is linked here.

use super::{Ctx, Step, apiserver, controller_manager, etcd, kube_proxy, kube_router, kubelet, runtime, scheduler};
use crate::cluster::{Component, Policy};
use crate::error::{Failure, Result};
use crate::want::{Dir, Link, Program, Want};

/// Where the links to current programs lie; on the `PATH` of what needs them.
pub(super) const BIN: &str = "/opt/homectl/bin";

/// Where container engines look for CNI plugins.
pub(super) const CNI_BIN: &str = "/opt/cni/bin";

pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    let mut wants = Vec::new();
    for component in components(ctx) {
        wants.push(Want::Program(program(ctx, component)?));
    }
    if ctx.node.is_control_plane() {
        wants.extend(links(ctx, Component::Kubectl)?);
    }
    Ok(Some(Step {
        id: ctx.id("programs"),
        title: "programs in the store".into(),
        after: Vec::new(),
        wants,
        ready: None,
        rolling: None,
        aside: false,
    }))
}

/// What a node needs, in the order of the lock.
fn components(ctx: &Ctx) -> impl Iterator<Item = Component> {
    let control_plane = ctx.node.is_control_plane();
    let router = ctx.cluster.network.policy == Policy::KubeRouter;
    Component::ALL.into_iter().filter(move |component| match component {
        Component::KubeApiserver | Component::KubeControllerManager | Component::KubeScheduler | Component::Kubectl | Component::Etcd => {
            control_plane
        }
        Component::Kubelet | Component::KubeProxy | Component::Containerd | Component::Runc | Component::CniPlugins => true,
        Component::KubeRouter => router,
    })
}

/// The unit that runs a component's program, and has to restart for another one.
fn service(component: Component) -> Option<&'static str> {
    Some(match component {
        Component::KubeApiserver => apiserver::UNIT,
        Component::KubeControllerManager => controller_manager::UNIT,
        Component::KubeScheduler => scheduler::UNIT,
        Component::Kubelet => kubelet::UNIT,
        Component::KubeProxy => kube_proxy::UNIT,
        Component::KubeRouter => kube_router::UNIT,
        Component::Etcd => etcd::UNIT,
        Component::Containerd => runtime::UNIT,
        // Begun anew each time they are needed.
        Component::Kubectl | Component::Runc | Component::CniPlugins => return None,
    })
}

/// `/opt/homectl/bin/NAME` for each program of `component`; repointing one restarts its service.
///
/// # Errors
/// The lock does not have the component for this node's architecture.
pub(super) fn links(ctx: &Ctx, component: Component) -> Result<Vec<Want>> {
    let program = program(ctx, component)?;
    let link = |name: &str| {
        let link = Link::new(format!("{BIN}/{name}"), format!("../store/{}/{name}", program.artifact.sha256));
        Want::Link(service(component).into_iter().fold(link, Link::restarts))
    };
    Ok(program.names().map(link).collect())
}

/// The CNI plugins, where container engines look for them.
///
/// # Errors
/// As [`links`].
pub(super) fn plugins(ctx: &Ctx) -> Result<Vec<Want>> {
    let plugins = program(ctx, Component::CniPlugins)?;
    let folder = plugins.folder();
    let folders = [Want::Dir(Dir::new("/opt/cni")), Want::Dir(Dir::new(CNI_BIN))];
    let links = plugins.names().map(|name| Want::Link(Link::new(format!("{CNI_BIN}/{name}"), format!("{folder}/{name}"))));
    Ok(folders.into_iter().chain(links).collect())
}

fn program(ctx: &Ctx, component: Component) -> Result<Program> {
    let Some(arch) = ctx.facts.arch.or(ctx.node.arch) else {
        return Err(Failure::refused(format!("the architecture “{}” has no upstream programs", ctx.facts.machine))
            .help("amd64 and arm64 machines can be nodes"));
    };
    let Some(artifact) = ctx.cluster.programs.get(component, arch) else {
        return Err(Failure::refused(format!("the lock has no {component} for {arch}")).help("resolve it again: homectl lock"));
    };
    let version = ctx.cluster.programs.versions.get(&component).cloned().unwrap_or_default();
    let program = Program { component, version, artifact: artifact.clone(), arch, notify: Vec::new() };
    Ok(service(component).into_iter().fold(program, Program::restarts))
}

#[cfg(test)]
mod tests {
    use crate::cluster::Arch;
    use crate::steps::fixture::Fixture;
    use crate::want::Want;

    #[test]
    fn each_machine_gets_the_builds_for_its_own_kind() {
        let mut fixture = Fixture::three();
        fixture.facts.get_mut("cellar").unwrap().arch = Some(Arch::Arm64);
        for (name, arch) in [("attic", Arch::Amd64), ("cellar", Arch::Arm64), ("garage", Arch::Amd64)] {
            let step = super::step(&fixture.ctx(name)).unwrap().unwrap();
            let programs: Vec<_> = step.wants.iter().filter_map(|w| if let Want::Program(p) = w { Some(p) } else { None }).collect();
            assert!(programs.len() > 4);
            for program in programs {
                let artifact = &fixture.cluster.programs.artifacts[&(program.component, arch)];
                assert_eq!((&program.artifact, program.arch), (artifact, arch), "{} on {name}", program.component);
            }
        }
    }
}
