//! A cluster with everything that its plans are made from: real secrets, the whole catalogue.

use crate::scenes::Scene;
use homectl::addons::{self, Owned};
use homectl::cluster::{Addon, AddonSource, Cluster};
use homectl::facts::Facts;
use homectl::secrets::Secrets;
use homectl::steps::{self, Ctx, Mode, Step};
use std::collections::BTreeMap;

/// One inventory, its secrets, and what is true of its machines.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) name: &'static str,
    pub(crate) cluster: Cluster,
    pub(crate) facts: BTreeMap<String, Facts>,
    pub(crate) secrets: Secrets,
    /// Unix seconds.
    pub(crate) now: i64,
}

/// An add-on of the user's: a kind of its own, a workload, a Job.
const OWN: &str = include_str!("own.yaml");

impl World {
    /// The scene with every add-on of the catalogue and one of the user's.
    pub(crate) fn of(name: &'static str, scene: Scene, now: i64) -> Self {
        let Scene { mut cluster, facts } = scene;
        let catalogue = |name: &str| Addon { name: name.into(), needs: Vec::new(), source: AddonSource::Catalogue };
        cluster.addons = addons::catalogue().into_iter().map(catalogue).collect();
        let own = AddonSource::Manifests(vec![("/home/user/own/all.yaml".into(), OWN.into())]);
        cluster.addons.push(Addon { name: "own".into(), needs: vec!["local-storage".into()], source: own });
        let secrets = Secrets::make(&cluster, now).unwrap();
        Self { name, cluster, facts, secrets, now }
    }

    /// Every scene there is.
    pub(crate) fn all(now: i64) -> Vec<Self> {
        let scenes = [
            ("one", Scene::one()),
            ("three", Scene::three()),
            ("four", Scene::four()),
            ("contained", Scene::contained()),
            ("sites", Scene::sites()),
            ("own-network", Scene::own_network()),
        ];
        scenes.into_iter().map(|(name, scene)| Self::of(name, scene, now)).collect()
    }

    /// The steps of every node of which something is known, as the verbs make them.
    pub(crate) fn node_steps(&self, mode: Mode) -> Vec<Step> {
        let mut all = Vec::new();
        for node in &self.cluster.nodes {
            let Some(facts) = self.facts.get(&node.name) else { continue };
            let os = homectl::os::of(facts).expect("a distribution that is supported");
            let (cluster, secrets, now) = (&self.cluster, &self.secrets, self.now);
            all.extend(steps::node(&Ctx { cluster, node, facts, all: &self.facts, secrets, os, now, restore: None }).unwrap());
        }
        if mode == Mode::Absent { steps::absent(all) } else { steps::acquaint(all) }
    }

    /// The steps in the API.
    pub(crate) fn api_steps(&self, owned: &Owned) -> Vec<Step> {
        addons::steps(&self.cluster, &self.secrets, owned, &|node| self.facts.contains_key(node)).unwrap()
    }

    /// All of them.
    pub(crate) fn steps(&self, mode: Mode) -> Vec<Step> {
        let mut all = self.node_steps(mode);
        if mode == Mode::Present {
            all.extend(self.api_steps(&Owned::default()));
        }
        all
    }
}
