//! Subscribers: what a person or a program sees of plans, events and states. The only module that prints.
//!
//! Data goes to stdout, talk to stderr. Text and JSON are made from the same values, so they cannot disagree.

mod backup;
mod calendar;
mod certificates;
mod check;
mod drill;
mod explain;
mod face;
mod failure;
pub mod github;
mod journal;
mod json;
mod lines;
mod live;
mod options;
mod output;
mod plan;
mod prompt;
mod reporter;
mod section;
mod status;
mod style;
mod summary;
mod tally;
#[cfg(test)]
mod tests;

pub use backup::{BackupReport, Copy};
pub use calendar::calendar;
pub use certificates::{Certificate, Certificates, Renewal};
pub use check::{Check, Finding, Link, LinkState, MachineCheck};
pub use drill::{DRILLS, Drill, Observed};
pub use journal::Journal;
pub use json::plan as plan_json;
pub use options::{Format, Options};
pub use output::exit_on_panic;
pub use plan::plan_text;
pub use reporter::Reporter;
pub use status::{EtcdStatus, LinkStatus, NodeStatus, SnapshotStatus, Status};
