use super::fixture::{CANARY, change, item, mixed, plan, settled, step};
use crate::report::plan_text;
use crate::steps::{Mode, StepId};
use crate::want::{Act, Verdict};

#[test]
fn one_of_everything() {
    let expected = "\
Cluster home: what apply does
  + create   ~ update   - delete   ^ restart   ? looked at again when its turn comes   x blocked
  All machines at the same time, each in this order; \"after\" names what is waited for elsewhere.

attic
  base system
     ~ file:/etc/hosts                     content differs
          @@ -1 +1,2 @@
           127.0.0.1 localhost
          +10.77.0.1 attic
     + file:/etc/sysctl.d/90-homectl.conf  missing (2 lines)
  etcd member (one node at a time)
     ~ file:/etc/systemd/system/etcd.service  mode 0600, wanted 0644 [restarts etcd.service]
     ^ unit:etcd.service                      a file it reads changes
    then waits until etcd answers /health (at most 120 s)

barn
  base system
     x sysctl:vm.swappiness  sysctl: cannot stat\u{fffd}[2J
       help: look at the machine
     - file:/etc/old         not wanted any more (3 lines)

cluster
  add-on coredns
    ?+ object:apps/v1/Deployment/kube-system/coredns  missing (1 line); there is no API yet

Restarts:
  attic  etcd.service

Offline, so nothing is planned there:
  cabin: connection timed out after 10 s

Warnings:
  attic: cgroup v1

Plan: 1 to create, 2 to update, 1 to delete, 1 to run, 1 deferred, 1 blocked; 1 settled.
";
    assert_eq!(plan_text(&mixed(), false, false), expected);
}

#[test]
fn what_several_nodes_are_warned_of_is_said_once() {
    let mut plan = mixed();
    plan.warnings = ["attic: cgroup v1", "attic: clock: 40 s off", "barn: cgroup v1", "lock: old"].map(str::to_owned).to_vec();
    let text = plan_text(&plan, false, false);
    assert!(text.contains("\nWarnings:\n  attic, barn: cgroup v1\n  attic: clock: 40 s off\n  lock: old\n\n"), "{text}");
}

#[test]
fn verbose_shows_every_line_and_why_the_rest_is_settled() {
    let text = plan_text(&mixed(), true, false);
    assert!(text.contains("     = sysctl:net.ipv4.ip_forward          is 1\n"), "{text}");
    assert!(text.contains("missing\n          @@ -0,0 +1,2 @@\n          +a = 1\n          +b = 2\n"), "{text}");
    assert!(text.contains("= settled\n"), "{text}");
}

#[test]
fn what_is_waited_for_elsewhere_is_said() {
    let due = |node: &str| {
        step(StepId::node(node, "apiserver"), "API server", vec![item("unit:x", Verdict::Change(change(Act::Restart, "older", &[])))])
    };
    let mut kubelet =
        step(StepId::node("barn", "kubelet"), "kubelet", vec![item("unit:kubelet", Verdict::Change(change(Act::Restart, "older", &[])))]);
    kubelet.after = ["attic", "cellar", "gone"].map(|node| StepId::node(node, "apiserver")).to_vec();
    kubelet.after.extend([StepId::node("attic", "base"), StepId::node("barn", "apiserver")]);
    let settled = step(StepId::node("attic", "base"), "base system", vec![settled("file:/x", "as wanted")]);
    let text = plan_text(&plan(vec![settled, due("attic"), due("cellar"), due("barn"), kubelet]), false, false);
    assert!(text.contains("  kubelet\n    after API server (attic, cellar)\n"), "{text}");
}

#[test]
fn nothing_to_do() {
    let mut plan = plan(vec![step(StepId::node("attic", "base"), "base system", vec![settled("file:/etc/hosts", "as wanted")])]);
    assert_eq!(plan_text(&plan, false, false), "No changes. Every machine is as the inventory says.\n");
    let verbose = plan_text(&plan, true, false);
    assert!(verbose.contains(" = file:/etc/hosts  as wanted\n"), "{verbose}");
    assert!(verbose.ends_with("\nNo changes. Every machine is as the inventory says.\n"), "{verbose}");
    plan.mode = Mode::Absent;
    assert_eq!(plan_text(&plan, false, false), "No changes. Nothing that homectl made is left.\n");
}

#[test]
fn offline_machines_are_never_called_settled() {
    let mut one = plan(vec![step(StepId::node("attic", "base"), "base system", vec![settled("file:/etc/hosts", "as wanted")])]);
    one.offline = vec![("cabin".into(), "no route to host".into())];
    let text = plan_text(&one, false, false);
    assert!(text.ends_with("No changes. Every machine that answered is as the inventory says.\n"), "{text}");
    one.steps.clear();
    assert!(!plan_text(&one, false, false).contains("No changes."));
}

#[test]
fn blocked_is_not_no_changes() {
    let blocked = item("file:/etc/hosts", Verdict::unseen("sha256sum: input/output error"));
    let text = plan_text(&plan(vec![step(StepId::node("attic", "base"), "base system", vec![blocked])]), false, false);
    assert!(text.ends_with("Plan: 1 blocked; 0 settled.\n"), "{text}");
}

#[test]
fn colours_only_add() {
    let plain = plan_text(&mixed(), true, false);
    let mut stripped = String::new();
    let coloured = plan_text(&mixed(), true, true);
    assert_ne!(plain, coloured);
    let mut rest = coloured.as_str();
    while let Some(start) = rest.find('\x1b') {
        stripped += &rest[..start];
        let end = rest[start..].find('m').expect("an escape ends in m");
        rest = &rest[start + end + 1..];
    }
    assert_eq!(stripped + rest, plain);
}

#[test]
fn scripts_are_never_shown() {
    for text in [plan_text(&mixed(), true, true), super::super::json::plan(&mixed()).to_string()] {
        assert!(!text.contains(CANARY), "{text}");
    }
}

#[test]
fn what_is_not_shown_is_counted() {
    let size = |lines: &[&str]| {
        let items = vec![item("a:b", Verdict::Change(change(Act::Create, "missing", lines)))];
        let text = plan_text(&plan(vec![step(StepId::node("attic", "s"), "s", items)]), false, false);
        text.lines().find_map(|l| l.strip_prefix("     + a:b  ")).map(str::to_owned).expect("the item")
    };
    assert_eq!(size(&[]), "missing");
    assert_eq!(size(&["→ ../store/x"]), "missing");
    assert_eq!(size(&["one", "two"]), "missing (2 lines)");
    assert_eq!(size(&["--- a", "+++ b", "@@ -0,0 +1 @@", "+one"]), "missing (1 line)");
}

#[test]
fn long_addresses_do_not_push_the_others_away() {
    let long = format!("file:/{}", "x".repeat(60));
    let items =
        vec![item("a:b", Verdict::Change(change(Act::Run, "why", &[]))), item(&long, Verdict::Change(change(Act::Start, "why", &[])))];
    let text = plan_text(&plan(vec![step(StepId::node("attic", "s"), "s", items)]), false, false);
    assert!(text.contains("     ! a:b  why\n"), "{text}");
}
