//! What `homectl check` shows.

use crate::report::{Check, Finding, Link, LinkState, MachineCheck};

fn machine(name: &str, fsync_ms: Option<f64>) -> MachineCheck {
    MachineCheck {
        name: name.into(),
        role: "worker".into(),
        reachable: true,
        system: "Debian GNU/Linux 13 (trixie)".into(),
        kernel: "6.12.0".into(),
        arch: "amd64".into(),
        memory_mib: Some(3900),
        free_mib: Some(51_200),
        skew: Some(-1),
        fsync_ms,
    }
}

fn finding(node: &str, warning: bool, what: &str, evidence: &[&str], help: &str) -> Finding {
    let evidence = evidence.iter().map(ToString::to_string).collect();
    Finding { node: node.into(), topic: "disk".into(), warning, what: what.into(), evidence, help: help.into() }
}

fn check() -> Check {
    let off = MachineCheck { reachable: false, ..machine("cabin", None) };
    Check {
        cluster: "home".into(),
        machines: vec![machine("attic", Some(1.25)), machine("barn", None), off],
        links: vec![Link { a: "attic".into(), b: "barn".into(), state: LinkState::Broken, seen: "no datagram arrived".into() }],
        findings: vec![
            finding("attic", false, "its clock is wrong", &["one", "two\u{1b}[2J"], "mend it"),
            finding("attic", true, "its disk is slow", &[], "buy one"),
            finding("cabin", false, "it does not answer", &[], ""),
        ],
    }
}

#[test]
fn every_machine_with_all_of_its_problems() {
    assert_eq!(
        check().text(false),
        "\
Cluster home

Machines
  name   system                        kernel  arch   memory   free      clock  write
  attic  Debian GNU/Linux 13 (trixie)  6.12.0  amd64  3.8 GiB  50.0 GiB  -1 s   1.2 ms
  barn   Debian GNU/Linux 13 (trixie)  6.12.0  amd64  3.8 GiB  50.0 GiB  -1 s   -
  cabin  not looked at

Overlay
  attic - barn  BROKEN  no datagram arrived

attic
  error: its clock is wrong
    | one
    | two\u{fffd}[2J
    help: mend it
  warning: its disk is slow
    help: buy one

cabin
  error: it does not answer

3 machines, 2 errors, 1 warning.
"
    );
    assert_eq!(check().json()["failures"], 2);
    assert_eq!(check().json()["links"][0]["state"], "broken");
}

#[test]
fn nothing_in_the_way() {
    let mut well = check();
    well.findings.retain(|f| f.warning);
    assert!(well.text(false).ends_with("\n3 machines, nothing in the way, 1 warning.\n"));
    well.findings.clear();
    assert!(well.text(false).ends_with("\n3 machines, nothing in the way.\n"));
}
