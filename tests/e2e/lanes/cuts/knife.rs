//! What cuts a run, and when: dice, the moment, the deed, and the mending.

use crate::Result;
use crate::checks::Cluster;
use crate::lanes::dice::Dice;
use crate::lanes::lane;
use crate::scene::{ensure, eventually};
use crate::shell::{Ran, run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Read;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// Chance, and every way once before any comes again.
pub(super) struct Deck {
    dice: Dice,
    left: Vec<How>,
}

impl Deck {
    pub(super) fn of(dice: Dice) -> Self {
        Self { dice, left: Vec::new() }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.dice.below(end)
    }

    fn way(&mut self) -> How {
        if self.left.is_empty() {
            self.left = vec![How::Killed, How::Power, How::Cable, How::CtrlC];
        }
        self.dice.draw(&mut self.left).unwrap_or(How::Killed)
    }
}

/// A way to cut a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    /// SIGKILL of homectl.
    Killed,
    /// Every process of a machine dies at once; it is switched on again.
    Power,
    /// A machine's cable is out until homectl has given up: nothing is refused, nothing answers.
    Cable,
    /// SIGINT of homectl.
    CtrlC,
}

/// One cut, drawn before the run begins.
pub(super) struct Knife<'a> {
    cluster: &'a Cluster<'a>,
    how: How,
    /// Whose power or cable it is when the API is being worked on.
    node: &'static str,
    /// In millionths: which of the events that are open to this cut.
    at: u64,
    /// The cuts of the chain from this one on; 0: at the first end or beginning of a step that was not tried yet.
    left: u64,
    late: Duration,
    seen: Moments,
    made: Option<Made>,
}

/// Where a run is.
#[derive(Default)]
struct Moments {
    /// Of this run, as its plan foretells.
    due: u64,
    heard: u64,
    /// What had failed before anything was cut.
    wrong: Vec<String>,
}

struct Made {
    at: String,
    node: &'static str,
    when: Instant,
    trouble: Option<String>,
    /// Since when homectl has given the machine up.
    given_up: Option<Instant>,
    stopped: bool,
}

impl<'a> Knife<'a> {
    pub(super) fn new(cluster: &'a Cluster<'a>, dice: &mut Deck, left: usize) -> Self {
        let names = cluster.names();
        let node = names[usize::try_from(dice.below(names.len() as u64)).unwrap_or(0)];
        let (how, at, late) = (dice.way(), dice.below(1_000_000), Duration::from_millis(dice.below(300)));
        Self { cluster, how, node, at, left: left as u64, late, seen: Moments::default(), made: None }
    }

    /// A run begins.
    pub(super) fn begin(&mut self) {
        self.seen = Moments::default();
    }

    pub(super) fn made(&self) -> bool {
        self.made.is_some()
    }

