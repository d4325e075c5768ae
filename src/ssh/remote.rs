//! What the engine asks of a connection to a host.

use futures::future::BoxFuture;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncWrite};

/// One line of a script's output, as it arrives (stdout and stderr merged).
pub type Line<'a> = &'a str;

/// What a script left behind: everything it printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// stdout and stderr, merged in order.
    pub output: String,
    /// Exit status of the script.
    pub status: i32,
}

/// Why a host did not do what it was asked. Each says what was seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// No TCP connection or no SSH banner.
    #[error("cannot reach {target}: {seen}")]
    Unreachable { target: String, seen: String },
    /// The server refused every key that was offered.
    #[error("{user} is not let in: {seen}")]
    Auth { user: String, seen: String },
    /// The server's key is not the pinned or recorded one.
    #[error("the host key of {target} changed: expected {expected}, the server shows {shown}")]
    HostKeyChanged { target: String, expected: String, shown: String },
    /// First contact, and nobody said that new keys may be recorded.
    #[error("the host key of {target} is not known: the server shows {shown}")]
    HostKeyUnknown { target: String, shown: String },
    /// Logged in, but root is out of reach (sudo missing, denied, needs a password, needs a tty).
    #[error("no root on the machine: {seen}")]
    Sudo { seen: String, help: String },
    /// The connection ended while a script ran: its outcome is unknown.
    #[error("the connection was lost: {seen}")]
    Lost { seen: String },
    /// The lock is held by somebody else; `holder` is what they wrote about themselves.
    #[error("another run holds the machine: {holder}")]
    Locked { holder: String },
    /// The host could not open the connection that was asked for.
    #[error("no way from the machine to {to}: {seen}")]
    Tunnel { to: String, seen: String },
    /// A file did not get to the host; `seen` are the words of the program that wrote it.
    #[error("the upload to {to} failed: {seen}")]
    Upload { to: String, seen: String },
    /// A file could not be had from the host; `seen` are the words of the program that read it.
    #[error("{from} could not be fetched: {seen}")]
    Download { from: String, seen: String },
    /// Something is missing on the operator's own computer: a key file, `known_hosts`, a password.
    #[error("{seen}")]
    Local { seen: String },
    /// A script did not end in the time given.
    #[error("no end after {seconds} s; last line seen: {last}")]
    Timeout { seconds: u64, last: String },
}

/// Traffic of one host, for the cheapness budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Client-to-server bursts after server data.
    pub turns: u64,
    /// Bytes sent to the server (TCP payload).
    pub up: u64,
    /// Bytes received from the server.
    pub down: u64,
}

/// A byte stream to a TCP port as seen from the host.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Takes the next piece of a file; an error ends the download.
pub type Take<'a> = &'a mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send);

/// An open session with one host: a long-lived root shell and what goes beside it.
pub trait Remote: Send + Sync {
    /// Runs `script` (POSIX sh) as root in the host's one shell, in a subshell of its own, and feeds each
    /// output line to `sink` as it arrives. Scripts of one host run one after another.
    fn run<'a>(&'a self, script: &'a str, sink: &'a mut (dyn FnMut(Line<'_>) + Send)) -> BoxFuture<'a, Result<Reply, RemoteError>>;

    /// Streams the file `from` (on this computer) into a new root-owned 0600 file `to` over a connection of its
    /// own, calling `sent` with the bytes sent so far. The caller verifies and renames.
    fn upload<'a>(&'a self, from: PathBuf, to: &'a str, sent: &'a (dyn Fn(u64) + Send + Sync)) -> BoxFuture<'a, Result<(), RemoteError>>;

    /// Reads the file `from` of the host into `take` over a connection of its own; how many bytes it had. The caller verifies:
    /// what was taken before an error is half a file.
    fn download<'a>(&'a self, from: &'a str, take: Take<'a>) -> BoxFuture<'a, Result<u64, RemoteError>>;

    /// A TCP connection from the host to `address:port` (direct-tcpip).
    fn tunnel<'a>(&'a self, address: &'a str, port: u16) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>>;

    /// Takes the host's lock (`/run/homectl.lock`, kernel `flock`) over a connection of its own and holds it with
    /// a heartbeat until the guard is dropped. `who` is written for others to read.
    fn lock<'a>(&'a self, who: &'a str) -> BoxFuture<'a, Result<Box<dyn Send + Sync>, RemoteError>>;

    /// Traffic so far, all connections of this host.
    fn counters(&self) -> Counters;
}

/// A shared handle on an open session.
pub type Connection = std::sync::Arc<dyn Remote>;
