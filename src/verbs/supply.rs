//! Programs from the operator's cache, filled from the mirror or upstream: each fetched once however many nodes ask.

use crate::artifacts::{Progress, Store, cache_dir};
use crate::error::{Failure, Result};
use crate::exec::{EventKind, Sink, Supplied, Supply};
use crate::inventory::Inventory;
use crate::want::Program;
use futures::future::BoxFuture;

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
            Ok(unpacked.files.into_iter().map(|f| Supplied { name: f.name, path: f.path, sha256: f.sha256, size: f.size }).collect())
        })
    }
}
