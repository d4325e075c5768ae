//! A small cluster for the tests of steps: a scene with texts for secrets.

use super::Ctx;
use crate::cluster::Cluster;
use crate::facts::Facts;
use crate::scenes::Scene;
use crate::secrets::Secrets;
use std::collections::BTreeMap;

pub(super) struct Fixture {
    pub(super) cluster: Cluster,
    pub(super) facts: BTreeMap<String, Facts>,
    pub(super) secrets: Secrets,
}

impl Fixture {
    /// One machine that is everything.
    pub(super) fn one() -> Self {
        Scene::one().into()
    }

    /// One control plane, two workers, stock Debian machines.
    pub(super) fn three() -> Self {
        Scene::three().into()
    }

    /// Three control planes and a worker.
    pub(super) fn four() -> Self {
        Scene::four().into()
    }

    /// Three control planes, one container.
    pub(super) fn contained() -> Self {
        Scene::contained().into()
    }

    /// Three houses and a public machine.
    pub(super) fn sites() -> Self {
        Scene::sites().into()
    }

    /// Without a pod network of ours.
    pub(super) fn own_network() -> Self {
        Scene::own_network().into()
    }

    /// What the steps of `name` are made from.
    pub(super) fn ctx(&self, name: &str) -> Ctx<'_> {
        let facts = &self.facts[name];
        Ctx {
            cluster: &self.cluster,
            node: self.cluster.node(name).expect("a node of the fixture"),
            facts,
            all: &self.facts,
            secrets: &self.secrets,
            os: crate::os::of(facts).expect("Debian"),
            now: 1_795_000_000,
        }
    }
}

impl From<Scene> for Fixture {
    fn from(scene: Scene) -> Self {
        Self { secrets: Secrets::placeholders(&scene.cluster), cluster: scene.cluster, facts: scene.facts }
    }
}
