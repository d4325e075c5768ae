//! What was typed after `backup`.

use super::{kept, take, unpack};
use crate::cli::{Backup, BackupAct, Global};
use crate::error::Result;
use crate::report::Reporter;

/// `homectl backup`.
pub(in crate::verbs) async fn run(args: &Backup, global: &Global, out: &Reporter) -> Result<u8> {
    match &args.act {
        None => Box::pin(take::run(args, global, out)).await,
        Some(BackupAct::List(args)) => kept::list(args, global, out).await,
        Some(BackupAct::Verify(args)) => Box::pin(kept::verify(args, global, out)).await,
        Some(BackupAct::Unpack(args)) => unpack::run(args, global, out).await,
    }
}

/// The environment, for places that take credentials from it.
pub(super) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
