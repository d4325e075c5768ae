//! The secrets of one cluster: made before planning, kept in `inventory.secrets.age`, never in clear on disk.

mod bytes;
mod model;

pub use bytes::SecretText;
pub use model::{Authority, Pair, Secrets, WireGuardKey};
