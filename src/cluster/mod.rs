//! The resolved model: what the inventory and its lock mean together, with no `Option` that matters.
//!
//! Everything right of here takes a [`Cluster`]; nobody looks at TOML again.

mod lock;
mod model;
mod program;

pub use lock::Lock;
pub use model::{
    Addon, AddonSource, Api, Cluster, HostnamePolicy, Network, Node, PodNetwork, Policy, Registry, Role, SshTarget, Taint, nth,
};
pub use program::{Arch, Artifact, Component, Programs};
