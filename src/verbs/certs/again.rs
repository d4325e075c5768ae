//! Pods that began before the authorities of today: homectl's own add-ons begin again, other people's are named.

use super::super::fleet;
use super::super::tap;
use super::super::world::World;
use crate::addons;
use crate::cli::Global;
use crate::error::{Failure, Result};
use crate::kube::{ApiError, Condition, Holder};
use crate::report::Reporter;
use std::time::Duration;

/// For the restarted ones to come up: as long as an apply waits for them.
const PATIENCE: Duration = Duration::from_mins(10);

/// What is left when homectl's own have begun again.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Whose pods begin again when somebody has them.
    pub(super) holders: Vec<Holder>,
    /// What was seen of homectl's own that are among them.
    late: Vec<String>,
}

impl Left {
    /// What people hear of it; nothing where nobody is left.
    fn told(&self) -> Vec<String> {
        if self.holders.is_empty() {
            return Vec::new();
        }
        let heading = "These pods began before, and do not trust the API until they begin again:".to_owned();
        std::iter::once(heading).chain(self.holders.iter().map(|h| format!("  {}", h.restart()))).collect()
    }

    /// Says it behind what is done meanwhile, however that ends: who has to know would have to look for it above all that.
    pub(super) async fn tell_behind<T>(&self, done: impl Future<Output = T>, say: impl Fn(&str)) -> T {
        let ended = done.await;
        self.told().iter().for_each(|line| say(line));
        ended
    }

    /// Whether all that is homectl's is up.
    ///
    /// # Errors
    /// What was seen of those that are not.
    pub(super) fn verdict(&self) -> Result<()> {
        if self.late.is_empty() {
            return Ok(());
        }
        Err(Failure::failed("not all of homectl's own add-ons have come up again")
            .seen(self.late.join("\n"))
            .help("mend what is named above, then restart them by the commands that were listed; authorities and certificates are as they should be"))
    }
}

/// Names other people's pods that began before, then has those of homectl's own add-ons begin again and waits for them. Who refuses, or does
/// not come up, is among those that are left.
pub(super) async fn begin(world: &World, held: Vec<Holder>, global: &Global, out: &Reporter) -> Result<Left> {
    let secrets = world.opened()?;
    let conditions = addons::catalogue_is_up(&world.cluster, secrets)?;
    let (left, ours) = named(held, &conditions, |line| out.talk(line));
    if ours.is_empty() {
        return Ok(left);
    }
    let fleet = fleet::open(world, global, out).await?;
    let api = tap::client(&world.cluster, secrets, &fleet.hosts)?;
    let restart = async |holder: &Holder| api.restart(holder).await;
    let wait = async |up: &[Condition]| api.wait(up, PATIENCE, &mut |_| ()).await.err().unwrap_or_default();
    Ok(each(left, ours, &conditions, restart, wait, &|line| out.talk(line)).await)
}

/// Other people's, who are named before anything that may fail (no later run knows who they are), and homectl's own.
fn named(held: Vec<Holder>, conditions: &[Condition], say: impl Fn(&str)) -> (Left, Vec<Holder>) {
    let (ours, theirs): (Vec<Holder>, Vec<Holder>) = held.into_iter().partition(|h| conditions.iter().any(|c| h.is_in(c)));
    let left = Left { holders: theirs, late: Vec::new() };
    left.told().iter().for_each(|line| say(line));
    (left, ours)
}

