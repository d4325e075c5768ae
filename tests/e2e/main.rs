//! The lab ring: real machines, a real cluster, and proofs by tools that are not ours (kubectl, etcdctl, openssl, wg, nft, nmap, stat).
//!
//! Lanes run one after the other, each in a lab of its own; `HOMECTL_E2E=three,one cargo test --test e2e` names those to run.
//! Without it nothing is run and nothing is claimed. What else is read from the environment:
//!
//! | variable | |
//! |---|---|
//! | `HOMECTL_E2E_ONLY` | only phases whose name holds one of these words (comma-separated); the lane then proves nothing as a whole |
//! | `HOMECTL_E2E_KEEP` | the lab stays up after a failure, and an existing one is used as it is |
//! | `HOMECTL_E2E_FIGURES` | a file to which measured numbers are appended, one `lane<TAB>what<TAB>number` a line |
//! | `HOMECTL_E2E_CUTS` | lane `cuts`: cuts in each chain, or `all`: at both ends of every step |
//! | `HOMECTL_E2E_POWER` | lane `drills`: how often all power is cut, 20 if unset |
//! | `HOMECTL_E2E_SEED` | lanes `cuts`, `drills` and `four`: a number that an earlier run printed, to draw the same ways and moments again |
//! | `LAB_NAME`, `LAB_SUBNET` | the lab's, `e2e` and 198.19.7.0/24 if unset |

mod checks;
mod homectl;
mod kubectl;
mod lab;
mod lanes;
mod scene;
mod shell;
mod tree;

use scene::{Scene, say};
use std::process::ExitCode;

/// A test ends with what was wrong, in words.
type Result<T = ()> = std::result::Result<T, String>;

fn main() -> ExitCode {
    // `cargo test` hands its filter to every test program, and editors ask for a list.
    if std::env::args().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    let asked = std::env::var("HOMECTL_E2E").unwrap_or_default();
    let asked: Vec<&str> = asked.split(',').map(str::trim).filter(|lane| !lane.is_empty()).collect();
    let names: Vec<&str> = lanes::ALL.iter().map(|lane| lane.name).collect();
    if let Some(unknown) = asked.iter().find(|lane| !names.contains(lane)) {
        say(&format!("e2e: there is no lane '{unknown}'; there are: {}", names.join(", ")));
        return ExitCode::FAILURE;
    }
    let mut failed = Vec::new();
    for lane in lanes::ALL.iter().filter(|lane| asked.contains(&lane.name)) {
        let scene = Scene::new(lane.name, lane.about);
        let result = (lane.run)(&scene);
        if !scene.finish(result) {
            failed.push(lane.name);
        }
    }
    let idle: Vec<&str> = names.iter().copied().filter(|name| !asked.contains(name)).collect();
    if !idle.is_empty() {
        say(&format!("e2e: NOT RUN: {} (nothing is known of them; HOMECTL_E2E={} runs them in the lab)", idle.join(", "), idle.join(",")));
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    say(&format!("e2e: FAILED: {}", failed.join(", ")));
    ExitCode::FAILURE
}
