//! The reporter: what verbs talk to. A thread of its own owns the streams and turns events into lines, bars or JSON
//! lines, so that no connection ever waits for a terminal.

use super::output::Output;
use super::{
    Certificates, Check, Format, Options, explain, face::Face, failure, journal, json, plan, status::Status, summary, tally::Tally,
};
use crate::error::{Failure, Result};
use crate::exec::{Event, EventKind, Sink};
use crate::plan::Plan;
use crate::steps::StepId;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Instant;

/// Everything that a verb shows goes through here. Cheap to clone, usable from any task.
#[derive(Clone)]
pub struct Reporter(Arc<Shared>);

struct Shared {
    options: Options,
    started: Instant,
    queue: Sender<Message>,
    thread: Option<JoinHandle<()>>,
    /// Whether anything went to stdout: decides who writes the document that `--json` promises.
    told: AtomicBool,
}

/// What the thread is asked to do, in order.
pub(super) enum Message {
    Event(Event),
    /// What the plan calls its steps.
    Titles(BTreeMap<StepId, String>),
    /// To stdout.
    Data(String),
    /// To stderr.
    Talk(String),
    /// Somebody is typing: events wait until the answer was given.
    Hold(bool),
    /// Bars away; answered with what was counted so far, once all before it was written.
    Settle(Sender<Tally>),
    Close,
}

impl Reporter {
    /// A reporter on the process's own streams.
    #[must_use]
    pub fn new(options: Options) -> Self {
        failure::install(options.colour_talk);
        let face = Face::of(options);
        let output = Output::process(face.bars());
        Self::with(options, face, output)
    }

    pub(super) fn with(options: Options, face: Face, output: Output) -> Self {
        let (queue, inbox) = mpsc::channel();
        let thread = Some(std::thread::spawn(move || listen(&inbox, face, output)));
        Self(Arc::new(Shared { options, started: Instant::now(), queue, thread, told: AtomicBool::new(false) }))
    }