/// `restart` has the pods of one begin again, or says `false` where nothing would make them anew; `wait` gives back what did not come
/// true in time, with what was seen.
async fn each(
    mut left: Left,
    ours: Vec<Holder>,
    conditions: &[Condition],
    restart: impl AsyncFn(&Holder) -> Result<bool, ApiError>,
    wait: impl AsyncFn(&[Condition]) -> Vec<(Condition, String)>,
    say: &(dyn Fn(&str) + Sync),
) -> Left {
    let mut begun = Vec::new();
    for holder in ours {
        let name = format!("{} {}", holder.namespace, holder.what);
        let refused = match restart(&holder).await {
            Ok(true) => {
                say(&format!("{name} began before, and begins again."));
                begun.push(holder);
                continue;
            }
            Ok(false) => "nothing would make its pods anew".to_owned(),
            Err(e) => e.to_string(),
        };
        say(&format!("{name} began before, and could not be made to begin again: {refused}"));
        left.late.push(format!("{name}: {refused}"));
        left.holders.push(holder);
    }
    let up: Vec<Condition> = conditions.iter().filter(|c| begun.iter().any(|h| h.is_in(c))).cloned().collect();
    if !up.is_empty() {
        say(&format!("Waiting until they are up (at most {} minutes).", PATIENCE.as_secs() / 60));
    }
    for (condition, seen) in wait(&up).await {
        say(&format!("{} has not come up: {seen}", condition.subject()));
        left.late.push(format!("{}: {seen}", condition.subject()));
        left.holders.extend(begun.iter().filter(|h| h.is_in(&condition)).cloned());
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::exit;
    use std::sync::Mutex;

    fn holder(namespace: &str, name: &str) -> Holder {
        Holder { namespace: namespace.into(), what: format!("deployment/{name}") }
    }

    fn up(name: &str) -> Condition {
        Condition::DeploymentAvailable { namespace: "kube-system".into(), name: name.into() }
    }

    #[derive(Default)]
    struct Said(Mutex<Vec<String>>);

    impl Said {
        fn add(&self, line: &str) {
            self.0.lock().unwrap().push(line.to_owned());
        }

        fn lines(self) -> Vec<String> {
            self.0.into_inner().unwrap()
        }
    }

    /// What is left where these of ours refuse or do not come up, and whom somebody has waited for.
    async fn left(refuses: &str, stays_down: &str) -> (Left, Vec<Condition>) {
        let held = vec![holder("kube-system", "coredns"), holder("kube-system", "metrics-server"), holder("media", "player")];
        let all = ["coredns", "local-path", "metrics-server"].map(up);
        let said = Said::default();
        let (theirs, ours) = named(held, &all, |line| said.add(line));
        assert_eq!(said.lines()[1..], [THEIRS], "before anybody is touched");
        let refusal =
            || ApiError::Status { code: 403, reason: "Forbidden".into(), message: "hook".into(), causes: Vec::new(), retry_after: 0 };
        let restart = async |h: &Holder| if h.what.ends_with(refuses) { Err(refusal()) } else { Ok(true) };
        let waited = Mutex::new(Vec::new());
        let wait = async |up: &[Condition]| {
            waited.lock().unwrap().extend_from_slice(up);
            let down = up.iter().filter(|c| c.subject().ends_with(stays_down));
            down.map(|c| (c.clone(), "0 of 1 pods".to_owned())).collect()
        };
        let left = each(theirs, ours, &all, restart, wait, &|_| ()).await;
        (left, waited.into_inner().unwrap())
    }

    const THEIRS: &str = "  kubectl -n media rollout restart deployment/player";

    #[tokio::test]
    async fn whose_pods_begin_again_is_waited_for_and_the_others_are_named() {
        let (left, waited) = left("nobody", "nobody").await;
        assert_eq!(waited, ["coredns", "metrics-server"].map(up), "what has not been restarted is not waited for");
        assert!(left.verdict().is_ok());
        assert_eq!(left.told()[1..], [THEIRS]);
        assert!(Left::default().told().is_empty() && Left::default().verdict().is_ok());
    }

    #[tokio::test]
    async fn who_refuses_to_begin_again_keeps_nobody_else_from_it_and_is_named() {
        let (left, waited) = left("coredns", "nobody").await;
        assert_eq!(waited, [up("metrics-server")], "the next one has begun again");
        assert_eq!(left.told()[1..], [THEIRS, "  kubectl -n kube-system rollout restart deployment/coredns"]);
        let failure = left.verdict().unwrap_err();
        assert!(failure.exit_code() == exit::FAILED && failure.evidence()[0].contains("hook"), "{failure}");
    }

    #[tokio::test]
    async fn however_the_last_stage_ends_they_are_named_behind_it() {
        let (left, _) = left("nobody", "nobody").await;
        for ended in [Ok(exit::OK), Ok(exit::FAILED), Err("the question was not answered")] {
            let said = Said::default();
            let stage = async {
                said.add("2 of 2");
                ended
            };
            assert_eq!(left.tell_behind(stage, |line| said.add(line)).await, ended);
            let lines = said.lines();
            assert!(lines[0] == "2 of 2" && lines[2..] == [THEIRS], "{lines:?}");
        }
    }

    #[tokio::test]
    async fn who_does_not_come_up_in_time_is_no_success() {
        let (left, _) = left("nobody", "metrics-server").await;
        assert_eq!(left.told()[1..], [THEIRS, "  kubectl -n kube-system rollout restart deployment/metrics-server"]);
        let failure = left.verdict().unwrap_err();
        assert_eq!(failure.evidence(), ["Deployment kube-system/metrics-server: 0 of 1 pods"]);
    }
}
