//! Which of them it is.

use super::{api, drain, restore};
use crate::cli::{Drill, DrillKind, Global};
use crate::error::{Result, exit};
use crate::report::{self, Reporter};

/// `homectl drill`.
pub(in crate::verbs) async fn run(args: &Drill, global: &Global, out: &Reporter) -> Result<u8> {
    let done = match &args.which {
        None => {
            out.drills();
            return Ok(exit::OK);
        }
        Some(DrillKind::Api(args)) => api::run(args, global, out).await?,
        Some(DrillKind::Drain(args)) => drain::run(args, global, out).await?,
        Some(DrillKind::Restore(args)) => restore::run(args, global, out).await?,
    };
    out.drill(&done);
    Ok(code(&done))
}

fn code(drill: &report::Drill) -> u8 {
    match drill {
        drill if drill.held() => exit::OK,
        drill if drill.interrupted && drill.wrong.is_empty() => exit::INTERRUPTED,
        _ => exit::FAILED,
    }
}
