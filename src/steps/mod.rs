//! The product: the ordered list of what makes a node, one file a step.

mod api_proxy;
mod apiserver;
mod approver;
mod base;
mod cni;
mod controller_manager;
mod etcd;
mod firewall;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod golden;
mod hostname;
mod kube_proxy;
mod kube_router;
mod kubeconfig;
mod kubelet;
mod model;
mod node;
mod overlay;
mod packages;
mod pki;
mod programs;
mod renewal;
mod runtime;
mod scheduler;
mod snapshots;

pub use model::{Ctx, Lane, Mode, Ready, Step, StepId, Test};
pub use node::{node, warnings};
