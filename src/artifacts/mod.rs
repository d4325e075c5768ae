//! Downloads: resolving versions into URLs and sums, the operator's cache, mirrors, unpacking.

mod cache;
mod download;
mod lock;
mod machine;
mod origin;
mod release;
mod resolve;
mod store;
mod sums;
#[cfg(test)]
mod tests;
mod unpack;

pub use lock::{LockMode, Locked, lock};
pub use machine::foreign;
pub use origin::Limits;
pub use release::{sums_url, url};
pub use resolve::{Missing, Resolved, resolve};
pub use store::{Progress, Store, Unpacked, UnpackedFile, cache_dir};
