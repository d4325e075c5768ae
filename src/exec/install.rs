//! Programs travel: from the operator's cache over a connection of their own into a private folder on the node,
//! are hashed there, and enter the store as a whole folder.

use super::{EventKind, Sink};
use crate::error::{Failure, Result};
use crate::ssh::Connection;
use crate::want::{Program, quote};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// The private folder on a node that uploads land in.
const INCOMING: &str = "/opt/homectl/incoming";

/// One program file on the operator's side, verified.
#[derive(Debug, Clone)]
pub struct Supplied {
    /// Name in the store.
    pub name: String,
    pub path: PathBuf,
    /// Lower-case hex of the file.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// Where program files come from: the operator's cache, filled from upstream or a mirror.
pub trait Supply: Send + Sync {
    /// The verified files of a program; the second asker of the same one waits for the first.
    fn get<'a>(&'a self, program: &'a Program) -> BoxFuture<'a, Result<Vec<Supplied>>>;
}

/// sh that prepares the private folder; leftovers of a cut run go.
pub(super) fn prepare() -> String {
    format!("mkdir -p -m 0755 /opt/homectl\nrm -rf {INCOMING}\nmkdir -m 0700 {INCOMING}")
}

/// Sends everything in `programs`, one after another; yields each program's files by artifact digest.
pub(super) async fn send_all(
    node: &str,
    host: &Connection,
    supply: &dyn Supply,
    programs: &[&Program],
    sink: &Sink,
) -> Result<BTreeMap<String, Vec<Supplied>>> {
    let mut sent = BTreeMap::new();
    for program in programs {
        let files = supply.get(program).await?;
        let total = files.iter().map(|f| f.size).sum();
        let before = AtomicU64::new(0);
        for file in &files {
            let to = format!("{INCOMING}/{}.{}", program.artifact.sha256, file.name);
            let tell = |bytes: u64| {
                let bytes = before.load(Ordering::Relaxed) + bytes;
                sink.tell(EventKind::Uploading { node: node.into(), what: program.component.to_string(), bytes, total });
            };
            host.upload(file.path.clone(), &to, &tell)
                .await
                .map_err(|e| Failure::failed(format!("{} did not arrive", program.component)).on(node).seen(e.to_string()))?;
            before.fetch_add(file.size, Ordering::Relaxed);
        }
        sent.insert(program.artifact.sha256.clone(), files);
    }
    Ok(sent)
}

/// sh that hashes what arrived and moves it into the store as one folder.
pub(super) fn finish(program: &Program, files: &[Supplied]) -> String {
    let (folder, sum) = (quote(&program.folder()), &program.artifact.sha256);
    let new = quote(&format!("{INCOMING}/{sum}.d"));
    let mut s = format!("rm -rf {new}\nmkdir -m 0755 {new}\n");
    let mut sums = String::new();
    for f in files {
        let from = quote(&format!("{INCOMING}/{sum}.{}", f.name));
        let _ = writeln!(
            s,
            "echo '{}  '{from} | sha256sum -c --status || {{ echo {from} arrived damaged; exit 1; }}\nchown root:root {from}; chmod 0755 {from}; mv {from} {new}/{}",
            f.sha256,
            quote(&f.name)
        );
        let _ = writeln!(sums, "{}  {}", f.sha256, f.name);
    }
    let _ = writeln!(
        s,
        "(cd {new}; printf '%s' '{sums}' >.sums; {} >.stamp)\nsync -f {new}\nmkdir -p -m 0755 {store}\nrm -rf {folder}\nmv -T {new} {folder}\nsync -f {store}",
        program.stamp(),
        store = crate::want::STORE,
    );
    s
}
