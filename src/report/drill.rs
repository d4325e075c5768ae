//! What a drill observed, and whether all of it held.

use super::Reporter;
use super::backup::BackupReport;
use super::json::FORMAT;
use super::section::section;
use super::style::{Paint, clean, count};
use crate::kube::{Answers, Moved, Short};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The drills that there are: name, what each does, what may be noticed.
pub const DRILLS: [(&str, &str, &str); 3] = [
    (
        "api",
        "one control plane's API server is stopped for half a minute, while the others and every node's way to the API are asked",
        "nothing, with several control planes; with only one, kubectl and controllers wait (it has to be allowed)",
    ),
    (
        "drain",
        "a node is emptied as its pods' budgets allow, and given back",
        "what has one replica only, or its volume on that node, is away until it runs again",
    ),
    ("restore", "a backup is restored where nobody sees it: keys counted and hashed, a Secret opened", "nothing"),
];

/// One drill, at its end.
#[derive(Debug, Clone)]
pub struct Drill {
    pub name: &'static str,
    pub cluster: String,
    /// Whom it was about; empty where no machine was.
    pub node: String,
    /// From its first deed to its last.
    pub seconds: f64,
    pub observed: Observed,
    /// What did not hold; nothing where all did.
    pub wrong: Vec<String>,
    /// Whether somebody stopped it before its time.
    pub interrupted: bool,
}

/// What there was to see.
#[derive(Debug, Clone)]
pub enum Observed {
    /// The way that was away, and all of them.
    Api { victim: String, ways: Vec<Answers> },
    Drain {
        /// Seconds until the node was empty; nothing where it was not.
        emptied: Option<f64>,
        moved: Vec<Moved>,
        short: Vec<Short>,
    },
    Restore {
        backup: Box<BackupReport>,
        /// Seconds since it was taken.
        age: i64,
        /// Seconds: until it was here, and until it was proven.
        took: (f64, f64),
    },
}

impl Drill {
    #[must_use]
    pub fn held(&self) -> bool {
        self.wrong.is_empty() && !self.interrupted
    }

    fn verdict(&self) -> &'static str {
        match () {
            () if !self.wrong.is_empty() => "did not hold",
            () if self.interrupted => "interrupted",
            () => "held",
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self, colour: bool) -> String {
        let paint = Paint(colour);
        let of = if self.node.is_empty() { String::new() } else { format!(" of {}", self.node) };
        let mut out = paint.bold(&format!("Drill {}{of}, cluster {}: {:.1} s", self.name, self.cluster, self.seconds)) + "\n\n";
        match &self.observed {
            Observed::Api { victim, ways } => {
                let head = ["way to the API", "asked", "failed", "longest without an answer", "first failure"];
                section(&mut out, paint, "Asked all the time", &head, ways.iter().map(|way| answers(way, victim)).collect());
            }
            Observed::Drain { emptied, moved, short } => {
                let empty = emptied.map_or_else(|| "it was not emptied".into(), |s| format!("empty after {s:.1} s"));
                let title = format!("{}, {empty}", count(moved.len(), "pod"));
                section(&mut out, paint, "Emptied", &[], vec![vec![title]]);
                section(&mut out, paint, "Moved", &["pod", "is now", "on"], moved.iter().map(heir).collect());
                let rows = short
                    .iter()
                    .map(|s| vec![clean(&s.workload).into_owned(), s.wanted.to_string(), s.fewest.to_string(), format!("{} s", s.seconds)]);
                section(&mut out, paint, "Short of pods", &["workload", "wanted", "fewest", "for"], rows.collect());
            }
            Observed::Restore { backup, age, took } => {
                out += &backup.text();
                let _ = writeln!(out, "It was taken {} ago, at hand after {:.1} s, restored in {:.1} s.\n", span(*age), took.0, took.1);
            }
        }
        section(&mut out, paint, "What did not hold", &[], self.wrong.iter().map(|line| vec![clean(line).into_owned()]).collect());
        let _ = writeln!(out, "The drill {}.", self.verdict());
        out
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let observed = match &self.observed {
            Observed::Api { victim, ways } => json!({ "stopped": victim, "ways": ways.iter().map(way).collect::<Vec<_>>() }),
            Observed::Drain { emptied, moved, short } => json!({ "emptied_after": emptied, "moved": moved, "short": short }),
            Observed::Restore { backup, age, took } => {
                json!({ "backup": backup.json(), "age": age, "at_hand_after": took.0, "restored_in": took.1 })
            }
        };
        json!({
            "format": FORMAT, "drill": self.name, "cluster": self.cluster, "node": self.node, "seconds": self.seconds,
            "verdict": self.verdict(), "wrong": self.wrong, "observed": observed,
        })
    }
}

fn answers(way: &Answers, victim: &str) -> Vec<String> {
    let why = match &way.failure {
        _ if way.way == victim => "(the one that was stopped)".to_owned(),
        Some(seen) => clean(seen).into_owned(),
        None => String::new(),
    };
    vec![way.way.clone(), way.asked.to_string(), way.failed.to_string(), format!("{:.1} s", way.longest.as_secs_f64()), why]
}

