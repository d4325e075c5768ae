//! One SSH connection to a node: what it can carry, and our side of its handshake.

use super::config::Hop;
use super::hostkeys::{self, Known, Verdict};
use super::pipe::{Ending, Pipe};
use super::remote::Stream;
use super::{Recorded, RemoteError};
use russh::ChannelOpenFailure;
use russh::client::{self, DisconnectReason, Handle};
use russh::keys::PublicKeyOrCertificate;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A dead peer is noticed after three silent intervals: russh counts those before the last.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(5);
pub(super) const SILENT: usize = 2;
/// Pauses between attempts while a server turns connections away.
pub(super) const PAUSES: [u64; 5] = [150, 300, 600, 1200, 2400];

/// An open connection. The jump hosts' are kept for as long as it lives.
pub(super) struct Link {
    pub(super) handle: Handle<Client>,
    pub(super) _jumps: Vec<Handle<Client>>,
    pub(super) ending: Ending,
}

impl Link {
    /// Starts `command` on a channel of its own.
    pub(super) async fn command(&self, command: String) -> Result<Pipe, RemoteError> {
        let lost = |e: &russh::Error| RemoteError::Lost { seen: self.why().unwrap_or_else(|| e.to_string()) };
        let mut pauses = PAUSES.iter();
        let channel = loop {
            match self.handle.channel_open_session().await {
                Ok(channel) => break channel,
                // The server counts a channel for a moment longer than we do.
                Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed)) if pauses.len() > 0 => {
                    tokio::time::sleep(Duration::from_millis(pauses.next().copied().unwrap_or_default())).await;
                }
                Err(e) => return Err(lost(&e)),
            }
        };
        // No answer is asked for: what the command prints is one, and the first data need not wait.
        channel.exec(false, command).await.map_err(|e| lost(&e))?;
        Ok(Pipe::channel(channel, Arc::clone(&self.ending)))
    }

    /// A TCP connection from the node to `address:port`.
    pub(super) async fn tunnel(&self, address: &str, port: u16) -> Result<Box<dyn Stream>, RemoteError> {
        let to = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
        let seen = match self.handle.channel_open_direct_tcpip(address, u32::from(port), "127.0.0.1", 0).await {
            Ok(channel) => return Ok(Box::new(channel.into_stream())),
            Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited)) => super::failure::FORBIDDEN.to_owned(),
            Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed)) => "nothing answers there".to_owned(),
            Err(e) => match self.why() {
                Some(seen) => return Err(RemoteError::Lost { seen }),
                None => e.to_string(),
            },
        };
        Err(RemoteError::Tunnel { to, seen })
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    fn why(&self) -> Option<String> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An I/O error without its number.
pub(super) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// Our side of a connection: judges the server's key, and keeps why the connection ended.
pub(super) struct Client {
    pub(super) hop: Hop,
    pub(super) known: Known,
    pub(super) accept_new: bool,
    /// Fingerprints that may be recorded in any case.
    pub(super) accepted: Vec<String>,
    pub(super) known_hosts: PathBuf,
    pub(super) recorded: Recorded,
    pub(super) ending: Ending,
}

/// What stops a handshake.
#[derive(Debug)]
pub(super) enum DialError {
    Russh(russh::Error),
    /// We did, because of the host key.
    Refused(RemoteError),
}

impl From<russh::Error> for DialError {
    fn from(error: russh::Error) -> Self {
        Self::Russh(error)
    }
}

impl client::Handler for Client {
    type Error = DialError;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, DialError> {
        let key = shown.public_key();
        let (target, shown) = (self.hop.target(), hostkeys::fingerprint(&key));
        let mut verdict = self.known.judge(self.hop.pin.as_deref(), &key);
        if verdict == Verdict::New && (self.accept_new || self.accepted.contains(&shown)) {
            verdict = hostkeys::record(&self.known_hosts, &self.hop.name, self.hop.port, &key)
                .map_err(|e| DialError::Refused(RemoteError::Local { seen: format!("{}: {e}", self.known_hosts.display()) }))?;
            if verdict == Verdict::Trusted {
                (self.recorded)(&target, &shown);
            }
        }
        match verdict {
            Verdict::Trusted => Ok(true),
            Verdict::New => Err(DialError::Refused(RemoteError::HostKeyUnknown { target, shown })),
            Verdict::Changed(expected) => Err(DialError::Refused(RemoteError::HostKeyChanged { target, expected, shown })),
        }
    }

    async fn disconnected(&mut self, reason: DisconnectReason<DialError>) -> Result<(), DialError> {
        let why = match reason {
            DisconnectReason::ReceivedDisconnect(info) => format!("the server hung up: {}", info.message),
            DisconnectReason::Error(DialError::Russh(russh::Error::KeepaliveTimeout)) => {
                format!("no sign of life for {} s", KEEPALIVE.as_secs() * (SILENT as u64 + 1))
            }
            DisconnectReason::Error(DialError::Russh(russh::Error::IO(e))) => plain(&e),
            DisconnectReason::Error(DialError::Russh(russh::Error::Disconnect | russh::Error::HUP)) => "the server hung up".to_owned(),
            DisconnectReason::Error(DialError::Russh(e)) => e.to_string(),
            DisconnectReason::Error(DialError::Refused(e)) => e.to_string(),
        };
        let ending: &Mutex<_> = &self.ending;
        ending.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        Ok(())
    }
}
