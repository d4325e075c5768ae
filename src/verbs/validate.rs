//! `validate`: every error of the inventory at once, without any network.

use super::world;
use crate::cli::Target;
use crate::error::{Result, exit};
use crate::report::Reporter;

/// `homectl validate`.
pub(super) fn run(args: &Target, out: &Reporter) -> Result<u8> {
    let inventory = world::read(&args.inventory, out)?;
    let planes = inventory.nodes.iter().filter(|n| n.role == crate::cluster::Role::ControlPlane).count();
    out.talk(&format!(
        "{} is valid: cluster `{}`, Kubernetes {}, {} ({planes} of the control plane).",
        args.inventory.display(),
        inventory.name,
        inventory.kubernetes,
        if inventory.nodes.len() == 1 { "1 node".to_owned() } else { format!("{} nodes", inventory.nodes.len()) },
    ));
    Ok(exit::OK)
}
