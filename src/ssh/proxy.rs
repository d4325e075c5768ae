//! A way that a program of the user's makes (`ProxyCommand` of ssh's configuration).

use super::config::Hop;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The program's stdin and stdout. It is ended with this.
pub(super) struct Proxy {
    from: ChildStdout,
    to: ChildStdin,
    _child: Child,
}

/// Starts `command`, with ssh's tokens filled in, as ssh does: by a shell.
pub(super) fn start(command: &str, hop: &Hop) -> io::Result<Proxy> {
    let mut child = Command::new("sh")
        .args(["-c", &format!("exec {}", hop.expand(command))])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    match (child.stdout.take(), child.stdin.take()) {
        (Some(from), Some(to)) => Ok(Proxy { from, to, _child: child }),
        _ => Err(io::Error::other("the program has no stdin or stdout")),
    }
}

impl AsyncRead for Proxy {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from).poll_read(cx, buf)
    }
}

impl AsyncWrite for Proxy {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.to).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to).poll_shutdown(cx)
    }
}
