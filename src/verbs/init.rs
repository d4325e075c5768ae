//! `init`: a commented inventory, and an age identity where there is none.

use crate::cli::{Global, Init};
use crate::error::{Failure, Result, exit};
use crate::report::Reporter;
use crate::{inventory, secrets};
use std::io::Write as _;

/// `homectl init`.
pub(super) fn run(args: &Init, global: &Global, out: &Reporter) -> Result<u8> {
    let path = &args.inventory;
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(exit::USAGE, format!("{} exists already; it was left as it is", path.display()))
            .help("name another file: homectl init other.toml"),
        _ => Failure::failed(format!("{} could not be written", path.display())).seen(e.to_string()),
    };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(inventory::init_template().as_bytes()).map_err(failed)?;
    out.talk(&format!("Wrote {}: fill in the addresses, then run `homectl validate` and `homectl plan`.", path.display()));
    let identity = secrets::identity(global.identity.as_deref(), &path.with_extension("secrets.age"))?;
    if identity.created {
        out.talk(&format!(
            "Made an age identity: {}. It opens the cluster's secrets; keep a copy of it elsewhere.",
            identity.path.display()
        ));
    } else {
        out.talk(&format!("The age identity {} will open the cluster's secrets.", identity.path.display()));
    }
    Ok(exit::OK)
}
