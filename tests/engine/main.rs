//! The engine from look to run over a real `sh` on this computer: what a plan says is what happens, once; what fails
//! stops what depends on it and nothing else; what is settled is left alone.

#![expect(clippy::expect_used, reason = "a test ends at the first surprise")]

mod api;
#[path = "../fixture/no_api.rs"]
mod no_api;

use futures::future::BoxFuture;
use homectl::exec::{EventKind, Outcome, Report, Run, Sink, Supplied, Supply};
use homectl::plan::{self, Observed, Plan};
use homectl::ssh::{Connection, Fake, LocalShell, RemoteError};
use homectl::steps::{Mode, Ready, Step, StepId};
use homectl::want::{Dir, File, Guard, Link, Program, Want, probe};
use no_api::NoApi;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

/// Nothing is installed in these runs.
struct Nobody;

impl Supply for Nobody {
    fn get<'a>(&'a self, program: &'a Program) -> BoxFuture<'a, homectl::error::Result<Vec<Supplied>>> {
        Box::pin(async move { Err(homectl::error::Failure::failed(format!("{} is not to be had", program.component))) })
    }
}

/// `user:group` of whoever runs the test.
fn me() -> String {
    let out = Command::new("sh").args(["-c", "printf '%s:%s' \"$(id -un)\" \"$(id -gn)\""]).output().expect("sh runs");
    String::from_utf8(out.stdout).expect("names are UTF-8")
}

fn step(node: &str, name: &str, wants: Vec<Want>) -> Step {
    Step { id: StepId::node(node, name), title: name.into(), after: Vec::new(), wants, ready: None, rolling: None, aside: false }
}

struct House {
    hosts: BTreeMap<String, Connection>,
    ended: Arc<Mutex<Vec<String>>>,
}

impl House {
    async fn new(nodes: &[&str]) -> Self {
        let mut hosts = BTreeMap::new();
        for node in nodes {
            let shell: Connection = Arc::new(LocalShell::new().await.expect("a local shell"));
            hosts.insert((*node).to_owned(), shell);
        }
        Self { hosts, ended: Arc::default() }
    }

    /// Looks and plans, as the verbs do.
    async fn plan(&self, steps: &[Step]) -> Plan {
        let mut observed = Observed::new();
        for step in steps {
            let host = &self.hosts[&step.id.lane.to_string()];
            let reply = host.run(&probe::compile(&step.wants), &mut |_| ()).await.expect("the look answers");
            observed.insert(step.id.clone(), probe::parse(&step.wants, &reply.output));
        }
        plan::diff("test", Mode::Present, steps.to_vec(), &observed).expect("a plan")
    }

    async fn run(&self, plan: &Plan) -> Report {
        let ended = Arc::clone(&self.ended);
        ended.lock().expect("no panic").clear();
        let sink = Sink::new(move |event| {
            if let EventKind::StepEnded { step, outcome } = event {
                let how = match outcome {
                    Outcome::Done => "done",
                    Outcome::Failed { .. } => "failed",
                    Outcome::Skipped { .. } => "skipped",
                };
                ended.lock().expect("no panic").push(format!("{step} {how}"));
            }
        });
        let run = Run { plan, hosts: &self.hosts, supply: &Nobody, api: &NoApi, sink, stop: CancellationToken::new() };
        run.go().await
    }

    fn ended(&self) -> Vec<String> {
        let mut all = self.ended.lock().expect("no panic").clone();
        all.sort();
        all
    }
}

fn files(root: &Path) -> Vec<Want> {
    let at = |name: &str| format!("{}/{name}", root.display());
    vec![
        Want::Dir(Dir::new(at("d")).mode(0o700).owner(me())),
        Want::File(File::text(at("d/a"), "hello\n").mode(0o640).owner(me())),
        Want::Link(Link::new(at("l"), "d/a")),
        Want::Guard(Guard::new(
            "guard:g",
            "the mark is there",
            format!("[ -e {} ]", at("mark")),
            format!("echo x >>{0}; [ \"$(wc -l <{0})\" = 1 ]", at("mark")),
        )),
    ]
}

