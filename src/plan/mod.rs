//! The plan: what stands between the machines and the inventory, complete before anything is touched, and exactly
//! what apply runs. Pure: steps and observations in, a [`Plan`] out.

mod diff;
mod footing;
mod graph;
mod model;
mod policy;
mod rollout;

pub use diff::{Draft, Observed, diff, diff_moving};
pub use footing::{Footing, Footings, moved};
pub use model::{Counts, Item, NotCompared, Plan, PlannedStep};
pub use rollout::{Move, Place, Rollout, SNAPSHOT, lost, part_of};
