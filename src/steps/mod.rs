//! The product: the ordered list of what makes a node, one file a step.

mod model;

pub use model::{Ctx, Lane, Mode, Ready, Step, StepId, Test};