#[tokio::test]
async fn what_the_plan_says_happens_once() {
    let tmp = tempfile::tempdir().expect("a folder");
    let house = House::new(&["attic"]).await;
    let steps = vec![step("attic", "files", files(tmp.path()))];
    let plan = house.plan(&steps).await;
    assert_eq!(plan.counts().changes(), 4);
    let report = house.run(&plan).await;
    assert_eq!((report.changed, report.failed.len()), (4, 0), "{report:?}");
    let again = house.plan(&steps).await;
    assert_eq!((again.counts().changes(), again.counts().settled), (0, 4));
    assert_eq!(house.run(&again).await.changed, 0, "nothing to do does nothing");
}

#[tokio::test]
async fn a_stale_plan_does_no_harm() {
    let tmp = tempfile::tempdir().expect("a folder");
    let house = House::new(&["attic"]).await;
    let steps = vec![step("attic", "files", files(tmp.path()))];
    let plan = house.plan(&steps).await;
    house.run(&plan).await;
    // The guard tests itself again: its command would fail a second time.
    let report = house.run(&plan).await;
    assert_eq!(report.failed, Vec::new());
}

#[tokio::test]
async fn a_plan_knows_what_moved() {
    let tmp = tempfile::tempdir().expect("a folder");
    let house = House::new(&["attic"]).await;
    let steps = vec![step("attic", "files", files(tmp.path()))];
    let plan = house.plan(&steps).await;
    assert_eq!(plan::moved(&plan.footings(), &house.plan(&steps).await.footings()), Vec::<String>::new());
    let path = tmp.path().join("d/a");
    assert!(plan.steps[0].items.iter().any(|i| i.addr == format!("file:{}", path.display())), "{:?}", plan.steps[0].items);
    std::fs::create_dir(tmp.path().join("d")).expect("made");
    std::fs::write(&path, "somebody else's").expect("written");
    let moved = plan::moved(&plan.footings(), &house.plan(&steps).await.footings());
    assert!(moved.contains(&format!("file:{}@attic: something else would be done", path.display())), "{moved:?}");
}

#[tokio::test]
async fn drift_is_mended_and_nothing_else() {
    let tmp = tempfile::tempdir().expect("a folder");
    let house = House::new(&["attic"]).await;
    let steps = vec![step("attic", "files", files(tmp.path()))];
    let first = house.plan(&steps).await;
    house.run(&first).await;
    std::fs::write(tmp.path().join("d/a"), "edited\n").expect("written");
    let plan = house.plan(&steps).await;
    let acting: Vec<&str> =
        plan.steps.iter().flat_map(|s| &s.items).filter(|i| i.verdict.change().is_some()).map(|i| i.addr.as_str()).collect();
    assert_eq!(acting, [format!("file:{}/d/a", tmp.path().display())]);
    house.run(&plan).await;
    assert_eq!(house.plan(&steps).await.counts().changes(), 0);
    assert_eq!(std::fs::read_to_string(tmp.path().join("d/a")).expect("there"), "hello\n");
}

fn runs(name: &str, command: &str) -> Vec<Want> {
    vec![Want::Guard(Guard::new(format!("guard:{name}"), name, "exit 1", command))]
}

#[tokio::test]
async fn a_failure_stops_its_machine_and_its_dependants_only() {
    let house = House::new(&["attic", "cellar", "garage"]).await;
    let mut dependant = step("cellar", "after", runs("after", "true"));
    dependant.after = vec![StepId::node("attic", "breaks")];
    let steps = vec![
        step("attic", "breaks", runs("breaks", "echo the evidence; exit 7")),
        step("attic", "next", runs("next", "true")),
        step("cellar", "before", runs("before", "true")),
        dependant,
        step("garage", "alone", runs("alone", "true")),
    ];
    let plan = house.plan(&steps).await;
    let report = house.run(&plan).await;
    let expected = ["after@cellar skipped", "alone@garage done", "before@cellar done", "breaks@attic failed", "next@attic skipped"];
    assert_eq!(house.ended(), expected);
    assert_eq!(report.failed[0].evidence, ["the evidence"]);
}

