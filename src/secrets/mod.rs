//! The secrets of one cluster: made before planning, kept in `inventory.secrets.age`, never in clear on disk.

mod content;
mod crypt;
mod exchange;
mod found;
mod identity;
mod make;
mod marks;
mod model;
mod placeholder;
mod prepare;
mod store;
mod stream;
#[cfg(test)]
mod tests;

pub use crate::pki::{Authority, Pair, SecretText, ServiceAccountKey, WireGuardKey};
pub use crypt::Recipient;
pub use exchange::{Authorities, Next, Stage};
pub use found::FoundAuthority;
pub use identity::{Identity, IdentityChoice, create_identity, find_identity, identity};
pub use marks::{Mark, Marks};
pub use model::Secrets;
pub use prepare::{Prepared, ToLook, prepare, prepare_as_is, prepare_to_look};
pub use store::{known, open, open_bytes, recipients, save};
pub use stream::{Unsealed, seal, unseal};
