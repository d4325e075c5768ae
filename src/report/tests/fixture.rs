//! A small plan with one of everything, and events.

use crate::exec::{Event, EventKind, Outcome};
use crate::plan::{Item, Plan, PlannedStep};
use crate::steps::{Mode, Ready, StepId};
use crate::want::{Act, Change, Impact, Verdict};
use std::collections::BTreeMap;

/// Stands in every script; must stand in no output.
pub(super) const CANARY: &str = "c4n4ry-s3cr3t";

/// An item; the want behind it does not matter to renderers.
pub(super) fn item(addr: &str, verdict: Verdict) -> Item {
    Item { addr: addr.into(), verdict, seen: String::new() }
}

pub(super) fn change(act: Act, why: &str, lines: &[&str]) -> Change {
    let lines = lines.to_vec();
    Change::script(act, why, format!("echo {CANARY}")).lines(lines)
}

pub(super) fn step(id: StepId, title: &str, items: Vec<Item>) -> PlannedStep {
    PlannedStep { id, title: title.into(), after: Vec::new(), items, ready: None, rolling: None, aside: false }
}

pub(super) fn plan(steps: Vec<PlannedStep>) -> Plan {
    Plan {
        cluster: "home".into(),
        mode: Mode::Present,
        steps,
        offline: Vec::new(),
        warnings: Vec::new(),
        not_compared: None,
        ran: BTreeMap::new(),
    }
}

pub(super) fn settled(addr: &str, why: &str) -> Item {
    item(addr, Verdict::Settled(why.into()))
}

/// Two nodes and the API, one of every verdict.
pub(in crate::report) fn mixed() -> Plan {
    let base = step(
        StepId::node("attic", "base"),
        "base system",
        vec![
            item(
                "file:/etc/hosts",
                Verdict::Change(change(Act::Update, "content differs", &["@@ -1 +1,2 @@", " 127.0.0.1 localhost", "+10.77.0.1 attic"])),
            ),
            item(
                "file:/etc/sysctl.d/90-homectl.conf",
                Verdict::Change(change(Act::Create, "missing", &["@@ -0,0 +1,2 @@", "+a = 1", "+b = 2"])),
            ),
            settled("sysctl:net.ipv4.ip_forward", "is 1"),
        ],
    );
    let mut etcd = step(
        StepId::node("attic", "etcd"),
        "etcd member",
        vec![
            item(
                "file:/etc/systemd/system/etcd.service",
                Verdict::Change(change(Act::Update, "mode 0600, wanted 0644", &[]).impact(Impact::Restart(vec!["etcd.service".into()]))),
            ),
            item("unit:etcd.service", Verdict::Change(change(Act::Restart, "a file it reads changes", &[]))),
        ],
    );
    etcd.after = vec![StepId::node("attic", "base")];
    etcd.rolling = Some("etcd");
    etcd.ready = Some(Ready::node("etcd answers /health", format!("echo {CANARY}")));
    let worker = step(
        StepId::node("barn", "base"),
        "base system",
        vec![
            item("sysctl:vm.swappiness", Verdict::Blocked { why: "sysctl: cannot stat\x1b[2J".into(), help: "look at the machine".into() }),
            item("file:/etc/old", Verdict::Change(change(Act::Delete, "not wanted any more", &["-one", "-two", "-three"]))),
        ],
    );
    let dns = step(
        StepId::cluster("coredns"),
        "add-on coredns",
        vec![item(
            "object:apps/v1/Deployment/kube-system/coredns",
            Verdict::Deferred { why: "there is no API yet".into(), change: change(Act::Create, "missing", &["+kind: Deployment"]) },
        )],
    );
    let mut plan = plan(vec![base, worker, dns, etcd]);
    plan.offline = vec![("cabin".into(), "connection timed out after 10 s".into())];
    plan.warnings = vec!["attic: cgroup v1".into()];
    plan
}

pub(super) fn at(at: f64, kind: EventKind) -> Event {
    Event { at, kind }
}

/// A run in which one step is done, one fails and one is skipped.
pub(super) fn run() -> Vec<Event> {
    let base = StepId::node("attic", "base");
    let etcd = StepId::node("attic", "etcd");
    let dns = StepId::cluster("coredns");
    let began = |step: &StepId, title: &str| EventKind::StepBegan { step: step.clone(), title: title.into() };
    let waiting = |seconds| EventKind::Waiting {
        step: etcd.clone(),
        what: "etcd answers /health".into(),
        seen: "connection refused".into(),
        seconds,
    };
    vec![
        at(0.1, EventKind::Connected { node: "attic".into() }),
        at(1.0, began(&base, "base system")),
        at(2.0, EventKind::ItemDone { step: base.clone(), addr: "file:/etc/hosts".into(), changed: true }),
        at(2.1, EventKind::ItemDone { step: base.clone(), addr: "file:/etc/other".into(), changed: false }),
        at(4.24, EventKind::StepEnded { step: base, outcome: Outcome::Done }),
        at(5.0, began(&etcd, "etcd member")),
        at(6.0, waiting(1)),
        at(15.5, waiting(10)),
        at(16.0, waiting(11)),
        at(26.0, waiting(21)),
        at(
            30.0,
            EventKind::StepEnded {
                step: etcd,
                outcome: Outcome::Failed {
                    what: "etcd did not answer /health within 25 s".into(),
                    evidence: vec!["journal: bind: address in use".into()],
                    help: "see what else listens on 2379".into(),
                },
            },
        ),
        at(30.1, EventKind::StepEnded { step: dns, outcome: Outcome::Skipped { why: "etcd@attic failed".into() } }),
        at(30.2, EventKind::Finished { changed: 1, failed: 1, skipped: 1, seconds: 30.2 }),
    ]
}
