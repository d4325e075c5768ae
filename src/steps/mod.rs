//! The product: the ordered list of what makes a node, one file a step.

mod absent;
mod acquaint;
mod api_proxy;
mod apiserver;
mod approver;
#[cfg(test)]
mod approver_tests;
mod base;
mod behind;
mod came_up;
mod cni;
mod controller_manager;
mod depart;
mod etcd;
mod etcd_check;
mod etcd_cluster;
mod etcd_join;
mod etcd_majority;
mod etcd_members;
mod etcd_recorded;
mod firewall;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod golden;
mod hostname;
mod identity;
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
#[cfg(test)]
mod renewal_tests;
mod renewed;
mod restore;
mod rewrite;
mod runtime;
mod scheduler;
mod sealed;
mod serving;
mod snapshots;

pub use absent::absent;
pub use acquaint::acquaint;
pub use behind::{check as check_secrets, knows as knows_secrets_of};
pub use came_up::CAME_UP;
pub use depart::{DISMISSAL, depart, dismissal};
pub use etcd_check::{RUNBOOK, arithmetic, check as check_etcd, founding_id, without};
pub use etcd_majority::{majority, restarts, sick};
pub use etcd_members::{Told, answered, member_at, members_script, whom_to_ask};
pub use model::{Ctx, Lane, Mode, Ready, Step, StepId, Test};
pub use node::{node, warnings};
pub use renewed::renewed;
pub use restore::{RESTORE, Restore, Source, check as check_restore, revision, revision_script, revisions};
pub use sealed::sealed;
pub use snapshots::FOLDER as SNAPSHOTS;
pub use snapshots::before as snapshot_before;
