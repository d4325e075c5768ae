//! The inventory that `homectl init` writes.

use super::TESTED;

/// A commented inventory of one machine, to be edited; valid as it is.
#[must_use]
pub fn init_template() -> String {
    include_str!("init.toml").replace("@KUBERNETES@", TESTED[0].kubernetes)
}
