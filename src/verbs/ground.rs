//! What a plan is made from once everybody was asked: values, no connections. The verbs plan by it, and so does the simulated
//! fleet of the tests, so that what is cut there is what the verbs would do.

use super::moving::{self, InApi, Moving};
use super::pace::Pace;
use super::restore::Restoring;
use super::rollout;
use crate::addons::{self, Owned};
use crate::cluster::{Cluster, Node, Release};
use crate::error::{Failure, Result};
use crate::facts::Facts;
use crate::os::{self, Os};
use crate::plan::{self, Draft, Observed, Rollout};
use crate::secrets::Secrets;
use crate::steps::{self, Ctx, Lane, Mode, Step};
use crate::want::Seen;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that steps and their order follow from.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    pub cluster: &'a Cluster,
    /// The cluster's own, or placeholders.
    pub secrets: &'a Secrets,
    /// PEM of etcd's authority, where the secrets are open.
    pub etcd_ca: Option<&'a str>,
    /// Of every machine that answered, by node.
    pub facts: &'a BTreeMap<String, Facts>,
    /// What the lock knows: the release that is wanted, and the one before while versions move.
    pub releases: &'a [Release],
    pub pace: &'a Pace,
    pub moving: Option<&'a Moving>,
    pub restoring: Option<&'a Restoring>,
    /// Unix seconds.
    pub now: i64,
}

impl Ground<'_> {
    /// How versions move, as far as machines tell.
    ///
    /// # Errors
    /// Versions that may not follow what runs, for all machines together.
    pub fn rollout(&self) -> Result<Rollout> {
        rollout::of(self)
    }

    /// The steps of every node that answered and has a part in this, and what the operator should know.
    ///
    /// # Errors
    /// What would harm etcd; secrets that are older than the machines'; steps that cannot be made.
    pub fn node_steps(&self, mode: Mode) -> Result<(Vec<Step>, Vec<String>)> {
        let mut warnings = Vec::new();
        let asked = moving::facts(self)?;
        match self.restoring {
            _ if mode == Mode::Absent => {}
            Some(Restoring { restore, known, .. }) => steps::check_restore(self.cluster, self.facts, restore, known)?,
            None => {
                steps::check_etcd(self.cluster, &asked, self.etcd_ca)?;
                if self.etcd_ca.is_some() {
                    steps::check_secrets(self.cluster, &asked, &self.secrets.marks(self.now))?;
                }
            }
        }
        let mut all = Vec::new();
        for node in &self.cluster.nodes {
            let Some(facts) = self.facts.get(&node.name).filter(|_| self.pace.concerns(&node.name)) else { continue };
            if mode == Mode::Absent && is_free(facts) {
                continue;
            }
            let ctx = Ctx {
                cluster: self.cluster,
                node,
                facts,
                all: &asked,
                secrets: self.secrets,
                os: system(node, facts)?,
                now: self.now,
                restore: self.restoring.map(|r| &r.restore),
            };
            all.extend(steps::node(&ctx)?);
            if mode == Mode::Present {
                warnings.extend(steps::warnings(&ctx));
            }
        }
        if mode == Mode::Absent {
            return Ok((steps::absent(all), warnings));
        }
        if self.restoring.is_some() || self.pace.together {
            // Nothing is up that one after the other could keep up: members wait for each other, and so does all that needs them.
            for step in &mut all {
                step.rolling = None;
            }
        }
        all.retain(|step| self.pace.takes(&step.id.name));
        let mut all = steps::acquaint(all);
        if let Some(since) = self.pace.since {
            steps::renewed(&mut all, since);
        }
        warnings.extend(moving::on_machines(self, self.leavers_steps()?, &mut all)?);
        Ok((all, warnings))
    }

    /// What goes from a machine that leaves, as a reset of it alone.
    fn leavers_steps(&self) -> Result<Vec<Step>> {
        let Some((cluster, node)) = self.moving.and_then(|m| m.leaver()) else { return Ok(Vec::new()) };
        let Some(facts) = self.facts.get(&node.name).filter(|f| !is_free(f)) else { return Ok(Vec::new()) };
        let os = system(node, facts)?;
        let ctx = Ctx { cluster, node, facts, all: self.facts, secrets: self.secrets, os, now: self.now, restore: None };
        Ok(steps::absent(steps::node(&ctx)?))
    }

    /// The steps in the API, where `owned` is what it holds of ours.
    ///
    /// # Errors
    /// Manifests that cannot be read.
    pub fn api_steps(&self, owned: &Owned) -> Result<Vec<Step>> {
        let mut steps = addons::steps(self.cluster, self.secrets, owned, &|node| self.facts.contains_key(node))?;
        if let Some(since) = self.pace.since {
            steps::renewed(&mut steps, since);
        }
        for step in &mut steps {
            self.pace.distrust.lift(step);
        }
        Ok(steps)
    }

    /// Whether any node of the control plane has something to do, so that an API that does not answer may be mended by it.
    ///
    /// # Errors
    /// A bug in the steps.
    pub fn mends_control_plane(&self, steps: &[Step], observed: &Observed) -> Result<bool> {
        let plan = plan::diff(&self.cluster.name, Mode::Present, steps.to_vec(), observed)?;
        let plane = |lane: &Lane| matches!(lane, Lane::Node(name) if self.cluster.node(name).is_some_and(Node::is_control_plane));
        Ok(plan.steps.iter().any(|s| s.acts() && plane(&s.id.lane)))
    }

    /// The draft of the plan: the steps of machines, those of the API, and what a departure adds there.
    #[must_use]
    pub fn draft(nodes: Vec<Step>, api: Vec<Step>, leaves: InApi, mut observed: Observed) -> Draft {
        let mut draft = Draft::default();
        leaves.first.into_iter().for_each(|step| draft.insert(step));
        let mut all = nodes;
        all.extend(api);
        if let Some((step, seen)) = leaves.last {
            observed.insert(step.id.clone(), seen);
            all.push(step);
        }
        draft.add(all, &observed);
        draft
    }

    /// The nodes that homectl keeps pods away from, by what was seen of objects: those whose machines answered, which can be given
    /// back, and the others.
    #[must_use]
    pub fn cordoned<'s>(&self, seen: impl Iterator<Item = (&'s String, &'s Seen)>) -> (BTreeSet<String>, BTreeSet<String>) {
        let nodes = seen.filter_map(|(addr, seen)| Some((addr.strip_prefix("object:v1:Node:")?, seen)));
        nodes.filter_map(rollout::cordoned).partition(|name| self.facts.contains_key(name))
    }
}

/// Whether homectl has put nothing there.
pub(super) fn is_free(facts: &Facts) -> bool {
    facts.cluster.is_none() && !facts.bare
}

fn system(node: &Node, facts: &Facts) -> Result<&'static dyn Os> {
    os::of(facts).ok_or_else(|| {
        Failure::failed(format!("{} is not supported", facts.os_name)).on(&node.name).help(format!("supported: {}", os::SUPPORTED))
    })
}
