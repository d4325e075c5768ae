//! Screens as they are, from values made by hand.

mod check_screen;
mod event_lines;
pub(super) mod fixture;
mod json_form;
mod plan_screen;
mod reporter_streams;
mod rows;
mod screen;
mod state_screen;
