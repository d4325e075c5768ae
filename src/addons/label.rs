//! Labels by which homectl knows its own objects.

/// Says who looks after an object; the value is [`HOMECTL`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Says which add-on an object belongs to. Lists of owned objects select by it.
pub const ADDON: &str = "homectl.io/addon";
/// The value of [`MANAGED_BY`].
pub(super) const HOMECTL: &str = "homectl";
