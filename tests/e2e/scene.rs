//! What a lane tells while it runs: its phases, what failed in them, what was measured.

use crate::Result;
use std::cell::RefCell;
use std::io::Write;
use std::time::{Duration, Instant};

/// Straight to stderr, so that a long run is not silent.
pub(crate) fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// A lane at work.
pub(crate) struct Scene {
    pub(crate) lane: &'static str,
    started: Instant,
    only: Vec<String>,
    failures: RefCell<Vec<String>>,
    skipped: RefCell<Vec<String>>,
    figures: RefCell<Vec<(String, String)>>,
}

impl Scene {
    pub(crate) fn new(lane: &'static str, about: &str) -> Self {
        say(&format!("\n== {lane}: {about}"));
        let only = std::env::var("HOMECTL_E2E_ONLY").unwrap_or_default();
        let only = only.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        Self { lane, started: Instant::now(), only, failures: RefCell::default(), skipped: RefCell::default(), figures: RefCell::default() }
    }

    /// Something that the rest of the lane stands on: its failure ends the lane.
    pub(crate) fn step(&self, what: &str, act: impl FnOnce() -> Result) -> Result {
        self.phase(what, act)
    }

    /// Something that is proven by itself: its failure is kept and the lane goes on.
    pub(crate) fn check(&self, what: &str, act: impl FnOnce() -> Result) {
        if let Err(error) = self.phase(what, act) {
            self.failures.borrow_mut().push(error);
        }
    }

    fn phase(&self, what: &str, act: impl FnOnce() -> Result) -> Result {
        if !self.only.is_empty() && !self.only.iter().any(|word| what.contains(word.as_str())) {
            self.skipped.borrow_mut().push(what.to_owned());
            return Ok(());
        }
        say(&format!("-- {}: {what}", self.lane));
        let from = Instant::now();
        let result = act();
        let took = from.elapsed().as_secs_f64();
        match result {
            Ok(()) => say(&format!("   ok, {took:.1} s")),
            Err(error) => {
                let error = format!("{}: {what}: {error}", self.lane);
                say(&format!("   FAILED after {took:.1} s: {error}"));
                return Err(error);
            }
        }
        Ok(())
    }

    /// A word in between.
    pub(crate) fn say(&self, text: &str) {
        say(&format!("   {}: {text}", self.lane));
    }

    /// A time worth reporting; `what` says of what, in seconds.
    pub(crate) fn figure(&self, what: &str, took: Duration) {
        let number = format!("{:.2}", took.as_secs_f64());
        say(&format!("   {what}: {number}"));
        self.figures.borrow_mut().push((what.to_owned(), number));
    }

    /// The lane's last words; whether all of it held.
    pub(crate) fn finish(&self, result: Result) -> bool {
        let mut failures = self.failures.take();
        failures.extend(result.err());
        let figures = self.figures.take();
        self.write_figures(&figures);
        for (what, number) in &figures {
            say(&format!("   {}: {what}: {number}", self.lane));
        }
        for failure in &failures {
            say(&format!("   FAILED {failure}"));
        }
        let skipped = self.skipped.take();
        if !skipped.is_empty() {
            say(&format!("   left out by HOMECTL_E2E_ONLY: {}", skipped.join("; ")));
        }
        let took = self.started.elapsed().as_secs();
        let verdict = if failures.is_empty() { "ok".into() } else { format!("{} failed", failures.len()) };
        say(&format!("== {}: {verdict}, {took} s", self.lane));
        failures.is_empty()
    }

    fn write_figures(&self, figures: &[(String, String)]) {
        let Some(path) = std::env::var_os("HOMECTL_E2E_FIGURES") else { return };
        let lines: Vec<String> = figures.iter().map(|(what, number)| format!("{}\t{what}\t{number}\n", self.lane)).collect();
        let text = lines.concat();
        let written =
            std::fs::OpenOptions::new().create(true).append(true).open(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        if let Err(error) = written {
            say(&format!("   figures could not be written: {error}"));
        }
    }
}

/// Tries until it holds; what it gave, and after how long. At the deadline: what was seen last.
pub(crate) fn eventually<T>(seconds: u64, what: &str, mut look: impl FnMut() -> Result<T>) -> Result<(T, Duration)> {
    let from = Instant::now();
    loop {
        match look() {
            Ok(value) => return Ok((value, from.elapsed())),
            Err(seen) if from.elapsed().as_secs() >= seconds => {
                return Err(format!("{what}: not within {seconds} s; last seen: {seen}"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(250)),
        }
    }
}

/// `act` for each at once; all that failed.
pub(crate) fn at_once<T: Sync>(all: &[T], act: impl Fn(&T) -> Result + Sync) -> Result {
    let results: Vec<Result> = std::thread::scope(|scope| {
        let threads: Vec<_> = all.iter().map(|one| scope.spawn(|| act(one))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("the check itself broke".into()))).collect()
    });
    let wrong: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n      ")) }
}

/// `Err(said)` unless it holds.
pub(crate) fn ensure(holds: bool, said: impl FnOnce() -> String) -> Result {
    if holds { Ok(()) } else { Err(said()) }
}
