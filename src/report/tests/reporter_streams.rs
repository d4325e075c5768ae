use super::fixture::{mixed, run};
use super::screen::Screen;
use crate::error::{Failure, exit};
use crate::exec::{EventKind, Outcome};
use crate::report::face::Face;
use crate::report::live::Live;
use crate::report::output::Output;
use crate::report::{Format, Options, Reporter};
use crate::steps::StepId;
use indicatif::ProgressDrawTarget;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

/// A stream that can be read afterwards.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<u8>>>);

impl Tape {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream whose reader went away.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn options(format: Format) -> Options {
    Options { format, verbose: false, colour: false, colour_talk: false, live: false, yes: false }
}

fn reporter(format: Format) -> (Reporter, Tape, Tape) {
    with_options(options(format))
}

fn with_options(options: Options) -> (Reporter, Tape, Tape) {
    let (data, talk) = (Tape::default(), Tape::default());
    let output = Output::of(Box::new(data.clone()), Box::new(talk.clone()), None);
    (Reporter::with(options, Face::of(options), output), data, talk)
}

fn tell_all(out: &Reporter) {
    let sink = out.sink();
    for event in run() {
        sink.tell(event.kind);
    }
}

#[test]
fn people_get_the_plan_on_stdout_and_the_rest_on_stderr() {
    let (out, data, talk) = reporter(Format::Text);
    out.propose(&mixed());
    tell_all(&out);
    out.finish(&mixed());
    drop(out);
    assert!(data.text().starts_with("Cluster home: what apply does\n"), "{}", data.text());
    assert!(data.text().ends_with("1 settled.\n"), "{}", data.text());
    assert!(talk.text().contains("attic  base system … done ("), "{}", talk.text());
    assert!(talk.text().contains("\nNot done: 1 step failed"), "{}", talk.text());
}

#[test]
fn json_is_one_document() {
    let (out, data, _) = reporter(Format::Json);
    out.propose(&mixed());
    tell_all(&out);
    out.finish(&mixed());
    let code = out.failure(&Failure::failed("attic did not converge"));
    drop(out);
    assert_eq!(code, exit::FAILED);
    let doc: serde_json::Value = serde_json::from_str(&data.text()).expect("one document");
    assert_eq!(doc["run"]["finished"]["failed"], 1);
}

#[test]
fn a_failure_without_a_document_is_the_document() {
    let (out, data, talk) = reporter(Format::Json);
    let failure = Failure::refused("two of three etcd members are down").on("attic").seen("attic: no route").help("start one");
    assert_eq!(out.failure(&failure), exit::REFUSED);
    drop(out);
    let doc: serde_json::Value = serde_json::from_str(&data.text()).expect("one document");
    assert_eq!(doc["error"]["exit"], 4);
    assert_eq!(doc["error"]["node"], "attic");
    assert_eq!(talk.text(), "error: attic: two of three etcd members are down\n  | attic: no route\n  help: start one\n");
}

#[test]
fn a_mistake_in_a_file_has_its_place_in_both_forms() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inventory.toml");
    std::fs::write(&path, "[cluster]\nnmae = \"home\"\n").unwrap();
    let failure = crate::inventory::read(&path).expect_err("a mistake");
    let (out, data, talk) = reporter(Format::Json);
    assert_eq!(out.failure(&failure), exit::INVENTORY);
    drop(out);
    let doc: serde_json::Value = serde_json::from_str(&data.text()).expect("one document");
    let diagnostic = doc["error"]["diagnostic"].to_string();
    assert!(diagnostic.contains("\"offset\":10"), "{diagnostic}");
    assert!(talk.text().contains("nmae"), "{}", talk.text());
}

#[test]
fn events_are_json_lines_and_nothing_else() {
    let (out, data, talk) = with_options(Options { yes: true, ..options(Format::Events) });
    out.propose(&mixed());
    tell_all(&out);
    out.finish(&mixed());
    assert_eq!(out.failure(&Failure::failed("attic did not converge")), exit::FAILED);
    drop(out);
    let types: Vec<String> = data
        .text()
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).expect("each line is a document")["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(types.len(), 1 + run().len() + 1);
    assert_eq!((types[0].as_str(), types[13].as_str(), types[14].as_str()), ("plan", "finished", "error"));
    assert_eq!(talk.text(), "error: attic did not converge\n");
}

