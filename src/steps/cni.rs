//! Not here yet: cni.

use super::{Ctx, Step};
use crate::error::Result;

#[expect(clippy::unnecessary_wraps, reason = "one shape for all steps")]
pub(super) fn step(_: &Ctx) -> Result<Option<Step>> {
    Ok(None)
}
