//! Large files to a node, over a connection of their own, as fast as the wire takes them.

use super::dial::Dialer;
use super::link::Link;
use super::pipe::{Pipe, Receiver, Sender};
use super::{RemoteError, node, root};
use bytes::{Bytes, BytesMut};
use std::path::Path;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

/// Bytes read at a time; a few such pieces are read ahead.
const PIECE: usize = 256 << 10;
const AHEAD: usize = 4;

/// Sends the file `from` to the new file `to` on the node behind `link`. The node removes what did not arrive whole.
pub(super) async fn send(
    dialer: &Dialer,
    link: &Link,
    from: &Path,
    to: &str,
    sent: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), RemoteError> {
    let local = |e: std::io::Error| RemoteError::Local { seen: format!("{}: {e}", from.display()) };
    let file = File::open(from).await.map_err(local)?;
    let bytes = file.metadata().await.map_err(local)?.len();
    let token = node::token();
    let (pipe, _) = root::start(dialer, link, &node::receive(&token, to, bytes), &token).await?;
    let Pipe { mut sender, mut receiver } = pipe;
    let feed = async {
        feed(&mut sender, file, sent).await.map_err(local)?;
        sender.eof().await;
        // The answer decides; it comes through the other arm.
        std::future::pending().await
    };
    let end = tokio::select! {
        error = feed => return error,
        end = end(&mut receiver, &token) => end?,
    };
    match end {
        (0, _) => Ok(()),
        (_, said) => {
            let seen = if said.is_empty() { "it did not arrive whole".to_owned() } else { said };
            Err(RemoteError::Upload { to: to.to_owned(), seen })
        }
    }
}

/// Sends the whole of `file`; stops early when nobody takes it any more.
async fn feed(sender: &mut Sender, mut file: File, sent: &(dyn Fn(u64) + Send + Sync)) -> std::io::Result<()> {
    let (tx, mut pieces) = mpsc::channel::<std::io::Result<Bytes>>(AHEAD);
    file.set_max_buf_size(PIECE);
    tokio::spawn(async move {
        loop {
            let mut piece = BytesMut::with_capacity(PIECE);
            let read = file.read_buf(&mut piece).await;
            let piece = match read {
                Ok(0) => return,
                Ok(_) => Ok(piece.freeze()),
                Err(e) => Err(e),
            };
            if tx.send(piece).await.is_err() {
                return;
            }
        }
    });
    let mut total = 0;
    while let Some(piece) = pieces.recv().await {
        let piece = piece?;
        total += piece.len() as u64;
        if !sender.send(piece).await {
            break;
        }
        sent(total);
    }
    Ok(())
}

/// The status of the receiving program, and what it said.
async fn end(receiver: &mut Receiver, token: &str) -> Result<(i32, String), RemoteError> {
    let mut said: Vec<String> = Vec::new();
    while let Some(line) = receiver.line().await {
        let line = String::from_utf8_lossy(&line);
        if let Some(end) = line.strip_prefix(token) {
            let status = end.trim().strip_prefix("done ").and_then(|s| s.parse().ok());
            return Ok((status.unwrap_or(1), said.join("; ")));
        }
        if !line.trim().is_empty() {
            said.push(line.trim().to_owned());
        }
    }
    Err(receiver.lost(&said.join("; ")))
}
