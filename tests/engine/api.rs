//! The API's lane, with an API that is a list: what could not be judged when the plan was made is looked at again
//! before it is done.

use futures::future::BoxFuture;
use homectl::exec::{ApiLane, Report, Run, Sink, Unseated};
use homectl::kube::Condition;
use homectl::plan::{self, Observed};
use homectl::steps::{Mode, Ready, Step, StepId};
use homectl::want::{Object, Seats, Seen, Want};
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// What the API holds, by address, and what it was told to apply.
#[derive(Default)]
struct Shelf {
    holds: BTreeMap<String, Seen>,
    applied: Mutex<Vec<String>>,
    /// Nobody gets there any more.
    gone: bool,
}

impl ApiLane for Shelf {
    fn look<'a>(&'a self, objects: &'a [&'a Object]) -> BoxFuture<'a, Result<Vec<Seen>, String>> {
        Box::pin(async { Ok(objects.iter().map(|o| self.holds.get(&o.addr()).cloned().unwrap_or(Seen::Object(None))).collect()) })
    }

    fn apply<'a>(&'a self, object: &'a Object, _: bool) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            self.applied.lock().expect("no panic").push(object.name.clone());
            Ok(())
        })
    }

    fn seat<'a>(&'a self, _: &'a Seats, _: &'a (dyn Fn(&str) + Sync)) -> BoxFuture<'a, Result<(), Unseated>> {
        Box::pin(async { Ok(()) })
    }

    fn check<'a>(&'a self, _: &'a [Condition]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { if self.gone { Err("no route".into()) } else { Ok(()) } })
    }

    fn lost(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async { self.gone.then(|| "attic: the connection was lost".to_owned()) })
    }
}

fn map(name: &str) -> Object {
    let manifest = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "x"}});
    Object {
        addon: "own".into(),
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: "x".into(),
        name: name.into(),
        manifest,
        present: true,
        certificate: None,
    }
}

/// A plan made while there was no API, run when there is one.
async fn run(shelf: &Shelf, objects: &[Object]) -> Report {
    let step = Step {
        id: StepId::cluster("own"),
        title: "own".into(),
        after: Vec::new(),
        wants: objects.iter().cloned().map(Want::Object).collect(),
        ready: Some(Ready::api("it is up", Vec::new(), 600)),
        rolling: None,
        aside: false,
    };
    let none = objects.iter().map(|_| Seen::NoApi("there is no API yet".into())).collect();
    let observed = Observed::from([(step.id.clone(), none)]);
    let plan = plan::diff("test", Mode::Present, vec![step], &observed).expect("a plan");
    assert_eq!(plan.counts().deferred, objects.len());
    let hosts = BTreeMap::new();
    let supply = super::Nobody;
    Run { plan: &plan, hosts: &hosts, supply: &supply, api: shelf, sink: Sink::new(|_| ()), stop: CancellationToken::new() }.go().await
}

#[tokio::test]
async fn what_holds_by_then_is_left_alone() {
    let shelf = Shelf { holds: BTreeMap::from([(map("a").addr(), Seen::Same)]), ..Shelf::default() };
    let report = run(&shelf, &[map("a"), map("b")]).await;
    assert_eq!((report.changed, report.failed), (1, Vec::new()));
    assert_eq!(*shelf.applied.lock().expect("no panic"), ["b"]);
}

#[tokio::test]
async fn what_is_somebody_elses_by_then_is_not_taken_over() {
    let theirs =
        serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b", "namespace": "x"}, "data": {"k": "v"}});
    let shelf = Shelf { holds: BTreeMap::from([(map("b").addr(), Seen::Object(Some(theirs)))]), ..Shelf::default() };
    let report = run(&shelf, &[map("a"), map("b")]).await;
    assert_eq!(report.failed[0].what, "ConfigMap x/b exists, but not by homectl");
    assert!(shelf.applied.lock().expect("no panic").is_empty(), "nothing of the step was done");
}

#[tokio::test]
async fn an_api_that_cannot_be_asked_is_not_an_empty_one() {
    let shelf = Shelf { holds: BTreeMap::from([(map("a").addr(), Seen::Unknown("timed out".into()))]), ..Shelf::default() };
    let report = run(&shelf, &[map("a")]).await;
    assert!(report.failed[0].what.contains("timed out"), "{report:?}");
    assert!(shelf.applied.lock().expect("no panic").is_empty());
}

/// The connection to the only control plane has ended: what is left of ten minutes of patience would be in vain.
#[tokio::test]
async fn an_api_that_nobody_gets_to_any_more_is_not_waited_for() {
    let shelf = Shelf { gone: true, ..Shelf::default() };
    let ran = tokio::time::timeout(std::time::Duration::from_secs(5), run(&shelf, &[map("a")])).await;
    let report = ran.expect("it waits for nothing");
    assert!(report.failed[0].what.contains("no way to the API"), "{report:?}");
    assert_eq!(report.failed[0].evidence, ["attic: the connection was lost"]);
}
