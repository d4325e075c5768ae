//! Addresses, edges, who hears of what; guards.

use super::{fresh, leaving, machines, wants, worlds};
use homectl::report::{plan_json, plan_text};
use homectl::steps::{Mode, Step, StepId};
use homectl::want::{Guard, GuardSeen, Notify, Run, Seen, Sh, UnitState, Verdict, Want};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

#[test]
fn addresses_are_unique_and_stable() {
    for world in worlds() {
        let mut lanes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for step in world.steps(Mode::Present) {
            lanes.entry(step.id.lane.to_string()).or_default().extend(step.wants.iter().map(Want::addr));
        }
        for (lane, addresses) in &lanes {
            let once: BTreeSet<&String> = addresses.iter().collect();
            assert_eq!(once.len(), addresses.len(), "{} {lane}: {addresses:#?}", world.name);
        }
        for step in world.steps(Mode::Present) {
            for (want, absent) in step.wants.iter().filter_map(|w| Some((w, w.absent()?))) {
                assert_eq!(want.addr(), absent.addr());
            }
        }
    }
}

/// Whoever is not there is not waited for, so a wrong name would go unnoticed.
#[test]
fn every_edge_leads_to_a_step() {
    for world in worlds() {
        for mode in [Mode::Present, Mode::Absent] {
            let steps = world.steps(mode);
            let known: BTreeSet<&StepId> = steps.iter().map(|s| &s.id).collect();
            for (step, edge) in steps.iter().flat_map(|s| s.after.iter().map(move |e| (s, e))) {
                // In a reset there is no API to wait for: it goes with its machines.
                let gone = mode == Mode::Absent && edge.lane == homectl::steps::Lane::Cluster;
                assert!(gone || known.contains(edge), "{}: {} waits for {edge}, which is no step", world.name, step.id);
            }
        }
    }
}

/// What comes true through API servers may need what is put into the API meanwhile, and that waits for this machine's to be proven. So no
/// script of the machine may stop for it on the way: who needs it stands aside.
#[test]
fn nobody_in_a_lane_stops_for_what_the_api_brings() {
    for world in worlds() {
        let steps = world.steps(Mode::Present);
        let through: BTreeSet<&StepId> =
            steps.iter().filter(|s| s.ready.as_ref().is_some_and(|r| !r.through.is_empty())).map(|s| &s.id).collect();
        assert!(!through.is_empty());
        for step in steps.iter().filter(|s| !s.aside) {
            let stop = step.after.iter().find(|id| id.lane == step.id.lane && through.contains(id));
            assert!(stop.is_none(), "{}: {} stops its machine for {stop:?}", world.name, step.id);
        }
    }
}

/// A lane does what stands aside last of all: in a reset that would come behind the folders it lies in.
#[test]
fn nobody_stands_aside_in_a_reset() {
    for world in worlds() {
        assert!(world.steps(Mode::Present).iter().any(|s| s.aside));
        let aside = world.steps(Mode::Absent).into_iter().find(|s| s.aside);
        assert!(aside.is_none(), "{}: {:?}", world.name, aside.map(|s| s.id));
    }
}

/// A plan is in an order: a cycle would be an error here. Made twice it is the same, to the byte.
#[test]
fn plans_are_ordered_and_stable() {
    for world in worlds() {
        for make in [fresh, super::settled, leaving] {
            let (one, two) = (make(world), make(world));
            assert_eq!(plan_text(&one, true, false), plan_text(&two, true, false));
            assert_eq!(plan_json(&one).to_string(), plan_json(&two).to_string());
            let mut done = BTreeSet::new();
            for step in &one.steps {
                assert!(step.after.iter().all(|id| done.contains(id)), "{}: {} comes before what it waits for", world.name, step.id);
                done.insert(&step.id);
            }
        }
    }
}

/// A unit restarts in the run that changes what it reads: so it stands behind it on its machine.
#[test]
fn whoever_is_to_hear_of_a_change_comes_after_it() {
    for (name, steps) in machines(Mode::Present) {
        let wants = wants(&steps);
        let place = |notify: &Notify| {
            wants.iter().position(|w| matches!(w, Want::Unit(u) if u.name == notify.unit && u.state == UnitState::Running))
        };
        for (i, want) in wants.iter().enumerate() {
            for notify in want.notifies() {
                assert!(place(notify).is_some_and(|unit| unit > i), "{name}: {} tells {}", want.addr(), notify.unit);
            }
        }
    }
}

fn guards(mode: Mode) -> Vec<(String, Guard)> {
    let of = |(name, steps): (String, Vec<Step>)| {
        let all = wants(&steps).into_iter().filter_map(|w| if let Want::Guard(g) = w { Some(g) } else { None });
        all.map(|g| (format!("{name} {}", g.addr), g)).collect::<Vec<_>>()
    };
    machines(mode).into_iter().flat_map(of).collect()
}

/// What would run on the machine, were its test this one.
fn command(guard: &Guard, test: &str) -> String {
    let guard = Guard { ok: Sh::new(test), ..guard.clone() };
    let verdict = Want::Guard(guard).diff(&Seen::Guard(GuardSeen { status: 1, output: String::new() }));
    let Verdict::Change(change) = verdict else { panic!("a change") };
    let Run::Script(sh) = change.run else { panic!("a script") };
    sh.as_str().to_owned()
}

/// Whatever the command is: it does not run where the test holds by then, nor where the test fails. Should one ever break
/// out of its guard, it finds no program, and no file takes its words.
#[test]
fn guards_test_themselves_before_they_act() {
    let mut known = BTreeSet::new();
    for (name, guard) in guards(Mode::Present).into_iter().chain(guards(Mode::Absent)) {
        if !known.insert((guard.ok.as_str().to_owned(), guard.run.as_str().to_owned())) {
            continue;
        }
        for (test, expected) in [("exit 0", (0, "holds already\n")), ("echo why; exit 2", (2, "why\n"))] {
            let script = format!("ulimit -f 0; set -eu\n{}", command(&guard, test));
            let said = Command::new("/bin/sh").args(["-c", &script]).env("PATH", "/nowhere").output().unwrap();
            let text = String::from_utf8_lossy(&said.stdout).into_owned();
            assert_eq!((said.status.code(), text.as_str(), &*said.stderr), (Some(expected.0), expected.1, &b""[..]), "{name}");
        }
        let real = command(&guard, guard.ok.as_str());
        assert!(real.contains(guard.ok.as_str()), "{name}: its own test stands before its command");
    }
}
