//! Walks a [`Plan`](crate::plan::Plan): scripts out, framed replies in, events to whoever listens.
//! Decides nothing: what runs stands in the plan.

mod api_lane;
mod batch;
mod board;
mod event;
mod install;
mod lane;
mod run;

pub use api_lane::{ApiLane, UNSEEN, Unseated};
pub use event::{Event, EventKind, Outcome, Sink};
pub use install::{Supplied, Supply};
pub use run::{BLOCKED, FailedStep, LOST, Report, Run};
