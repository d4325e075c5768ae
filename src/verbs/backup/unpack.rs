//! What a backup holds of the operator's own files, put back beside one another.

use super::kept::identity;
use super::named::Named;
use crate::backup::{self, Content, INVENTORY, KNOWN_HOSTS, LOCK, MANIFESTS, SECRETS};
use crate::cli::{BackupUnpack, Global};
use crate::error::{Failure, Result, exit};
use crate::inventory::{fits_glob, named_files};
use crate::report::Reporter;
use crate::whole;
use std::path::{Path, PathBuf};

/// What became of the files.
pub(in crate::verbs) struct Laid {
    pub(in crate::verbs) written: Vec<PathBuf>,
    /// There before, with another content, and left alone.
    pub(in crate::verbs) other: Vec<PathBuf>,
    /// In the backup, and nothing that belongs beside an inventory.
    strange: Vec<String>,
}

impl Laid {
    /// What people hear of what was left out.
    pub(in crate::verbs) fn left_out(&self) -> impl Iterator<Item = String> {
        self.strange.iter().map(|name| format!("Not written: {name} (it is hidden, or the backup's inventory does not name it)"))
    }
}

/// `homectl backup unpack`.
pub(super) async fn run(args: &BackupUnpack, global: &Global, out: &Reporter) -> Result<u8> {
    let identity = identity(global)?;
    let at_hand = Named::find(&args.file, &args.inventory, global, out).await?.bring_one().await?;
    let content = backup::read(&at_hand.file, &identity, None)?;
    let laid = lay_out(&content, &args.inventory)?;
    for path in &laid.written {
        out.talk(&format!("Wrote {}", path.display()));
    }
    for line in laid.left_out() {
        out.talk(&line);
    }
    if laid.other.is_empty() {
        return Ok(exit::OK);
    }
    let names: Vec<String> = laid.other.iter().map(|p| p.display().to_string()).collect();
    Err(Failure::refused("some files are there already with another content; they were left as they are")
        .seen(names.join("\n"))
        .help("move them away, or name another place: --inventory FILE"))
}

/// Writes what is missing of the operator's files: the inventory at `inventory`, the others beside it. Whoever made the backup, and they may
/// be anybody, chose the names of manifests: only those land that the backup's own inventory names, and none that is hidden.
pub(in crate::verbs) fn lay_out(content: &Content, inventory: &Path) -> Result<Laid> {
    lay(content, inventory, |below| !below.components().any(|c| c.as_os_str().as_encoded_bytes().starts_with(b".")))
}

/// The same in a folder that nobody else looks into: hidden ones, too.
pub(super) fn lay_aside(content: &Content, inventory: &Path) -> Result<Laid> {
    lay(content, inventory, |_| true)
}

fn lay(content: &Content, inventory: &Path, may: impl Fn(&Path) -> bool) -> Result<Laid> {
    let home = inventory.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let patterns = named_files(content.part(INVENTORY)?);
    let may = |below: &Path| may(below) && patterns.iter().any(|pattern| fits_glob(pattern, below));
    let mut laid = Laid { written: Vec::new(), other: Vec::new(), strange: Vec::new() };
    for (name, bytes) in &content.parts {
        let (path, mode) = match name.as_str() {
            INVENTORY => (inventory.to_path_buf(), 0o644),
            LOCK => (inventory.with_extension("lock"), 0o644),
            SECRETS => (inventory.with_extension("secrets.age"), 0o600),
            KNOWN_HOSTS => (inventory.with_extension("known_hosts"), 0o644),
            other => match other.strip_prefix(MANIFESTS) {
                Some(below) if may(Path::new(below)) => (home.join(below), 0o644),
                _ => {
                    laid.strange.push(other.to_owned());
                    continue;
                }
            },
        };
        let failed = |e: std::io::Error| Failure::failed(format!("{} cannot be written: {e}", path.display()));
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        match std::fs::read(&path) {
            Ok(there) if there == **bytes => {}
            Ok(_) => laid.other.push(path),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                whole::create(&path, bytes, mode).map_err(failed)?;
                laid.written.push(path);
            }
            Err(e) => return Err(failed(e)),
        }
    }
    Ok(laid)
}
