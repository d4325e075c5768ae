//! A node over SSH: the long-lived root shell on the main connection, and what has a connection of its own.

use super::dial::Dialer;
use super::link::Link;
use super::lock::{self, Holding};
use super::remote::{Connection, Remote, Stream, Take};
use super::shell::{self, Shell};
use super::{ConnectSpec, Counters, Line, RemoteError, Reply, download, node, root, upload};
use futures::future::BoxFuture;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Connects to a node and becomes root there. Nothing is written on the node; on this computer the host key may
/// be recorded, if `spec` allows that.
pub async fn connect(spec: &ConnectSpec) -> Result<Connection, RemoteError> {
    let dialer = Dialer::new(spec.clone()).await?;
    let link = dialer.dial().await?;
    let (token, program) = shell::program(node::LOCK);
    let (pipe, _) = root::start(&dialer, &link, &program, &token).await?;
    let shell = Mutex::new(Shell::new(pipe, token));
    Ok(Arc::new(Host { dialer, link, shell, uploads: Mutex::default(), holding: Holding::default() }))
}

struct Host {
    dialer: Dialer,
    link: Link,
    shell: Mutex<Shell>,
    /// The connection of the last upload, for the next.
    uploads: Mutex<Option<Link>>,
    holding: Holding,
}

impl Host {
    async fn upload_now(&self, from: PathBuf, to: &str, sent: &(dyn Fn(u64) + Send + Sync)) -> Result<(), RemoteError> {
        let mut kept = self.uploads.lock().await;
        // Taken out, so that an upload that is given up takes its connection with it: the node then cleans up.
        let link = match kept.take().filter(|link| !link.is_closed()) {
            Some(link) => link,
            None => self.dialer.dial().await?,
        };
        let done = upload::send(&self.dialer, &link, &from, to, sent).await;
        if done.is_ok() {
            *kept = Some(link);
        }
        done
    }
}

impl Remote for Host {
    fn run<'a>(&'a self, script: &'a str, sink: &'a mut (dyn FnMut(Line<'_>) + Send)) -> BoxFuture<'a, Result<Reply, RemoteError>> {
        Box::pin(async move {
            let mut shell = self.shell.lock().await;
            let name = self.holding.name()?;
            shell.run(script, name.as_deref(), sink).await
        })
    }

    fn upload<'a>(&'a self, from: PathBuf, to: &'a str, sent: &'a (dyn Fn(u64) + Send + Sync)) -> BoxFuture<'a, Result<(), RemoteError>> {
        Box::pin(self.upload_now(from, to, sent))
    }

    fn download<'a>(&'a self, from: &'a str, take: Take<'a>) -> BoxFuture<'a, Result<u64, RemoteError>> {
        Box::pin(async move {
            let link = self.dialer.dial().await?;
            download::receive(&self.dialer, &link, from, take).await
        })
    }

    fn tunnel<'a>(&'a self, address: &'a str, port: u16) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>> {
        Box::pin(self.link.tunnel(address, port))
    }

    fn lock<'a>(&'a self, who: &'a str) -> BoxFuture<'a, Result<Box<dyn Send + Sync>, RemoteError>> {
        Box::pin(async move {
            let guard = lock::take(&self.dialer, &self.holding, who).await?;
            Ok(Box::new(guard) as Box<dyn Send + Sync>)
        })
    }

    fn counters(&self) -> Counters {
        self.dialer.traffic.counters()
    }
}
