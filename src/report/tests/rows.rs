use super::fixture::{at, run};
use super::screen::Screen;
use crate::exec::EventKind;
use crate::report::live::Live;
use crate::report::tally::Tally;
use crate::steps::StepId;
use indicatif::ProgressDrawTarget;

fn screen(events: usize, more: Vec<EventKind>) -> Vec<String> {
    let term = Screen::default();
    let mut live = Live::on(ProgressDrawTarget::term_like(Box::new(term.clone())));
    let mut tally = Tally::default();
    for event in run().into_iter().take(events).chain(more.into_iter().map(|kind| at(0.0, kind))) {
        tally.hear(&event);
        live.hear(&event, &tally);
    }
    std::thread::sleep(std::time::Duration::from_millis(60));
    live.redraw();
    term.rows()
}

#[test]
fn a_row_tells_what_runs() {
    assert_eq!(screen(2, vec![]), ["attic  base system (0 s)"]);
}

#[test]
fn a_row_tells_what_is_waited_for_and_what_was_seen() {
    assert_eq!(screen(7, vec![]), ["attic  etcd member: waiting until etcd answers /health (0 s; last seen: connection refused)"]);
}

#[test]
fn rows_are_in_order_the_api_after_the_nodes() {
    let more = vec![
        EventKind::StepBegan { step: StepId::cluster("coredns"), title: "add-on coredns".into() },
        EventKind::Uploading { node: "a-long-name".into(), what: "kubelet".into(), bytes: 1_000_000, total: 62_000_000 },
        EventKind::Fetching { what: "etcd".into(), bytes: 500_000, total: None },
    ];
    let rows = screen(1, more);
    assert_eq!(
        rows,
        [
            "a-long-name  kubelet 1.0 MB of 62.0 MB",
            "attic        connected",
            "cluster      add-on coredns (0 s)",
            "downloads    etcd 0.5 MB",
        ]
    );
}

#[test]
fn a_finished_step_leaves_its_name() {
    assert_eq!(screen(5, vec![]), ["attic  base system: done"]);
}
