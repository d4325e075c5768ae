//! A program's stdin and output as one pair, whether it runs behind an SSH channel or as a child here.

use super::RemoteError;
use bytes::{Bytes, BytesMut};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelWriteHalf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::mpsc;

/// Why a connection ended, once it is known; shared with the connection's handler.
pub(super) type Ending = Arc<Mutex<Option<String>>>;

/// The two ends of a running program.
pub(super) struct Pipe {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
}

/// The way in.
pub(super) enum Sender {
    Channel(ChannelWriteHalf<Msg>),
    /// The child is kept so that it is reaped; it ends by itself when its stdin does.
    Child {
        stdin: Option<ChildStdin>,
        _child: Child,
    },
}

/// The way out. What arrives is taken off the wire at once, so that a program that nobody listens to never
/// blocks the connection that it shares with others.
pub(super) struct Receiver {
    incoming: mpsc::UnboundedReceiver<Bytes>,
    buffer: BytesMut,
    /// How much of `buffer` is known to hold no newline.
    scanned: usize,
    ending: Ending,
}

impl Pipe {
    /// The pipe of an SSH channel on which a command was started.
    pub(super) fn channel(channel: Channel<Msg>, ending: Ending) -> Self {
        let (mut read, write) = channel.split();
        let (tx, incoming) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(message) = read.wait().await {
                let data = match message {
                    // An empty line asks whether we are still there (see node/become.sh), and nothing else.
                    ChannelMsg::ExtendedData { data, .. } if data.iter().all(|&b| b == b'\n') => continue,
                    ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } => data,
                    _ => continue,
                };
                if tx.send(data).is_err() {
                    break;
                }
            }
        });
        Self { sender: Sender::Channel(write), receiver: Receiver::new(incoming, ending) }
    }

    /// The pipe of a child that was started with piped stdin and stdout.
    pub(super) fn child(mut child: Child) -> Option<Self> {
        let stdin = child.stdin.take()?;
        let stdout = child.stdout.take()?;
        let (tx, incoming) = mpsc::unbounded_channel();
        tokio::spawn(pump(stdout, tx));
        let ending = Ending::default();
        Some(Self { sender: Sender::Child { stdin: Some(stdin), _child: child }, receiver: Receiver::new(incoming, ending) })
    }

    /// Sends `data`; an error says why the connection ended.
    pub(super) async fn send(&mut self, data: impl Into<Bytes> + Send) -> Result<(), RemoteError> {
        let sent = self.sender.send(data.into()).await;
        if sent { Ok(()) } else { Err(self.receiver.lost("")) }
    }
}

async fn pump(mut stdout: ChildStdout, tx: mpsc::UnboundedSender<Bytes>) {
    let mut buffer = BytesMut::with_capacity(64 << 10);
    while matches!(stdout.read_buf(&mut buffer).await, Ok(n) if n > 0) {
        if tx.send(buffer.split().freeze()).is_err() {
            break;
        }
        buffer.reserve(64 << 10);
    }
}

impl Sender {
    /// Sends `data`; false when nobody takes it any more.
    pub(super) async fn send(&mut self, data: Bytes) -> bool {
        match self {
            Self::Channel(write) => write.data_bytes(data).await.is_ok(),
            Self::Child { stdin: Some(stdin), .. } => stdin.write_all(&data).await.is_ok() && stdin.flush().await.is_ok(),
            Self::Child { stdin: None, .. } => false,
        }
    }

    /// Says that nothing more will come.
    pub(super) async fn eof(&mut self) -> bool {
        match self {
            Self::Channel(write) => write.eof().await.is_ok(),
            Self::Child { stdin, .. } => stdin.take().is_some(),
        }
    }
}

impl Receiver {
    fn new(incoming: mpsc::UnboundedReceiver<Bytes>, ending: Ending) -> Self {
        Self { incoming, buffer: BytesMut::new(), scanned: 0, ending }
    }

    /// Waits for more output; false at its end.
    async fn more(&mut self) -> bool {
        match self.incoming.recv().await {
            Some(data) => {
                self.buffer.extend_from_slice(&data);
                true
            }
            None => false,
        }
    }

    /// What comes next, at least one and at most `most` bytes of it; `None` when the program ended.
    pub(super) async fn bytes(&mut self, most: u64) -> Option<Bytes> {
        while self.buffer.is_empty() {
            if !self.more().await {
                return None;
            }
        }
        self.scanned = 0;
        let n = usize::try_from(most).unwrap_or(usize::MAX).min(self.buffer.len());
        Some(self.buffer.split_to(n).freeze())
    }

    /// The next whole line, without its newline; `None` when the program ended.
    pub(super) async fn line(&mut self) -> Option<BytesMut> {
        loop {
            if let Some(at) = self.buffer[self.scanned..].iter().position(|&b| b == b'\n') {
                let mut line = self.buffer.split_to(self.scanned + at + 1);
                line.truncate(line.len() - 1);
                self.scanned = 0;
                return Some(line);
            }
            self.scanned = self.buffer.len();
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next whole line, or what ends with one of `marks` as soon as that was seen, newline or not.
    pub(super) async fn line_or(&mut self, marks: &[&[u8]]) -> Option<BytesMut> {
        loop {
            let newline = self.buffer.iter().position(|&b| b == b'\n');
            let line = &self.buffer[..newline.unwrap_or(self.buffer.len())];
            let ends = marks.iter().filter_map(|mark| Some(line.windows(mark.len()).position(|w| w == *mark)? + mark.len()));
            if let Some(end) = ends.min() {
                self.scanned = 0;
                return Some(self.buffer.split_to(end));
            }
            if newline.is_some() {
                return self.line().await;
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// What came after the last whole line.
    pub(super) fn unfinished(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// Why the connection ended, if it did.
    pub(super) fn why(&self) -> Option<String> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The error for an end in the middle of something; `last` is the last line seen.
    pub(super) fn lost(&self, last: &str) -> RemoteError {
        let mut seen = self.why().unwrap_or_else(|| "the root shell ended".to_owned());
        if !last.is_empty() {
            seen = format!("{seen}; last line seen: {last}");
        }
        RemoteError::Lost { seen }
    }
}
