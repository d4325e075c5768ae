//! TOML as typed, checked, every error at once.
//!
//! Two stages: [`raw`] reads keys with their places in the file, `check` judges what they mean together.
//! What comes out is an [`Inventory`]; with the lock it becomes a `cluster::Cluster`.

mod check;
mod destination;
mod edit;
mod glob;
mod model;
mod names;
mod places;
mod problem;
mod raw;
mod read;
mod source;
mod syntax;
mod table;
mod template;
mod tested;

pub use destination::{Destination, NoPlace};
pub use edit::{Edit, NewNode};
pub(crate) use glob::{expand as expand_glob, fits as fits_glob};
pub use model::{
    AddonEntry, Api, Arch, Backups, HostnamePolicy, Inventory, Machine, Network, PodNetwork, Policy, Registry, Role, SshTarget, Taint,
    stranger,
};
pub use places::places;
pub use problem::{Problem, Problems, Source};
pub(crate) use read::named_files;
pub use read::{inspect, read};
pub use template::init_template;
pub use tested::{TESTED, Versions};

/// Add-ons that homectl knows how to make; the `addons` module has one file for each.
pub const CATALOGUE: [&str; 3] = ["coredns", "metrics-server", "local-storage"];
/// The add-on that every cluster gets unless the inventory brings its own of that name.
pub const IMPLIED: &str = "coredns";
