//! `drill`: what a cluster withstands, tried on purpose: an API server away, a node emptied, a backup restored aside.

mod api;
mod drain;
mod restore;
mod stage;
mod verb;

pub(super) use verb::run;