    /// Finds this reporter for as long as it lives.
    pub(super) fn downgrade(&self) -> impl Fn() -> Option<Self> + Send + Sync + 'static {
        let weak = Arc::downgrade(&self.0);
        move || weak.upgrade().map(Self)
    }

    /// What was asked for.
    #[must_use]
    pub fn options(&self) -> Options {
        self.0.options
    }

    /// Where events go; never waits.
    #[must_use]
    pub fn sink(&self) -> Sink {
        let (queue, started) = (self.0.queue.clone(), self.0.started);
        Sink::new(move |kind: EventKind| {
            let at = started.elapsed().as_secs_f64();
            queue.send(Message::Event(Event { at, kind })).ok();
        })
    }

    /// Text for stdout, as it is: a kubeconfig, a completion script.
    pub fn data(&self, text: impl Into<String>) {
        self.0.told.store(true, Ordering::Relaxed);
        self.0.queue.send(Message::Data(text.into())).ok();
    }

    /// The document for stdout under `--json`.
    pub fn document(&self, value: &Value) {
        self.data(format!("{value:#}\n"));
    }

    /// A line (or lines) for people, on stderr.
    pub fn talk(&self, line: &str) {
        self.0.queue.send(Message::Talk(format!("{line}\n"))).ok();
    }

    /// Talk before the process ends itself: returns once it is written and the bars are away.
    pub fn last_words(&self, line: &str) {
        self.talk(line);
        self.settle();
    }

    /// Something with a place in a file that a person should know, on stderr: an inventory's warning.
    pub fn warning(&self, report: &miette::Report) {
        self.talk(format!("{report:?}").trim_end());
    }

    /// A plan that is the whole answer (`homectl plan`), in the form that was asked for.
    pub fn show_plan(&self, plan: &Plan) {
        self.settle();
        match self.options().format {
            Format::Text => self.data(self.plan_text(plan)),
            Format::Json => self.document(&json::plan(plan)),
            Format::Events => self.data(format!("{}\n", json::plan_event(plan))),
        }
    }

    /// A plan that is about to run. Under `--json` it is part of the closing document, so nothing goes to stdout now;
    /// a person who is going to be asked sees it as text in any case.
    pub fn propose(&self, plan: &Plan) {
        let titles = plan.steps.iter().map(|s| (s.id.clone(), s.title.clone())).collect();
        self.0.queue.send(Message::Titles(titles)).ok();
        let format = self.options().format;
        if format != Format::Json {
            self.show_plan(plan);
        }
        if format != Format::Text && !self.options().yes {
            self.talk(self.plan_text(plan).trim_end());
        }
    }

    /// Closes a run, also one that had nothing to do: bars away, the summary on stderr; under `--json` the plan and
    /// what became of it on stdout.
    pub fn finish(&self, plan: &Plan) {
        let tally = self.settle();
        if self.options().format == Format::Json {
            self.document(&json::run(plan, &tally));
        }
        if self.options().format != Format::Events && (tally.finished.is_some() || plan.counts().changes() > 0) {
            self.talk(&summary::summary_text(plan, &tally, self.options().colour_talk));
        }
    }

    fn plan_text(&self, plan: &Plan) -> String {
        plan::plan_text(plan, self.options().verbose, self.options().colour)
    }

    /// What is true now.
    pub fn status(&self, status: &Status) {
        self.settle();
        match self.options().format {
            Format::Text => self.data(status.text(self.options().colour)),
            Format::Json => self.document(&status.json()),
            Format::Events => self.data(format!("{}\n", status.json())),
        }
    }

    /// Every certificate.
    pub fn certificates(&self, certificates: &Certificates) {
        self.settle();
        match self.options().format {
            Format::Text => self.data(certificates.text(self.options().colour)),
            Format::Json => self.document(&certificates.json()),
            Format::Events => self.data(format!("{}\n", certificates.json())),
        }
    }

    /// What stands in the machines' way.
    pub fn check(&self, check: &Check) {
        self.settle();
        match self.options().format {
            Format::Text => self.data(check.text(self.options().colour)),
            Format::Json => self.document(&check.json()),
            Format::Events => self.data(format!("{}\n", check.json())),
        }
    }

    /// What the last run on this computer did.
    pub fn last_run(&self) -> Result<()> {
        let lines = journal::last()?;
        match self.options().format {
            Format::Text => self.data(journal::text(&lines)),
            Format::Json => self.document(&Value::Array(lines)),
            Format::Events => lines.iter().for_each(|line| self.data(format!("{line}\n"))),
        }
        Ok(())
    }

    /// The exit codes, or one of them.
    pub fn explain(&self, code: Option<u8>) -> Result<()> {
        match self.options().format {
            Format::Text => self.data(explain::text(code)?),
            Format::Json | Format::Events => self.document(&explain::json(code)?),
        }
        Ok(())
    }

    /// A failure that ends the verb: to stderr, under `--json` as the document when there was none yet, under `--events`
    /// as the last line.
    /// Returns the exit code.
    #[must_use]
    pub fn failure(&self, failure: &Failure) -> u8 {
        self.settle();
        match self.options().format {
            Format::Json if !self.0.told.load(Ordering::Relaxed) => self.document(&failure::json(failure)),
            Format::Events => self.data(format!("{}\n", failure::event(failure))),
            Format::Json | Format::Text => {}
        }
        self.talk(&failure::text(failure, self.options().colour_talk));
        failure.exit_code()
    }

    /// Asks on stderr, after everything that was said before. What happens meanwhile is shown after [`Self::asked`].
    pub(super) fn ask(&self, question: String) {
        self.settle();
        self.0.queue.send(Message::Talk(question)).ok();
        self.0.queue.send(Message::Hold(true)).ok();
    }

    /// The answer was given.
    pub(super) fn asked(&self) {
        self.0.queue.send(Message::Hold(false)).ok();
    }

    /// Bars away, all before this written; what was counted so far.
    pub(super) fn settle(&self) -> Tally {
        let (answer, done) = mpsc::channel();
        self.0.queue.send(Message::Settle(answer)).ok();
        done.recv().unwrap_or_default()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.send(Message::Close).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// The thread: one message after the other; between them the bars' seconds go on.
fn listen(inbox: &Receiver<Message>, mut face: Face, mut output: Output) {
    let mut tally = Tally::default();
    let mut held: Option<Vec<Event>> = None;
    loop {
        let message = match face.tick().filter(|_| held.is_none()) {
            Some(interval) => inbox.recv_timeout(interval),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match message {
            Ok(Message::Event(event)) => {
                tally.hear(&event);
                match &mut held {
                    Some(held) => held.push(event),
                    None => face.hear(&event, &tally, &mut output),
                }
            }
            Ok(Message::Hold(true)) => held = held.or_else(|| Some(Vec::new())),
            Ok(Message::Hold(false)) => {
                held.take().into_iter().flatten().for_each(|event| face.hear(&event, &tally, &mut output));
            }
            Ok(Message::Titles(titles)) => tally.titles = titles,
            Ok(Message::Data(text)) => output.data(&text),
            Ok(Message::Talk(text)) => output.talk(&text),
            Ok(Message::Settle(answer)) => {
                face.pause();
                answer.send(tally.clone()).ok();
            }
            Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => face.redraw(),
        }
    }
    face.pause();
}
