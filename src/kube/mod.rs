//! The Kubernetes API over an SSH channel: a thin client, what it serves, and evidence that things are up.
//!
//! Errors are [`ApiError`]s with the API's own status, reason and message. Calls are tried again where that can help;
//! none takes longer than a minute and a half.

mod answers;
mod api;
mod condition;
mod drain;
mod error;
mod guests;
mod lease;
mod moves;
mod nodes;
mod objects;
mod replicas;
mod resource;
mod settle;
mod trust;
mod tunnel;
mod workload;

pub use answers::{Answers, Asking, silent};
pub use api::{Api, ApiCounters, FIELD_MANAGER};
pub use condition::Condition;
pub use drain::{CORDONED, is_cordoned_by_us};
pub use error::ApiError;
pub use guests::{Away, Guest, Leaving};
pub use moves::{Lodged, Moved, moved};
pub use nodes::NodeStatus;
pub use objects::Propagation;
pub use replicas::{Replicas, Short, Shortage};
pub use resource::{Resource, split};
pub use trust::Holder;
pub use tunnel::{Credentials, SERVER_NAME, Target};
