//! Ring 5: a fleet of simulated machines. Each is a root directory in which the engine's own scripts run under a real
//! `sh`; `tests/sim/bin` stands in for systemd, packages and the kernel, and keeps their state in files of that root.

mod api;
mod authorities;
mod back;
mod behind;
mod budget;
mod engine;
mod errands;
mod gates;
mod grow;
mod home;
mod host;
mod house;
mod kill;
mod machine;
mod neighbours;
mod quorum;
mod renewed;
mod restoring;
mod sealed;
mod supply;
mod survey;
mod twin;
