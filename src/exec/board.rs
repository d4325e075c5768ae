//! Where lanes tell each other how far they are.

use crate::steps::StepId;
use std::collections::BTreeMap;
use tokio::sync::watch;

/// How a step stands for those who wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Done and ready.
    Good,
    /// Will never be good in this run; why.
    Bad(String),
}

/// The standing of every step that has one.
#[derive(Clone)]
pub(super) struct Board(watch::Sender<BTreeMap<StepId, Standing>>);

impl Board {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(BTreeMap::new()))
    }

    pub(super) fn post(&self, id: &StepId, standing: Standing) {
        self.0.send_modify(|map| {
            map.insert(id.clone(), standing);
        });
    }

    pub(super) fn get(&self, id: &StepId) -> Option<Standing> {
        self.0.borrow().get(id).cloned()
    }

    /// Returns once every one of `ids` is bad: why the first of them is. Never for none.
    pub(super) async fn hopeless(&self, ids: &[StepId]) -> String {
        let bad = |map: &BTreeMap<StepId, Standing>| !ids.is_empty() && ids.iter().all(|id| matches!(map.get(id), Some(Standing::Bad(_))));
        let mut watcher = self.0.subscribe();
        if let Ok(map) = watcher.wait_for(bad).await
            && let Some((id, Standing::Bad(why))) = ids.first().and_then(|id| map.get_key_value(id))
        {
            return format!("it waits for {id}, which {why}");
        }
        std::future::pending().await
    }

    /// Waits until every one of `ids` has a standing; the first bad one is the error.
    pub(super) async fn wait(&self, ids: &[StepId]) -> Result<(), String> {
        let mut watcher = self.0.subscribe();
        let all = watcher.wait_for(|map| ids.iter().all(|id| map.contains_key(id))).await;
        let Ok(map) = all else { return Err("the run ended".into()) };
        for id in ids {
            if let Some(Standing::Bad(why)) = map.get(id) {
                return Err(format!("it needs {id}, which {why}"));
            }
        }
        Ok(())
    }
}
