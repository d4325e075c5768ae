//! The Kubernetes API over an SSH channel.

mod condition;

pub use condition::Condition;
