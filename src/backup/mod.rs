//! One encrypted file that a cluster can be made from again, where such files are kept, and the proof that one holds.

mod bundle;
mod inside;
mod manifest;
mod open;
mod place;
mod proof;
mod s3;
mod scratch;
#[cfg(test)]
mod tests;

pub use bundle::Seal;
pub use inside::{encryption_keys, knows_authority};
pub use manifest::{Manifest, Part, Snapshot, sha256, sha256_of};
pub use open::{Content, read};
pub use place::{Kept, Place, Shelf, file_name};
pub use proof::{Programs, Proof, Sealed, prove};
pub use scratch::Scratch;

/// The first part of every backup: what it is, and the sum of everything else.
pub const MANIFEST: &str = "manifest.json";
/// The snapshot of etcd.
pub const SNAPSHOT: &str = "snapshot.db";
/// What lies beside one another on an operator's disk, by the names that they have here.
pub const INVENTORY: &str = "inventory.toml";
pub const LOCK: &str = "inventory.lock";
pub const SECRETS: &str = "inventory.secrets.age";
pub const KNOWN_HOSTS: &str = "inventory.known_hosts";
/// Before the names of what the inventory's add-ons read, relative to the inventory.
pub const MANIFESTS: &str = "manifests/";
