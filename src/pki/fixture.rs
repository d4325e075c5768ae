//! What tests of certificates need: a small cluster, and other people's tools.

use crate::cluster::{Cluster, Role};
use crate::house;
use std::io::Write;
use std::process::{Command, Stdio};

/// 2026-11-21T00:00:00Z.
pub(crate) const NOW: i64 = 1_795_219_200;
pub(crate) const DAY: i64 = 24 * 60 * 60;

/// A control plane `attic` (number 1) and a worker `cellar` (number 2).
pub(crate) fn cluster() -> Cluster {
    let mut cluster = house::cluster(vec![house::node(1, "attic", Role::ControlPlane), house::node(2, "cellar", Role::Worker)]);
    cluster.api.names.push("203.0.113.7".into());
    cluster
}

/// Runs a program on `input`: its output, or what it said against it; `None` where the machine has no such program.
pub(crate) fn run(program: &str, args: &[&str], input: &str) -> Option<Result<String, String>> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
        Err(e) => panic!("{program}: {e}"),
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stdout) + &text(&output.stderr)) })
}
