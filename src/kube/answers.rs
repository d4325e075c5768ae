//! Ways to the API, asked all the time: what failed, and for how long nothing came.

use super::Api;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Between the beginnings of two questions.
const EVERY: Duration = Duration::from_millis(200);
/// For one answer.
const LIMIT: Duration = Duration::from_secs(3);
/// What is asked: an object that every cluster has. etcd's majority has to agree to the answer.
const QUESTION: &str = "/api/v1/namespaces/kube-system";

/// What one way to the API answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// `API server on attic`, `proxy on shed`.
    pub way: String,
    pub asked: usize,
    pub failed: usize,
    /// The longest time without an answer.
    pub longest: Duration,
    /// What the first failure was.
    pub failure: Option<String>,
}

/// One question: when it was asked, when that ended, and how.
type Sample = (Duration, Duration, Result<(), String>);

/// Ways that are being asked, five times a second each, until this is dropped.
pub struct Asking {
    since: Instant,
    ways: Vec<(String, Arc<Mutex<Vec<Sample>>>)>,
    tasks: JoinSet<()>,
}

impl Asking {
    /// Begins to ask these, each over a connection that it keeps as long as that lasts, as kubelets do.
    #[must_use]
    pub fn begin(ways: &[(String, Api)]) -> Self {
        let since = Instant::now();
        let mut tasks = JoinSet::new();
        let ways = ways.iter().map(|(name, api)| {
            let samples = Arc::new(Mutex::new(Vec::new()));
            tasks.spawn(ask(api.clone(), since, Arc::clone(&samples)));
            (name.clone(), samples)
        });
        Self { since, ways: ways.collect(), tasks }
    }

    /// Whether this way has answered since `then`.
    #[must_use]
    pub fn answered(&self, way: &str, then: Instant) -> bool {
        let then = then.saturating_duration_since(self.since);
        let of = self.ways.iter().find(|(name, _)| name == way);
        of.is_some_and(|(_, samples)| guard(samples).iter().any(|(asked, _, said)| *asked >= then && said.is_ok()))
    }

    /// Who has had no answer for the longest, `but` for one, and for how long.
    #[must_use]
    pub fn quietest(&self, but: &str) -> Option<(&str, Duration)> {
        let now = self.since.elapsed();
        let others = self.ways.iter().filter(|(name, _)| name != but);
        others.map(|(name, samples)| (name.as_str(), quiet(&guard(samples), now))).max_by_key(|(_, quiet)| *quiet)
    }

    /// Ends it; what each way answered, in the order in which they were given.
    #[must_use]
    pub fn end(mut self) -> Vec<Answers> {
        self.tasks.abort_all();
        let end = self.since.elapsed();
        self.ways.iter().map(|(way, samples)| judge(way, &guard(samples), end)).collect()
    }
}

/// Asks each of these once: those that did not answer, and what came instead.
pub async fn silent(ways: &[(String, Api)]) -> Vec<(String, String)> {
    let asks = ways.iter().map(|(way, api)| async move { Some((way.clone(), api.ask(QUESTION, LIMIT * 2).await.err()?.to_string())) });
    futures::future::join_all(asks).await.into_iter().flatten().collect()
}

async fn ask(api: Api, since: Instant, samples: Arc<Mutex<Vec<Sample>>>) {
    loop {
        let asked = since.elapsed();
        let said = api.ask(QUESTION, LIMIT).await.map_err(|e| e.to_string());
        guard(&samples).push((asked, since.elapsed(), said));
        tokio::time::sleep(EVERY.saturating_sub(since.elapsed().saturating_sub(asked))).await;
    }
}

fn guard(samples: &Mutex<Vec<Sample>>) -> std::sync::MutexGuard<'_, Vec<Sample>> {
    samples.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Since the last answer, at `now`.
fn quiet(samples: &[Sample], now: Duration) -> Duration {
    let last = samples.iter().rev().find(|s| s.2.is_ok()).map_or(Duration::ZERO, |s| s.1);
    now.saturating_sub(last)
}

/// `end`: when nobody was asked any more.
fn judge(way: &str, samples: &[Sample], end: Duration) -> Answers {
    let good: Vec<Duration> = samples.iter().filter(|s| s.2.is_ok()).map(|s| s.1).collect();
    let moments: Vec<Duration> = std::iter::once(Duration::ZERO).chain(good.iter().copied()).chain([end]).collect();
    Answers {
        way: way.to_owned(),
        asked: samples.len(),
        failed: samples.len() - good.len(),
        longest: moments.windows(2).map(|two| two[1].saturating_sub(two[0])).max().unwrap_or_default(),
        failure: samples.iter().find_map(|s| s.2.clone().err()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64, said: Result<(), &str>) -> Sample {
        (Duration::from_millis(ms), Duration::from_millis(ms + 10), said.map_err(str::to_owned))
    }

    #[test]
    fn the_longest_time_without_an_answer_counts_from_answer_to_answer_and_to_the_end() {
        let samples = [at(0, Ok(())), at(200, Err("refused")), at(400, Err("late")), at(900, Ok(()))];
        let told = judge("proxy on shed", &samples, Duration::from_secs(1));
        assert_eq!((told.asked, told.failed, told.longest), (4, 2, Duration::from_millis(900)));
        assert_eq!(told.failure.as_deref(), Some("refused"));
        let told = judge("x", &samples[..1], Duration::from_secs(9));
        assert_eq!((told.failed, told.longest), (0, Duration::from_millis(8990)));
        assert_eq!(judge("x", &[], Duration::from_secs(9)).longest, Duration::from_secs(9));
        assert_eq!(quiet(&samples[..3], Duration::from_secs(1)), Duration::from_millis(990));
        assert_eq!([quiet(&samples, Duration::from_secs(1)), quiet(&[], Duration::from_secs(1))].map(|d| d.as_millis()), [90, 1000]);
    }
}
