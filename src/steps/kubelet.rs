//! Not here yet: kubelet.

use super::{Ctx, Step};
use crate::error::Result;

#[expect(clippy::unnecessary_wraps, reason = "one shape for all steps")]
pub(super) fn step(_: &Ctx) -> Result<Option<Step>> {
    Ok(None)
}

pub(super) fn warnings(_: &Ctx) -> Vec<String> {
    Vec::new()
}
