//! Certificates and keys: the CAs, the leaves, and what a leaf on a node means.

mod leaf;

pub use leaf::{Ca, LeafSpec, Usage, judge};
