//! homectl: one TOML file → a complete, honest plan → exactly that plan, on all machines at once → proof.
//!
//! The modules form one line; each may import only from those to its left
//! (a test in `tests/house.rs` holds them to it):
//!
//! `error, whole, template, inventory, cluster, artifacts, pki, secrets, backup, ssh, kube, want, facts, os, steps, addons, plan, exec, cli, report, verbs`
//!
//! ```text
//! toml text → inventory::Raw → cluster::Cluster ~> facts::Facts → steps::all : Vec<Step> ~> want::Seen
//!           → plan::diff : Plan ~> exec::run : Stream<Event> → report
//! ```
//! Each arrow is a function; only `~>` does I/O.

pub mod addons;
pub mod artifacts;
pub mod backup;
pub mod cli;
pub mod cluster;
pub mod error;
pub mod exec;
pub mod facts;
pub mod inventory;
pub mod kube;
pub mod os;
pub mod pki;
pub mod plan;
pub mod report;
pub mod secrets;
pub mod ssh;
pub mod steps;
pub mod template;
pub mod verbs;
pub mod want;
pub mod whole;

// What tests inside and outside of the crate share speaks of it by its name.
#[cfg(test)]
extern crate self as homectl;

#[cfg(test)]
#[path = "../tests/fixture/house.rs"]
mod house;

#[cfg(test)]
#[path = "../tests/fixture/scenes.rs"]
mod scenes;
