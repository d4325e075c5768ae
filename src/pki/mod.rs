//! Certificates and keys: the CAs, the leaves, and what a leaf on a node means. Pure: nothing here touches a disk.

mod bundle;
mod issue;
mod judge;
mod key;
mod leaf;
mod leaves;
mod text;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use bundle::{certificates, without_former};
pub use issue::{BACKDATE, issue, issue_for_a_day, make_authority, reissue};
pub use judge::{begins, has_ended, is_certificate, judge, judge_alone, judge_authority, key_id, same_key, span};
pub use key::{Authority, Pair, ServiceAccountKey, WireGuardKey, encryption_key};
pub use leaf::{Ca, LeafSpec, Usage};
pub use leaves::{CLUSTER, NamedLeaf, leaves, name, visitor};
pub use text::SecretText;
