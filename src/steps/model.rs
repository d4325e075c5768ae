//! What a step is, and what the steps are made from.

use super::restore::Restore;
use crate::cluster::{Cluster, Node};
use crate::facts::Facts;
use crate::kube::Condition;
use crate::os::Os;
use crate::pki::{Ca, certificates, key_id};
use crate::secrets::{Secrets, Stage};
use crate::want::{Sh, Want};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Where a step happens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// On the node of this name.
    Node(String),
    /// In the Kubernetes API.
    Cluster,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => f.write_str(name),
            Self::Cluster => f.write_str("cluster"),
        }
    }
}

/// A step's name and place: `etcd@attic`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct StepId {
    pub lane: Lane,
    pub name: String,
}

impl StepId {
    /// The step `name` on the node `node`.
    #[must_use]
    pub fn node(node: &str, name: &str) -> Self {
        Self { lane: Lane::Node(node.into()), name: name.into() }
    }

    /// The step `name` in the API.
    #[must_use]
    pub fn cluster(name: &str) -> Self {
        Self { lane: Lane::Cluster, name: name.into() }
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.lane)
    }
}

/// How readiness is told.
#[derive(Debug, Clone)]
pub enum Test {
    /// sh on the node that exits 0 when it holds; what it prints is the last thing seen.
    Node(Sh),
    /// Conditions in the API, all of them.
    Api(Vec<Condition>),
}

/// Evidence that a step's work is up: polled until it holds or the deadline passes.
#[derive(Debug, Clone)]
pub struct Ready {
    /// What is waited for, for people: `etcd answers /health`.
    pub what: String,
    pub test: Test,
    /// Seconds.
    pub deadline: u64,
    /// Units whose journal is quoted when it does not come.
    pub units: Vec<String>,
    /// Steps of other lanes one of which must come good, or this never will; empty: it does not hang on any.
    pub through: Vec<StepId>,
}

impl Ready {
    /// Told by sh on the node, within two minutes.
    #[must_use]
    pub fn node(what: impl Into<String>, test: impl Into<String>) -> Self {
        Self { what: what.into(), test: Test::Node(Sh::new(test)), deadline: 120, units: Vec::new(), through: Vec::new() }
    }

    /// Told by the API, within `deadline` seconds.
    #[must_use]
    pub fn api(what: impl Into<String>, conditions: Vec<Condition>, deadline: u64) -> Self {
        Self { what: what.into(), test: Test::Api(conditions), deadline, units: Vec::new(), through: Vec::new() }
    }
}

/// A named, ordered unit of intent in one place. Every verb is a fold over these.
#[derive(Debug, Clone)]
pub struct Step {
    pub id: StepId,
    /// For people: `etcd member`.
    pub title: String,
    /// Steps (anywhere) that must be done *and ready* first. Steps of one node run in list order anyway,
    /// without waiting for each other's readiness.
    pub after: Vec<StepId>,
    pub wants: Vec<Want>,
    /// Checked before dependants start, and at the end of the node's run.
    pub ready: Option<Ready>,
    /// Steps of the same group that touch a *running* service go one node at a time.
    pub rolling: Option<&'static str>,
    /// Whether nothing that comes later in its lane builds on it: it begins when what it waits for is ready, whichever of its kind that is
    /// first, and takes no other with it where it is not done.
    pub aside: bool,
}

/// Which way the steps are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything as wanted.
    Present,
    /// `reset`: every want gone, edges reversed.
    Absent,
}

/// What a node's steps are made from.
pub struct Ctx<'a> {
    pub cluster: &'a Cluster,
    pub node: &'a Node,
    pub facts: &'a Facts,
    /// Facts of every node that answered, by name.
    pub all: &'a BTreeMap<String, Facts>,
    pub secrets: &'a Secrets,
    pub os: &'static dyn Os,
    /// Unix seconds at planning.
    pub now: i64,
    /// What etcd's data is to be replaced by, where that was asked for.
    pub restore: Option<&'a Restore>,
}

impl Ctx<'_> {
    /// The id of a step on this node.
    #[must_use]
    pub fn id(&self, name: &str) -> StepId {
        StepId::node(&self.node.name, name)
    }

    /// Which key the cluster's new authority has, while it signs and the former one is still trusted: what bears another
    /// signature then is made anew.
    #[must_use]
    pub fn new_signer(&self) -> Option<String> {
        let signs = self.secrets.authority_stage() == Stage::First;
        signs.then(|| key_id(&self.secrets.authority(Ca::Cluster).cert)).flatten()
    }

    /// Key ids of whoever may have signed what a kubelet has: the new authority while it signs, else all that are trusted. Empty where
    /// secrets are only stood for.
    #[must_use]
    pub fn signers(&self) -> Vec<String> {
        let trusted = || certificates(&self.secrets.trusted(Ca::Cluster)).iter().filter_map(|cert| key_id(cert)).collect();
        self.new_signer().map_or_else(trusted, |new| vec![new])
    }

    /// Whether what the kubelet shows on the machine of these facts is signed by another authority, so that it is to get another.
    #[must_use]
    pub fn is_outlived(&self, facts: &Facts) -> bool {
        let signers = self.signers();
        !signers.is_empty() && !facts.serving.is_empty() && !facts.serving.iter().any(|id| signers.contains(id))
    }

    /// The steps of all controller managers.
    #[must_use]
    pub fn controller_managers(&self) -> Vec<StepId> {
        self.cluster.control_planes().map(|n| StepId::node(&n.name, "controller-manager")).collect()
    }

    /// The steps by which the API comes up, one for each control plane.
    #[must_use]
    pub fn api_servers(&self) -> Vec<StepId> {
        self.cluster.control_planes().map(|n| StepId::node(&n.name, "apiserver")).collect()
    }
}
