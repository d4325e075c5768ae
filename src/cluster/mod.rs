//! The resolved model: what the inventory and its lock mean together, with no `Option` that matters.
//!
//! Everything right of here takes a [`Cluster`]; nobody looks at TOML again.

mod lock;
mod lock_file;
mod model;
mod order;
mod program;
mod ran;
mod release;
mod resolve;
#[cfg(test)]
mod tests;

pub use crate::inventory::{Api, Arch, CATALOGUE, HostnamePolicy, Machine, Network, PodNetwork, Policy, Registry, Role, SshTarget, Taint};
pub use lock::Lock;
pub use model::{Addon, AddonSource, Cluster, Node, nth};
pub use program::{Artifact, Component, Programs};
pub use ran::{Part, Ran};
pub use release::{Release, etcd_step, kubelet_step, kubernetes_step};
