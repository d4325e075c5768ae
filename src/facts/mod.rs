//! What is true of a host, asked in one read-only script before anything is planned.

mod ask;
mod assumed;
mod members;
mod model;
mod parse;
mod versions;

pub use ask::script;
pub use members::{Member, members};
pub use model::{Facts, Foreign, Origin, WireGuard};
pub use parse::parse;
pub use versions::{versions, versions_script};