/// Steps that stand aside at the end of a lane wait for nobody but their own: the last that comes does not hold up the others, and what
/// fails takes none with it.
#[tokio::test]
async fn what_stands_aside_waits_for_its_own_alone() {
    let tmp = tempfile::tempdir().expect("a folder");
    let mark = |name: &str| format!("{}/{name}", tmp.path().display());
    let house = House::new(&["attic", "cellar", "garage", "shed"]).await;
    let aside = |node: &str, command: &str| {
        let after = vec![StepId::node("attic", "server"), StepId::node(node, "kubelet")];
        Step { after, aside: true, ..step("attic", &format!("of-{node}"), runs(node, command)) }
    };
    let mut worker = step("shed", "worker", runs("worker", "true"));
    worker.after = vec![StepId::node("attic", "server")];
    let steps = vec![
        aside("cellar", "true"),
        // It comes only once what stands behind it is through.
        aside("garage", &format!("[ -e {} ]", mark("shed"))),
        aside("shed", &format!("touch {}", mark("shed"))),
        Step { aside: true, ..step("attic", "breaks", runs("breaks", "echo the evidence; exit 7")) },
        step("attic", "server", runs("server", "true")),
        step("cellar", "kubelet", runs("kubelet", "exit 7")),
        step(
            "garage",
            "kubelet",
            runs("kubelet", &format!("for i in 1 2 3 4 5 6 7 8 9; do [ ! -e {} ] || exit 0; sleep 1; done; exit 1", mark("shed"))),
        ),
        step("shed", "kubelet", runs("kubelet", "true")),
        worker,
    ];
    // In the order of a plan: what stands aside comes last in its lane.
    let (last, first): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(|s| s.aside);
    let plan = house.plan(&[first, last].concat()).await;
    let report = house.run(&plan).await;
    let expected = [
        "breaks@attic failed",
        "kubelet@cellar failed",
        "kubelet@garage done",
        "kubelet@shed done",
        "of-cellar@attic skipped",
        "of-garage@attic done",
        "of-shed@attic done",
        "server@attic done",
        "worker@shed done",
    ];
    assert_eq!(house.ended(), expected);
    assert_eq!((report.failed.len(), report.skipped), (2, 1), "{report:?}");
}

/// What has nothing to do is asked once more where somebody says of it that it came up: systemd may call it active all the while.
#[tokio::test]
async fn nobody_says_that_something_came_up_which_does_not_answer() {
    for (test, expected) in
        [("true", ["noted@attic done", "kubelet@attic done"]), ("echo none; exit 1", ["kubelet@attic failed", "noted@attic skipped"])]
    {
        let house = House::new(&["attic"]).await;
        let settled = vec![Want::Guard(Guard::new("kubelet", "kubelet", "exit 0", "exit 1"))];
        let ready = Some(Ready { deadline: 1, ..Ready::node("it answers", test) });
        let noted = Step { after: vec![StepId::node("attic", "kubelet")], aside: true, ..step("attic", "noted", runs("noted", "true")) };
        let plan = house.plan(&[Step { ready, ..step("attic", "kubelet", settled) }, noted]).await;
        assert!(!plan.steps[0].acts(), "it has nothing to do");
        let report = house.run(&plan).await;
        let mut expected = expected.map(str::to_owned);
        expected.sort_unstable();
        assert_eq!(house.ended(), expected);
        assert_eq!(report.failed.len(), usize::from(test != "true"), "{report:?}");
    }
}

/// A machine that is lost before a script of it begins has failed all the same: a run that ends so is no success.
#[tokio::test]
async fn a_machine_lost_between_two_scripts_is_a_failure() {
    let mut house = House::new(&["attic"]).await;
    let steps = vec![step("attic", "one", runs("one", "true")), step("attic", "two", runs("two", "true"))];
    let plan = house.plan(&steps).await;
    let gone = Fake::new().fail("", RemoteError::Lost { seen: "the lock of the machine was lost".into() });
    house.hosts.insert("attic".into(), Arc::new(gone));
    let report = house.run(&plan).await;
    assert_eq!(house.ended(), ["one@attic failed", "two@attic skipped"]);
    assert!(report.failed[0].evidence[0].contains("the lock of the machine was lost"), "{:?}", report.failed);
}

