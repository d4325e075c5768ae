//! Counts what goes over the wire of one host: bytes each way, and turns (a burst to the server after
//! something came from it), which is what latency multiplies. A sign of life, asked for in a pause, is no turn: nothing
//! waits for its answer, and how many there are only depends on how slow the machine is.

use super::Counters;
use super::link::KEEPALIVE;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// No request is as small as the question for a sign of life.
const BEAT: usize = 64;

/// The sums, shared by all connections of a host.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    turns: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

impl Traffic {
    pub(super) fn counters(&self) -> Counters {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        Counters { turns: read(&self.turns), up: read(&self.up), down: read(&self.down) }
    }
}

/// A stream that counts into [`Traffic`].
pub(super) struct Counted<S> {
    inner: S,
    traffic: Arc<Traffic>,
    /// Whether the server spoke last (true before the first word).
    heard: bool,
    /// When it last did.
    last: Instant,
}

impl<S> Counted<S> {
    pub(super) fn new(inner: S, traffic: Arc<Traffic>) -> Self {
        Self { inner, traffic, heard: true, last: Instant::now() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        let got = buf.filled().len() - before;
        if got > 0 {
            self.heard = true;
            self.last = Instant::now();
            self.traffic.down.fetch_add(got as u64, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(sent)) = polled
            && sent > 0
        {
            self.traffic.up.fetch_add(sent as u64, Ordering::Relaxed);
            let beat = sent <= BEAT && self.last.elapsed() >= KEEPALIVE;
            if std::mem::take(&mut self.heard) && !beat {
                self.traffic.turns.fetch_add(1, Ordering::Relaxed);
            }
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_turn_is_a_burst_after_an_answer() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let traffic = Arc::new(Traffic::default());
        let mut ours = Counted::new(ours, Arc::clone(&traffic));
        ours.write_all(b"ab").await.unwrap();
        ours.write_all(b"c").await.unwrap();
        assert_eq!(traffic.counters(), Counters { turns: 1, up: 3, down: 0 });
        theirs.write_all(b"1234").await.unwrap();
        ours.read_exact(&mut [0; 4]).await.unwrap();
        assert_eq!(traffic.counters(), Counters { turns: 1, up: 3, down: 4 });
        ours.write_all(b"d").await.unwrap();
        assert_eq!(traffic.counters(), Counters { turns: 2, up: 4, down: 4 });
    }

    #[tokio::test]
    async fn a_sign_of_life_is_no_turn() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let traffic = Arc::new(Traffic::default());
        let mut ours = Counted::new(ours, Arc::clone(&traffic));
        ours.write_all(&[0; 100]).await.unwrap();
        for _ in 0..3 {
            theirs.write_all(&[0; 28]).await.unwrap();
            ours.read_exact(&mut [0; 28]).await.unwrap();
            ours.last -= KEEPALIVE;
            ours.write_all(&[0; 52]).await.unwrap();
        }
        assert_eq!(traffic.counters(), Counters { turns: 1, up: 256, down: 84 });
        theirs.write_all(&[0; 28]).await.unwrap();
        ours.read_exact(&mut [0; 28]).await.unwrap();
        ours.last -= KEEPALIVE;
        ours.write_all(&[0; 100]).await.unwrap();
        assert_eq!(traffic.counters().turns, 2, "a request is one, however late");
    }
}