    /// One line of `--events` of homectl, whose process id is `id`.
    pub(super) fn hear(&mut self, line: &str, id: u32, tried: &mut BTreeSet<String>) {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            return self.seen.wrong.push(format!("no JSON: {line}"));
        };
        let kind = event["type"].as_str().unwrap_or_default();
        if let Some(made) = &mut self.made {
            return made.hear(&event, id);
        }
        match kind {
            "plan" => self.seen = Moments { due: moments(&event["plan"]), ..Moments::default() },
            "step-began" | "item-done" | "step-ended" => {
                if kind == "step-ended" && event["outcome"]["outcome"] != "done" {
                    self.seen.wrong.push(line.to_owned());
                }
                self.seen.heard += 1;
                let (name, addr) = (event["step"]["name"].as_str().unwrap_or_default(), event["addr"].as_str().unwrap_or_default());
                let place = format!("{kind} {} {name} {addr}", lane(&event["step"]));
                let due = (self.seen.due * self.at / 1_000_000).checked_div(self.left);
                let now = due.map_or_else(|| kind != "item-done" && tried.insert(place.clone()), |due| self.seen.heard > due);
                if now {
                    let node = self.cluster.names().into_iter().find(|name| *name == lane(&event["step"])).unwrap_or(self.node);
                    self.cut(place, node, id);
                }
            }
            _ => {}
        }
    }

    fn cut(&mut self, at: String, node: &'static str, id: u32) {
        std::thread::sleep(self.late);
        let when = Instant::now();
        let lab = self.cluster.lab;
        let done = match self.how {
            How::Killed => signal("KILL", id),
            How::CtrlC => signal("INT", id),
            How::Power => lab.each("kill", &[node]).and_then(|()| lab.each("start", &[node])),
            How::Cable => lab.each("unplug", &[node]),
        };
        self.made = Some(Made { at, node, when, trouble: done.err(), given_up: None, stopped: false });
    }

    /// Puts right what is not homectl's to put right, and holds the run to how such a run must end. What was cut; nothing where
    /// the run was over before.
    pub(super) fn end(self, ran: &Ran) -> Result<Option<String>> {
        ensure(self.seen.wrong.is_empty(), || format!("went wrong before it was cut: {}\n{}", self.seen.wrong.join("\n"), ran.seen()))?;
        let Some(made) = self.made else {
            return if ran.code == Some(0) { Ok(None) } else { Err(ran.seen()) };
        };
        let took = made.when.elapsed();
        match self.how {
            How::Cable => self.cluster.lab.each("plug", &[made.node])?,
            How::Power => answers(self.cluster, made.node)?,
            How::Killed | How::CtrlC => {}
        }
        made.trouble.map_or(Ok(()), Err)?;
        // Cut behind its last act a run has ended well.
        let due: &[Option<i32>] = match self.how {
            How::Killed => &[None, Some(0)],
            How::CtrlC => &[Some(130), Some(0)],
            How::Power | How::Cable => &[Some(1), Some(130), Some(0)],
        };
        let told = format!("{:?} at {} ({}), ended {:.1} s later", self.how, made.at, made.node, took.as_secs_f64());
        ensure(due.contains(&ran.code), || format!("{told}: {}", ran.seen()))?;
        // What goes on without the machine may take as long as it takes.
        ensure(ran.code == Some(0) || took < Duration::from_mins(3), || format!("{told}: {}", ran.seen()))?;
        Ok(Some(told))
    }
}

impl Made {
    /// What others wait for when a machine was given up may take them minutes, up to the deadline: nobody sits that out.
    fn hear(&mut self, event: &Value, id: u32) {
        let failed = event["outcome"]["outcome"] == "failed" && lane(&event["step"]) == self.node;
        if self.given_up.is_none() && failed {
            self.given_up = Some(Instant::now());
        }
        if !self.stopped && self.given_up.is_some_and(|since| since.elapsed() > Duration::from_secs(3)) {
            self.stopped = true;
            self.trouble = self.trouble.take().or(signal("INT", id).err());
        }
    }
}

/// It may just have ended.
fn signal(name: &str, id: u32) -> Result {
    run(Command::new("kill").args(["-s", name, &id.to_string()]), &[], Duration::from_secs(5)).map(drop)
}

/// Events that a plan foretells: its steps' beginnings and ends, and their items.
fn moments(plan: &Value) -> u64 {
    let steps = plan["steps"].as_array().into_iter().flatten();
    let acting = steps.map(|step| {
        let items = step["items"].as_array().into_iter().flatten();
        items.filter(|item| ["change", "deferred"].iter().any(|verdict| item["verdict"] == *verdict)).count() as u64
    });
    acting.filter(|items| *items > 0).map(|items| items + 2).sum()
}

/// A machine that was switched on again takes logins.
fn answers(cluster: &Cluster, node: &str) -> Result {
    let host = cluster.nodes.iter().find(|n| n.name == node).map_or(0, |n| n.host);
    let address = format!("{}:22", cluster.lab.address(host)).parse().map_err(|error| format!("{node}: {error}"))?;
    eventually(60, &format!("{node} is back"), || {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).map_err(|error| error.to_string())?;
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).map_err(|error| error.to_string())?;
        ensure(greeting == *b"SSH-", || format!("it says {greeting:?}"))
    })
    .map(drop)
}
