//! Walks a [`Plan`](crate::plan::Plan): scripts out, framed replies in, events to whoever listens.
//! Decides nothing: what runs stands in the plan.

mod event;

pub use event::{Event, EventKind, Outcome, Sink};
