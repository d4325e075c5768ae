//! Packages of the distribution, and the packaged units that must not start.

use super::{Ctx, Step};
use crate::error::Result;
use crate::want::{Packages, Unit, Want};

#[expect(clippy::unnecessary_wraps, reason = "one shape for all steps")]
pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    // Masked first: a package starts its service as soon as it is there.
    let mut wants: Vec<Want> = ctx.os.masked().iter().map(|unit| Want::Unit(Unit::masked(*unit))).collect();
    let names = ctx.os.packages(ctx.facts);
    wants.push(Want::Packages(Packages { names, query: ctx.os.query().into(), install: ctx.os.install().into() }));
    Ok(Some(Step {
        id: ctx.id("packages"),
        title: "packages of the distribution".into(),
        after: Vec::new(),
        wants,
        ready: None,
        rolling: None,
        aside: false,
    }))
}
