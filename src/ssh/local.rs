//! The same root shell on this computer: a child instead of a connection. Scripts are tested for real with it.

use super::pipe::Pipe;
use super::remote::{Remote, Stream, Take};
use super::shell::{self, Shell};
use super::{Counters, Line, RemoteError, Reply, node};
use futures::future::BoxFuture;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Mutex;

/// A [`Remote`] that runs scripts in a local `sh` through the protocol of the real one: no SSH, no sudo, the
/// caller's own user. Uploads are copies; there is no lock.
pub struct LocalShell {
    shell: Mutex<Shell>,
    root: PathBuf,
}

impl LocalShell {
    /// Runs scripts with `/bin/sh`.
    pub async fn new() -> Result<Self, RemoteError> {
        Self::start(Command::new("/bin/sh"), PathBuf::from("/")).await
    }

    /// Runs scripts with another shell, which must be called `sh` to behave as one.
    pub async fn with_shell(shell: impl AsRef<OsStr> + Send) -> Result<Self, RemoteError> {
        Self::start(Command::new(shell), PathBuf::from("/")).await
    }

    /// Runs scripts inside the file tree `root` (needs root, and a tree with a shell and coreutils in it).
    pub async fn in_root(root: &Path) -> Result<Self, RemoteError> {
        let mut chroot = Command::new("chroot");
        chroot.arg(root).arg("/bin/sh");
        Self::start(chroot, root.to_owned()).await
    }

    async fn start(mut command: Command, root: PathBuf) -> Result<Self, RemoteError> {
        let (token, program) = shell::program(node::LOCK);
        command.arg("-c").arg(format!("eval \"$(head -c {})\"", program.len()));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let pipe = child.map_err(|e| local(&e))?;
        let pipe = Pipe::child(pipe).ok_or_else(|| RemoteError::Local { seen: "a child without stdin".to_owned() })?;
        let pipe = shell::start(pipe, &program, &token).await?;
        Ok(Self { shell: Mutex::new(Shell::new(pipe, token)), root })
    }
}

fn local(error: &std::io::Error) -> RemoteError {
    RemoteError::Local { seen: error.to_string() }
}

impl Remote for LocalShell {
    fn run<'a>(&'a self, script: &'a str, sink: &'a mut (dyn FnMut(Line<'_>) + Send)) -> BoxFuture<'a, Result<Reply, RemoteError>> {
        Box::pin(async move { self.shell.lock().await.run(script, None, sink).await })
    }

    fn upload<'a>(&'a self, from: PathBuf, to: &'a str, sent: &'a (dyn Fn(u64) + Send + Sync)) -> BoxFuture<'a, Result<(), RemoteError>> {
        Box::pin(async move {
            let to = self.root.join(to.trim_start_matches('/'));
            let mut from = tokio::fs::File::open(from).await.map_err(|e| local(&e))?;
            let mut open = tokio::fs::OpenOptions::new();
            let mut to = open.write(true).create_new(true).mode(0o600).open(to).await.map_err(|e| local(&e))?;
            let mut buffer = vec![0; 1 << 20];
            let mut total = 0;
            loop {
                let n = from.read(&mut buffer).await.map_err(|e| local(&e))?;
                if n == 0 {
                    return to.flush().await.map_err(|e| local(&e));
                }
                to.write_all(&buffer[..n]).await.map_err(|e| local(&e))?;
                total += n as u64;
                sent(total);
            }
        })
    }

    fn download<'a>(&'a self, from: &'a str, take: Take<'a>) -> BoxFuture<'a, Result<u64, RemoteError>> {
        Box::pin(async move {
            let failed = |e: &std::io::Error| RemoteError::Download { from: from.to_owned(), seen: e.to_string() };
            let mut file = tokio::fs::File::open(self.root.join(from.trim_start_matches('/'))).await.map_err(|e| failed(&e))?;
            let mut buffer = vec![0; 1 << 20];
            let mut total = 0;
            loop {
                let n = file.read(&mut buffer).await.map_err(|e| failed(&e))?;
                if n == 0 {
                    return Ok(total);
                }
                take(&buffer[..n]).map_err(|e| local(&e))?;
                total += n as u64;
            }
        })
    }

    fn tunnel<'a>(&'a self, address: &'a str, port: u16) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>> {
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect((address, port)).await.map_err(|e| local(&e))?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn lock<'a>(&'a self, _who: &'a str) -> BoxFuture<'a, Result<Box<dyn Send + Sync>, RemoteError>> {
        Box::pin(async { Ok(Box::new(()) as Box<dyn Send + Sync>) })
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}
