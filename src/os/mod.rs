//! Distributions, one file each: names of packages and how they are installed. Nothing else may ask which one it is.

mod debian;

use crate::facts::Facts;

/// What differs between distributions.
pub trait Os: Send + Sync {
    /// Packages that every node needs, given its facts.
    fn packages(&self, facts: &Facts) -> Vec<String>;
    /// sh that prints those of the packages `"$@"` that are installed, a line each.
    fn query(&self) -> &'static str;
    /// sh that installs the packages `"$@"` without asking anything.
    fn install(&self) -> &'static str;
    /// Packaged units that would fight ours and stay masked.
    fn masked(&self) -> &'static [&'static str];
}

/// The distribution of a host; `None` when it is not supported.
#[must_use]
pub fn of(facts: &Facts) -> Option<&'static dyn Os> {
    let is = |id: &str| facts.os_id == id || facts.os_like.iter().any(|l| l == id);
    if is("debian") { Some(&debian::Debian) } else { None }
}

/// The supported distributions, for messages.
pub const SUPPORTED: &str = "Debian 12 or 13 and its kin (Ubuntu 24.04, Raspberry Pi OS)";
