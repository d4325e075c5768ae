//! What a look says, and what follows from it.

use super::reply::{Host, Line, reply, text};
use super::{machines, settled, wants, worlds};
use homectl::report::plan_text;
use homectl::steps::{Lane, Mode, Step};
use homectl::want::{GuardSeen, Seen, Verdict, Want, probe};
use std::collections::BTreeSet;

fn verdicts(wants: &[Want], reply: &str) -> Vec<Verdict> {
    wants.iter().zip(probe::parse(wants, reply)).map(|(want, seen)| want.diff(&seen)).collect()
}

fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Settled(_) => "settled".into(),
        Verdict::Change(c) => format!("change: {}", c.why),
        Verdict::Deferred { why, .. } => format!("deferred: {why}"),
        Verdict::Blocked { .. } => "blocked".into(),
    }
}

#[test]
fn what_is_as_wanted_is_settled() {
    for (name, steps) in machines(Mode::Present) {
        let wants = wants(&steps);
        for host in [Host::Settled, Host::OpenedUp] {
            for (want, verdict) in wants.iter().zip(verdicts(&wants, &text(&reply(&wants, host)))) {
                assert_eq!(word(&verdict), "settled", "{name}: {}", want.addr());
            }
        }
    }
    for world in worlds() {
        let plan = settled(world);
        assert_eq!(plan.counts().changes(), 0, "{}", world.name);
        assert!(plan_text(&plan, false, false).starts_with("No changes."), "{}", plan_text(&plan, false, false));
    }
}

/// Undoings test themselves, on the machine: nothing but them is left to do where nothing is.
#[test]
fn what_is_gone_is_settled_for_a_reset() {
    for (name, steps) in machines(Mode::Absent) {
        let wants = wants(&steps);
        for (want, verdict) in wants.iter().zip(verdicts(&wants, &text(&reply(&wants, Host::Fresh)))) {
            assert!(matches!(want, Want::Guard(_)) || word(&verdict) == "settled", "{name}: {}: {}", want.addr(), word(&verdict));
        }
    }
}

#[test]
fn on_a_fresh_machine_nothing_is_blocked() {
    for (name, steps) in machines(Mode::Present) {
        let wants = wants(&steps);
        for (want, verdict) in wants.iter().zip(verdicts(&wants, &text(&reply(&wants, Host::Fresh)))) {
            assert!(matches!(verdict, Verdict::Change(_) | Verdict::Deferred { .. }) || stays_away(want), "{name}: {want:?}");
            assert!(!matches!(verdict, Verdict::Blocked { .. }), "{name}: {want:?}");
        }
    }
}

/// Wanted gone though the machine is wanted: what another setting of the inventory would have made.
fn stays_away(want: &Want) -> bool {
    want.absent().is_some_and(|absent| format!("{absent:?}").replace("notify: []", "") == format!("{want:?}").replace("notify: []", ""))
}

#[test]
fn a_look_that_failed_blocks() {
    let mut all: Vec<Want> = [Mode::Present, Mode::Absent].into_iter().flat_map(machines).flat_map(|(_, s)| wants(&s)).collect();
    let api = worlds().iter().flat_map(|w| w.steps(Mode::Present)).filter(|s| s.id.lane == Lane::Cluster).collect::<Vec<_>>();
    all.extend(wants(&api));
    let nonsense = [
        Seen::Unknown("no answer".into()),
        Seen::Guard(GuardSeen { status: 127, output: "sh: 1: wg: not found".into() }),
        Seen::Guard(GuardSeen { status: -1, output: String::new() }),
        Seen::Refused("no".into()),
    ];
    for want in &all {
        for seen in nonsense.iter().filter(|s| !(matches!(s, Seen::Refused(_)) && matches!(want, Want::Object(o) if o.present))) {
            assert_eq!(word(&want.diff(seen)), "blocked", "{} with {seen:?}", want.addr());
        }
    }
}

#[test]
fn a_reply_that_is_cut_blocks_everything() {
    for (name, steps) in kinds(Mode::Present).iter().chain(&kinds(Mode::Absent)) {
        let wants = wants(steps);
        for host in [Host::Settled, Host::OpenedUp] {
            let whole = reply(&wants, host);
            for end in 0..whole.len() {
                let all = verdicts(&wants, &text(&whole[..end]));
                assert!(all.iter().all(|v| word(v) == "blocked"), "{name}: cut before line {end}, {:?}", whole[end].text);
            }
        }
    }
}

/// One machine of each kind: with the same addresses.
fn kinds(mode: Mode) -> Vec<(String, Vec<Step>)> {
    let mut known = BTreeSet::new();
    machines(mode).into_iter().filter(|(_, steps)| known.insert(wants(steps).iter().map(Want::addr).collect::<Vec<_>>())).collect()
}

/// A line that is lost or unreadable blocks what it answers and touches nothing else.
#[test]
fn a_line_that_cannot_be_read_blocks_what_it_answers() {
    for (name, steps) in kinds(Mode::Present).iter().chain(&kinds(Mode::Absent)) {
        let wants = wants(steps);
        for host in [Host::OpenedUp, Host::Fresh] {
            let whole = reply(&wants, host);
            let before = probe::parse(&wants, &text(&whole));
            for (at, line) in whole.iter().enumerate() {
                let Some(of) = line.want else { continue };
                for spoiled in spoiled(&whole, at) {
                    let after = probe::parse(&wants, &text(&spoiled));
                    let told = spoiled.get(at).map_or("", |l| &l.text);
                    assert_eq!(
                        word(&wants[of].diff(&after[of])),
                        "blocked",
                        "{name}: {} by {told:?} for {:?}",
                        wants[of].addr(),
                        line.text
                    );
                    let others = (0..wants.len()).find(|i| *i != of && after[*i] != before[*i]);
                    assert_eq!(others.map(|i| wants[i].addr()), None, "{name}: moved by {told:?} for {:?}", line.text);
                }
            }
        }
    }
}

/// Without line `at`; with other words in its place; with the right beginning and other words.
fn spoiled(whole: &[Line], at: usize) -> Vec<Vec<Line>> {
    let with = |text: String| {
        let mut lines = whole.to_vec();
        lines[at].text = text;
        lines
    };
    let mut without = whole.to_vec();
    without.remove(at);
    let first = whole[at].text.split(' ').next().unwrap_or_default();
    let begun = if first.parse::<usize>().is_ok() { format!("{first} ?!") } else { "?!".into() };
    vec![without, with("?!".into()), with(begun)]
}
