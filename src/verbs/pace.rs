//! How a run goes about its plan: what may be away at a time, and what cannot be waited for.

use super::distrust::Distrust;
use crate::cluster::Part;
use crate::plan;
use crate::secrets::{Secrets, Stage};
use std::collections::BTreeSet;

/// The pace of a run.
#[derive(Debug, Clone)]
pub struct Pace {
    /// How many workers may be empty at a time.
    pub at_once: usize,
    /// The one node that goes back to what it ran before, and which of its parts do, while nothing else is touched.
    pub back: Option<(String, BTreeSet<Part>)>,
    /// Certificates made before this are renewed, in Unix seconds.
    pub since: Option<i64>,
    /// Whether nothing is up that one machine after the other could keep up: what restarts does so everywhere at once.
    pub together: bool,
    /// Whose pods do not trust the API servers' certificates.
    pub distrust: Distrust,
}

impl Pace {
    /// What `secrets` ask of every run at `now` (Unix seconds), whichever verb makes it: an exchange of authorities that was cut is gone
    /// on with by all of them.
    pub(super) fn of(secrets: &Secrets, now: i64) -> Self {
        // Pods from before may have been left; whether there are any, the verb asks the API that takes the exchange on.
        let distrust = if secrets.authority_stage() == Stage::First { Distrust::Anybody } else { Distrust::Nobody };
        Self { together: secrets.supersedes_expired(now), distrust, ..Self::default() }
    }

    /// Whether a run at this pace has to do with the node.
    pub(super) fn concerns(&self, node: &str) -> bool {
        self.back.as_ref().is_none_or(|(back, _)| back == node)
    }

    /// Whether such a run takes a step of this name: parts that do not go back are left as they are.
    pub(super) fn takes(&self, step: &str) -> bool {
        self.back.as_ref().is_none_or(|(_, parts)| plan::part_of(step).is_none_or(|part| parts.contains(&part)))
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self { at_once: 1, back: None, since: None, together: false, distrust: Distrust::Nobody }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addons::Owned;
    use crate::cluster::{Addon, AddonSource};
    use crate::scenes::Scene;
    use crate::steps::Mode;
    use crate::verbs::Ground;

    /// Whichever verb goes on with it: those who were not told of new authorities by a run that was cut can neither keep anything up one
    /// after the other, nor have their pods come up.
    #[test]
    fn an_exchange_of_authorities_that_was_cut_sets_the_pace_of_every_run() {
        let (Scene { mut cluster, facts }, now) = (Scene::four(), jiff::Timestamp::now().as_second());
        cluster.addons = vec![Addon { name: "metrics-server".into(), needs: Vec::new(), source: AddonSource::Catalogue }];
        let paced = |secrets: &Secrets, now: i64| {
            let pace = Pace::of(secrets, now);
            let (cluster, facts, pace) = (&cluster, &facts, &pace);
            let ground = Ground { cluster, secrets, etcd_ca: None, facts, releases: &[], pace, moving: None, restoring: None, now };
            let waits = |name: &str| {
                let steps = ground.api_steps(&Owned::default()).unwrap();
                steps.iter().find(|s| s.id.name == name).unwrap().ready.is_some()
            };
            let rolling = ground.node_steps(Mode::Present).unwrap().0.iter().any(|s| s.rolling.is_some());
            (rolling, waits("metrics-server"), waits("node-shed"))
        };
        let mut secrets = Secrets::make(&cluster, now).unwrap();
        let mut ended = secrets.clone();
        for (stage, waits) in [(Stage::Known, true), (Stage::First, false), (Stage::Alone, true)] {
            secrets.turn_authorities(now).unwrap();
            secrets.refresh(&cluster, now).unwrap();
            assert_eq!((secrets.authority_stage(), paced(&secrets, now)), (stage, (true, waits, true)));
        }
        let late = ended.authorities_end().unwrap().1 + 60;
        ended.supersede_authorities(late).unwrap();
        ended.refresh(&cluster, late).unwrap();
        assert_eq!(paced(&ended, late), (false, false, true));
        ended.turn_authorities(late).unwrap();
        assert_eq!(paced(&ended, late), (true, true, true));
    }
}
