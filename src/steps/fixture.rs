//! A small cluster for the tests of steps: a scene with texts for secrets.

use super::Ctx;
use crate::cluster::Cluster;
use crate::facts::{Facts, Member};
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

    /// attic founded a cluster and was asked for its members; cellar was added and never started, garage is new.
    pub(super) fn joining() -> Self {
        let mut fixture = Self::four();
        let id = Some("a".repeat(16));
        fixture.cluster.etcd_cluster_id.clone_from(&id);
        let member = |(number, name, client, learner): (u8, &str, bool, bool)| Member {
            id: format!("{number:016x}"),
            name: name.into(),
            peer: format!("https://10.77.0.{number}:2380"),
            client: if client { format!("https://10.77.0.{number}:2379") } else { String::new() },
            learner,
            healthy: client,
        };
        let attic = fixture.facts.get_mut("attic").expect("a control plane");
        (attic.etcd_data, attic.etcd_cluster_id) = (true, id);
        attic.members = Some(Ok([(1, "attic", true, false), (2, "", false, true)].map(member).into()));
        fixture
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
            restore: None,
        }
    }
}

impl From<Scene> for Fixture {
    fn from(scene: Scene) -> Self {
        Self { secrets: Secrets::placeholders(&scene.cluster), cluster: scene.cluster, facts: scene.facts }
    }
}
