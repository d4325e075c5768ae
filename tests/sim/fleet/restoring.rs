//! A restore that a fleet's operator asks for: made anew in each run by the verb's own code, of what machines say then.

use super::engine::Fleet;
use homectl::steps;
use homectl::verbs::{Asked, Restoring};
use std::fs;
use std::path::PathBuf;

/// What is to be restored.
#[derive(Clone)]
pub(crate) struct Restored {
    /// The snapshot, or none: what the one machine has that takes part.
    pub(crate) file: Option<PathBuf>,
    /// The etcd cluster's ID in the lock.
    pub(crate) recorded: Option<String>,
    /// Seconds that go by from run to run.
    pub(crate) passing: i64,
}

impl Fleet {
    /// The restore that is asked for, as the verb makes it each time; and what etcd will call the cluster.
    pub(super) fn make_restoring(&mut self) {
        self.restoring = None;
        let Some(what) = &mut self.errand.restoring else { return };
        self.world.now += what.passing;
        let asked = Asked {
            cluster: &self.world.cluster,
            etcd_ca: &self.world.secrets.etcd_ca.cert,
            facts: &self.world.facts,
            recorded: what.recorded.as_deref(),
            backed_up: None,
            survivor: self.errand.only.as_deref(),
            revision: steps::revision(self.world.now, None),
        };
        let restoring = Restoring::of(&asked, what.file.as_deref(), "then").unwrap();
        let id = &restoring.restore.id;
        for machine in self.machines() {
            fs::write(machine.ctl().join("restored-id"), format!("{}\n", u64::from_str_radix(id, 16).unwrap())).unwrap();
        }
        self.world.cluster.etcd_cluster_id = Some(id.clone());
        self.restoring = Some(restoring);
    }
}
