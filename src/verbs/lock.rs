//! `lock`: versions → URLs and sums, from upstream's published checksum files (through the mirror where one is set).

use super::world;
use crate::artifacts::LockMode;
use crate::cli::{Global, Target};
use crate::cluster::Lock;
use crate::error::{Result, exit};
use crate::report::Reporter;

/// `homectl lock`.
pub(super) async fn run(args: &Target, global: &Global, out: &Reporter) -> Result<u8> {
    let inventory = world::read(&args.inventory, out)?;
    let before = Lock::load(&Lock::path(&inventory.path))?;
    let lock = world::lock(&inventory, global, LockMode::Refresh, out).await?;
    if before.as_ref() == Some(&lock) {
        out.talk(&format!("{} is current.", Lock::path(&inventory.path).display()));
    }
    Ok(exit::OK)
}
