//! Programs from the operator's cache, filled from the mirror or upstream: each fetched once however many nodes ask.

use crate::artifacts::{Progress, Store, cache_dir, foreign};
use crate::error::{Failure, Result};
use crate::exec::{EventKind, Sink, Supplied, Supply};
use crate::inventory::Inventory;
use crate::want::Program;
use futures::future::BoxFuture;
use std::path::Path;

/// The cache, as the engine asks it.
pub(super) struct Cache {
    store: Store,
    sink: Sink,
}

impl Cache {
    pub(super) fn new(inventory: &Inventory, sink: Sink) -> Result<Self> {
        Ok(Self { store: Store::new(inventory.mirror.as_ref(), cache_dir()?), sink })
    }
}

impl Supply for Cache {
    fn get<'a>(&'a self, program: &'a Program) -> BoxFuture<'a, Result<Vec<Supplied>>> {
        Box::pin(async move {
            let what = program.component.to_string();
            let told = |p: Progress| self.sink.tell(EventKind::Fetching { what: what.clone(), bytes: p.done, total: p.total });
            let unpacked = self.store.fetch(program.component, &program.artifact, &told).await?;
            if unpacked.files.is_empty() {
                return Err(Failure::bug(format!("{what} unpacked to nothing")));
            }
            for file in &unpacked.files {
                fits(program, &file.path)?;
            }
            Ok(unpacked.files.into_iter().map(|f| Supplied { name: f.name, path: f.path, sha256: f.sha256, size: f.size }).collect())
        })
    }
}

/// A sum proves that a file is the one that the lock means, not that the lock means the right one.
fn fits(program: &Program, file: &Path) -> Result<()> {
    let cannot = |e: std::io::Error| Failure::failed(format!("{} cannot be read", file.display())).seen(e.to_string());
    let Some(other) = foreign(file, program.arch).map_err(cannot)? else { return Ok(()) };
    Err(Failure::refused(format!("{} {} is no program for {}", program.component, program.version, program.arch))
        .seen(format!("{} is made for {other}", program.artifact.url))
        .help(
            "its sum is the lock's, so the lock, or the mirror when the lock was made, took another file for it: `homectl lock` asks again",
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Arch, Artifact, Component};
    use sha2::{Digest as _, Sha256};

    /// The right name, the right sum, the wrong machine: told before any machine is locked, and none gets it.
    #[tokio::test]
    async fn a_program_for_other_machines_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let place = dir.path().join("mirror/example.net/runc");
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(&place, &bytes).unwrap();
        let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes));
        let artifact = Artifact { url: "https://example.net/runc".into(), sha256 };
        let mirror = url::Url::from_directory_path(dir.path().join("mirror")).unwrap();
        let cache = Cache { store: Store::new(Some(&mirror), dir.path().join("cache")), sink: Sink::none() };
        let (here, there) = if cfg!(target_arch = "x86_64") { (Arch::Amd64, Arch::Arm64) } else { (Arch::Arm64, Arch::Amd64) };
        let program =
            |arch| Program { component: Component::Runc, version: "v1.4.3".into(), artifact: artifact.clone(), arch, notify: Vec::new() };
        assert_eq!(cache.get(&program(here)).await.unwrap().len(), 1);
        let failure = cache.get(&program(there)).await.unwrap_err();
        assert_eq!(failure.what(), format!("runc v1.4.3 is no program for {there}"));
        assert!(failure.evidence()[0].contains(&format!("https://example.net/runc is made for {here}")), "{failure}");
    }
}
