use super::fixture::{at, mixed, plan, run};
use crate::exec::EventKind;
use crate::report::lines::{Level, Lines};
use crate::report::style::Paint;
use crate::report::summary::summary_text;
use crate::report::tally::Tally;
use crate::steps::Lane;

fn told(level: Level) -> String {
    let (mut lines, mut tally) = (Lines::new(level, Paint(false)), Tally::default());
    let mut text = String::new();
    for event in run() {
        tally.hear(&event);
        text += &lines.of(&event, &tally);
    }
    text
}

#[test]
fn plain_lines_of_a_run() {
    let expected = "\
attic  base system … done (3.2 s)
attic  etcd member … waiting until etcd answers /health (10 s; last seen: connection refused)
attic  etcd member … waiting until etcd answers /health (21 s; last seen: connection refused)
attic  etcd member … failed: etcd did not answer /health within 25 s
  | journal: bind: address in use
  help: see what else listens on 2379
";
    assert_eq!(told(Level::Steps), expected);
}

#[test]
fn above_the_bars_only_what_must_not_be_missed() {
    let told = told(Level::Important);
    assert!(told.starts_with("attic  etcd member … failed: "), "{told}");
    assert!(!told.contains("done"), "{told}");
}

#[test]
fn verbose_names_what_changed() {
    let told = told(Level::Items);
    assert!(told.contains("attic  base system: changed file:/etc/hosts\n"), "{told}");
    assert!(told.contains("cluster  coredns … skipped: etcd@attic failed\n"), "{told}");
    assert!(!told.contains("/etc/other"), "{told}");
}

#[test]
fn transfers_are_told_once_they_are_over() {
    let mut lines = Lines::new(Level::Steps, Paint(false));
    let up = |bytes| at(1.0, EventKind::Uploading { node: "attic".into(), what: "kubelet".into(), bytes, total: 62_000_000 });
    assert_eq!(lines.of(&up(1_000), &Tally::default()), "");
    assert_eq!(lines.of(&up(62_000_000), &Tally::default()), "attic  kubelet sent (62.0 MB)\n");
}

#[test]
fn warnings_cannot_steer_the_terminal() {
    let mut lines = Lines::new(Level::Important, Paint(false));
    let warning = EventKind::Warning { lane: Some(Lane::Node("attic".into())), text: "\x1b]0;pwned\x07".into() };
    assert_eq!(lines.of(&at(0.0, warning), &Tally::default()), "attic  warning: \u{fffd}]0;pwned\u{fffd}\n");
}

fn tally(events: usize) -> Tally {
    let mut tally = Tally::default();
    run().iter().take(events).for_each(|e| tally.hear(e));
    tally
}

#[test]
fn the_summary_repeats_failures_with_evidence() {
    let expected = "\
failed: attic: etcd member: etcd did not answer /health within 25 s
  | journal: bind: address in use
  help: see what else listens on 2379

skipped: cluster: 1 step: etcd@attic failed

         changed  failed  skipped  seconds
attic    1        1       0        29.0
cluster  0        0       1        0.0
cabin    offline

Not done: 1 step failed, 1 skipped; 1 item changed in 30.2 s. What was done stays; run the same command again once the cause is gone.";
    assert_eq!(summary_text(&mixed(), &tally(13), false), expected);
}

#[test]
fn a_run_that_ended_early_says_so() {
    let text = summary_text(&plan(Vec::new()), &tally(4), false);
    assert!(text.ends_with("Stopped before the end. Run the same command again: it goes on where it was."), "{text}");
}

#[test]
fn offline_nodes_temper_the_last_line() {
    let mut tally = tally(5);
    tally.hear(&at(5.0, EventKind::Finished { changed: 1, failed: 0, skipped: 0, seconds: 5.0 }));
    assert!(summary_text(&mixed(), &tally, false).ends_with("Done, except on 1 node that did not answer: 1 item changed in 5.0 s."));
    assert!(summary_text(&plan(Vec::new()), &tally, false).ends_with("\nDone: 1 item changed in 5.0 s."));
}
