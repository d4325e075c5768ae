//! Whether the machines can be nodes at all, told for all of them at once, before anything is planned: from their facts for
//! every plan, and from a closer look at all of them (`check`) or at those that are new (`apply`).

mod closer;
mod finding;
mod fleet;
mod ground;
mod machine;
mod reach;
mod reading;
#[cfg(test)]
mod tests;

pub(super) use closer::look;
pub(super) use finding::Findings;
pub(super) use machine::{SKEW, check};
pub(super) use reading::Reading;