#[tokio::test]
async fn what_is_blocked_is_not_touched() {
    let tmp = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(tmp.path().join("f")).expect("made");
    let at = |name: &str| format!("{}/{name}", tmp.path().display());
    let house = House::new(&["attic", "cellar"]).await;
    let steps = vec![
        step("attic", "one", vec![Want::File(File::text(at("new"), "x").owner(me()))]),
        step("attic", "two", vec![Want::File(File::text(at("f"), "x").owner(me()))]),
        step("cellar", "one", vec![Want::File(File::text(at("other"), "x").owner(me()))]),
    ];
    let plan = house.plan(&steps).await;
    assert_eq!(plan.counts().blocked, 1);
    let report = house.run(&plan).await;
    assert_eq!(report.failed.len(), 1);
    assert!(!tmp.path().join("new").exists(), "nothing on a machine with something blocked");
    assert!(tmp.path().join("other").exists(), "the other machine goes on");
}

#[tokio::test]
async fn readiness_is_proven_before_dependants_and_told_with_its_evidence() {
    let tmp = tempfile::tempdir().expect("a folder");
    let mark = format!("{}/up", tmp.path().display());
    let house = House::new(&["attic", "cellar"]).await;
    let mut slow = step("attic", "slow", runs("slow", &format!("(sleep 1; touch {mark}) >/dev/null 2>&1 &")));
    slow.ready = Some(Ready::node("the mark is up", format!("[ -e {mark} ]")));
    let mut after = step("cellar", "after", runs("after", &format!("[ -e {mark} ]")));
    after.after = vec![slow.id.clone()];
    let plan = house.plan(&[slow, after]).await;
    let report = house.run(&plan).await;
    assert_eq!(report.failed, Vec::new());
    assert_eq!(house.ended(), ["after@cellar done", "slow@attic done"]);

    let mut never = step("attic", "never", runs("never", "true"));
    let mut ready = Ready::node("the moon", "echo still dark; exit 1");
    ready.deadline = 1;
    never.ready = Some(ready);
    let plan = house.plan(&[never]).await;
    let report = house.run(&plan).await;
    assert!(report.failed[0].what.contains("the moon"), "{report:?}");
    assert_eq!(report.failed[0].evidence[0], "still dark");
}

/// A worker's kubelet comes up through an API server: where none will, it is not waited for until the end of all patience.
#[tokio::test]
async fn what_can_not_come_true_any_more_is_not_waited_for() {
    let house = House::new(&["attic", "cellar", "garage"]).await;
    let server = |node: &str, command: &str| step(node, "server", runs("server", command));
    let mut worker = step("garage", "worker", runs("worker", "true"));
    let servers = vec![StepId::node("attic", "server"), StepId::node("cellar", "server")];
    worker.ready = Some(Ready { through: servers, deadline: 4, ..Ready::node("a server answers", "exit 1") });
    let next = step("garage", "next", runs("next", "true"));

    let began = std::time::Instant::now();
    let plan = house.plan(&[server("attic", "exit 7"), server("cellar", "exit 7"), worker.clone(), next.clone()]).await;
    let report = house.run(&plan).await;
    assert!(began.elapsed().as_secs() < 3, "waited for nothing: {:?}", began.elapsed());
    assert_eq!(house.ended(), ["next@garage done", "server@attic failed", "server@cellar failed", "worker@garage skipped"]);
    assert_eq!((report.failed.len(), report.skipped), (2, 1));

    // One that stands is hope enough, for as long as there is patience.
    let plan = house.plan(&[server("attic", "exit 7"), server("cellar", "true"), worker, next]).await;
    let report = house.run(&plan).await;
    assert!(report.failed.iter().any(|f| f.what.contains("a server answers did not come true")), "{report:?}");
}
