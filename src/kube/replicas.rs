//! Workloads that have fewer pods than they should, and for how long.

use super::{Api, ApiError, Resource};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many pods of a workload there are and should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicas {
    /// `Deployment media/jellyfin`.
    pub workload: String,
    pub wanted: u64,
    pub ready: u64,
}

/// One that was short of pods.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Short {
    pub workload: String,
    pub wanted: u64,
    /// The fewest that were ready.
    pub fewest: u64,
    /// For how long together, in seconds, to what a look every half second can tell.
    pub seconds: u64,
}

/// What was seen of all of them so far.
#[derive(Debug, Clone, Default)]
pub struct Shortage {
    last: Option<Duration>,
    all: BTreeMap<String, (u64, u64, Duration)>,
    now: Vec<Replicas>,
}

impl Api {
    /// Every Deployment and `StatefulSet`.
    ///
    /// # Errors
    /// The API does not answer.
    pub async fn replicas(&self) -> Result<Vec<Replicas>, ApiError> {
        let mut all = Vec::new();
        for kind in ["Deployment", "StatefulSet"] {
            let Some(resource) = Resource::builtin("apps/v1", kind) else { continue };
            all.extend(self.list(&resource, "", "").await?.iter().map(|live| replicas(kind, live)));
        }
        Ok(all)
    }
}

fn replicas(kind: &str, live: &Value) -> Replicas {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    Replicas {
        workload: format!("{kind} {}/{}", text(&live["metadata"]["namespace"]), text(&live["metadata"]["name"])),
        wanted: live["spec"]["replicas"].as_u64().unwrap_or(1),
        ready: live["status"]["readyReplicas"].as_u64().unwrap_or(0),
    }
}

impl Replicas {
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.ready < self.wanted
    }
}

impl Shortage {
    /// What was seen at `at`; until the next look it counts as it was.
    pub fn note(&mut self, at: Duration, seen: Vec<Replicas>) {
        let since = at.saturating_sub(self.last.replace(at).unwrap_or(at));
        for was in self.now.iter().filter(|r| r.is_short()) {
            if let Some((_, _, total)) = self.all.get_mut(&was.workload) {
                *total += since;
            }
        }
        for one in seen.iter().filter(|r| r.is_short()) {
            let (wanted, fewest, _) = self.all.entry(one.workload.clone()).or_insert((one.wanted, one.ready, Duration::ZERO));
            (*wanted, *fewest) = (one.wanted, one.ready.min(*fewest));
        }
        self.now = seen;
    }

    /// Those that are short now.
    #[must_use]
    pub fn now(&self) -> Vec<&Replicas> {
        self.now.iter().filter(|r| r.is_short()).collect()
    }

    /// Everybody who was, by name.
    #[must_use]
    pub fn told(&self) -> Vec<Short> {
        let of = |(workload, (wanted, fewest, total)): (&String, &(u64, u64, Duration))| Short {
            workload: workload.clone(),
            wanted: *wanted,
            fewest: *fewest,
            // Half a second more or less is not known.
            seconds: total.as_secs() + u64::from(total.subsec_nanos() > 0),
        };
        self.all.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_time_that_each_was_short_is_added_up() {
        let seen = |page: u64, film: u64| {
            let of = |name: &str, wanted: u64, ready: u64| Replicas { workload: name.into(), wanted, ready };
            vec![of("page", 2, page), of("film", 1, film)]
        };
        let mut shortage = Shortage::default();
        for (ms, page, film) in [(0, 2, 1), (500, 1, 1), (1000, 1, 0), (2000, 2, 0), (2500, 1, 1), (3000, 2, 1), (9000, 2, 1)] {
            shortage.note(Duration::from_millis(ms), seen(page, film));
            assert_eq!(shortage.now().len(), usize::from(page < 2) + usize::from(film < 1), "{ms}");
        }
        let told = shortage.told();
        assert_eq!(told[0], Short { workload: "film".into(), wanted: 1, fewest: 0, seconds: 2 });
        assert_eq!(told[1], Short { workload: "page".into(), wanted: 2, fewest: 1, seconds: 2 });
    }

    #[test]
    fn one_that_nobody_counted_has_one() {
        let live = json!({"metadata": {"namespace": "media", "name": "films"}, "spec": {}, "status": {}});
        assert_eq!(replicas("Deployment", &live), Replicas { workload: "Deployment media/films".into(), wanted: 1, ready: 0 });
    }
}
