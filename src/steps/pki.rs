//! Not here yet: certificates and keys of a control plane.

use super::{Ctx, Step};
use crate::error::Result;

#[expect(clippy::unnecessary_wraps, reason = "one shape for all steps")]
pub(super) fn step(_: &Ctx) -> Result<Option<Step>> {
    Ok(None)
}