#[test]
fn who_is_asked_sees_the_plan_as_text() {
    for format in [Format::Json, Format::Events] {
        for yes in [false, true] {
            let (out, _, talk) = with_options(Options { yes, ..options(format) });
            out.propose(&mixed());
            drop(out);
            assert_eq!(talk.text().contains("Plan: 1 to create"), !yes, "{format:?}");
        }
    }
}

#[test]
fn a_run_with_nothing_to_do_has_no_summary() {
    let (out, data, talk) = reporter(Format::Text);
    let plan = super::fixture::plan(Vec::new());
    out.propose(&plan);
    out.finish(&plan);
    drop(out);
    assert_eq!(data.text(), "No changes. Every machine is as the inventory says.\n");
    assert_eq!(talk.text(), "");
}

#[test]
fn steps_that_never_began_have_the_plans_titles() {
    let (out, _, talk) = reporter(Format::Text);
    out.propose(&mixed());
    let outcome = Outcome::Failed { what: "blocked".into(), evidence: Vec::new(), help: String::new() };
    out.sink().tell(EventKind::StepEnded { step: StepId::node("attic", "etcd"), outcome });
    drop(out);
    assert_eq!(talk.text(), "attic  etcd member … failed: blocked\n");
}

#[test]
fn a_reader_who_went_away_is_no_error() {
    let talk = Tape::default();
    let output = Output::of(Box::new(Gone), Box::new(talk.clone()), None);
    let out = Reporter::with(options(Format::Text), Face::of(options(Format::Text)), output);
    out.data("lost");
    out.data("lost too");
    out.talk("still said");
    drop(out);
    assert_eq!(talk.text(), "still said\n");
}

#[test]
fn telling_from_many_threads_while_bars_are_drawn_ends() {
    let term = Screen::default();
    let live = Live::on(ProgressDrawTarget::term_like(Box::new(term.clone())));
    let face = Face::Live(crate::report::lines::Lines::new(crate::report::lines::Level::Items, crate::report::style::Paint(false)), live);
    let (data, talk) = (Tape::default(), Tape::default());
    let output = Output::of(Box::new(data.clone()), Box::new(talk.clone()), face.bars());
    let out = Reporter::with(options(Format::Text), face, output);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let out = out.clone();
            scope.spawn(move || {
                for m in 0..50 {
                    out.sink().tell(EventKind::Probing { node: format!("node{n}") });
                    out.talk(&format!("{n} {m}"));
                    out.data("x");
                }
            });
        }
    });
    out.finish(&mixed());
    let late = out.sink();
    drop(out);
    late.tell(EventKind::Connected { node: "attic".into() });
    assert_eq!(data.text().len(), 400);
    assert_eq!(talk.text().lines().filter(|l| l.ends_with("looking")).count(), 400);
    assert_eq!(term.rows(), Vec::<String>::new());
}

#[tokio::test]
async fn without_a_terminal_nobody_is_asked() {
    let (out, _, talk) = reporter(Format::Text);
    // Test runners give no terminal; where one does, there is nothing to test.
    if std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        return;
    }
    let refused = out.confirm("Do it?", "yes").await.expect_err("nobody was asked");
    assert_eq!(refused.exit_code(), exit::USAGE);
    assert!(refused.remedy().is_some_and(|h| h.contains("--yes")));
    assert_eq!(out.yes_or_no("Really?").await.expect("no error"), None);
    drop(out);
    assert_eq!(talk.text(), "");
    let yes = Reporter::with(
        Options { yes: true, ..options(Format::Text) },
        Face::of(options(Format::Text)),
        Output::of(Box::new(Gone), Box::new(Gone), None),
    );
    yes.confirm("Do it?", "yes").await.expect("--yes answers");
}