fn way(way: &Answers) -> Value {
    json!({ "way": way.way, "asked": way.asked, "failed": way.failed, "longest_gap": way.longest.as_secs_f64(), "first_failure": way.failure })
}

fn heir(moved: &Moved) -> Vec<String> {
    let became = moved.became.clone().unwrap_or_else(|| "nobody made another".into());
    let node = match (&moved.node, &moved.became) {
        (Some(node), _) => node.clone(),
        (None, Some(_)) => "no node takes it".into(),
        (None, None) => String::new(),
    };
    vec![moved.pod.clone(), became, node]
}

/// `3 hours`, of seconds.
fn span(seconds: i64) -> String {
    let of = |n: i64, unit: &str| count(usize::try_from(n).unwrap_or_default(), unit);
    match seconds {
        ..120 => of(seconds, "second"),
        120..7_200 => of(seconds / 60, "minute"),
        7_200..172_800 => of(seconds / 3600, "hour"),
        _ => of(seconds / 86_400, "day"),
    }
}

impl Reporter {
    /// What a drill observed.
    pub fn drill(&self, drill: &Drill) {
        self.settled_data(&drill.text(self.options().colour), &drill.json());
    }

    /// Which drills there are.
    pub fn drills(&self) {
        let mut text = String::from(
            "Drills for your own cluster. Each looks first whether the cluster is whole, says what may be noticed, asks, and tells what it saw.\n",
        );
        for (name, does, noticed) in DRILLS {
            let _ = write!(text, "\n  homectl drill {name}\n    {does}\n    may be noticed: {noticed}\n");
        }
        let list: Vec<Value> =
            DRILLS.iter().map(|(name, does, noticed)| json!({ "drill": name, "does": does, "noticed": noticed })).collect();
        self.settled_data(&text, &json!({ "format": FORMAT, "drills": list }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn drill(observed: Observed, wrong: &[&str]) -> Drill {
        Drill {
            name: "api",
            cluster: "home".into(),
            node: "garage".into(),
            seconds: 36.44,
            observed,
            wrong: wrong.iter().map(ToString::to_string).collect(),
            interrupted: false,
        }
    }

    #[test]
    fn ways_to_the_api() {
        let answers = |way: &str, failed, ms, failure: Option<&str>| Answers {
            way: way.into(),
            asked: 180,
            failed,
            longest: Duration::from_millis(ms),
            failure: failure.map(str::to_owned),
        };
        let ways = vec![
            answers("API server on attic", 0, 210, None),
            answers("API server on garage", 150, 31_200, Some("refused")),
            answers("proxy on shed", 1, 900, Some("reset\x1b")),
        ];
        let drill = drill(Observed::Api { victim: "API server on garage".into(), ways }, &[]);
        let expected = "\
Drill api of garage, cluster home: 36.4 s

Asked all the time
  way to the API        asked  failed  longest without an answer  first failure
  API server on attic   180    0       0.2 s
  API server on garage  180    150     31.2 s                     (the one that was stopped)
  proxy on shed         180    1       0.9 s                      reset\u{fffd}

The drill held.
";
        assert_eq!(drill.text(false), expected);
        let doc = drill.json();
        assert_eq!((&doc["verdict"], &doc["observed"]["ways"][2]["longest_gap"]), (&"held".into(), &0.9.into()));
    }

    #[test]
    fn pods_that_moved() {
        let moved = |pod: &str, became: Option<&str>, node: Option<&str>| Moved {
            pod: pod.into(),
            became: became.map(str::to_owned),
            node: node.map(str::to_owned),
        };
        let observed = Observed::Drain {
            emptied: Some(4.25),
            moved: vec![moved("media/page-a", Some("media/page-c"), Some("cellar")), moved("media/film-0", Some("media/film-0"), None)],
            short: vec![Short { workload: "StatefulSet media/film".into(), wanted: 1, fewest: 0, seconds: 12 }],
        };
        let expected = "\
Drill api of garage, cluster home: 36.4 s

Emptied
  2 pods, empty after 4.2 s

Moved
  pod           is now        on
  media/page-a  media/page-c  cellar
  media/film-0  media/film-0  no node takes it

Short of pods
  workload                wanted  fewest  for
  StatefulSet media/film  1       0       12 s

What did not hold
  StatefulSet media/film did not come back

The drill did not hold.
";
        let drill = drill(observed, &["StatefulSet media/film did not come back"]);
        assert_eq!(drill.text(false), expected);
        assert!(!drill.held());
        assert_eq!(drill.json()["observed"]["moved"][1]["node"], Value::Null);
    }

    #[test]
    fn spans() {
        assert_eq!([1, 119, 7199, 7200, 172_800].map(span), ["1 second", "119 seconds", "119 minutes", "2 hours", "2 days"]);
    }
}
