//! One SSH connection to a node: dialled (through jump hosts if need be), host key checked, logged in.

use super::config::Hop;
use super::hostkeys::{self, Known, Verdict};
use super::keys::Keys;
use super::pipe::{Ending, Pipe};
use super::remote::Stream;
use super::traffic::{Counted, Traffic};
use super::{ConnectSpec, Recorded, RemoteError, config};
use russh::client::{self, DisconnectReason, Handle};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKeyOrCertificate};
use russh::{ChannelOpenFailure, Preferred};
use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A dead peer is noticed after three silent intervals: russh counts those before the last.
const KEEPALIVE: Duration = Duration::from_secs(5);
const SILENT: usize = 2;
/// Bytes taken off the wire at a time.
const BUFFER: usize = 64 << 10;
/// Pauses between attempts while a server turns connections away.
const PAUSES: [u64; 5] = [150, 300, 600, 1200, 2400];

/// Makes connections to one node, all alike.
pub(super) struct Dialer {
    pub(super) spec: ConnectSpec,
    pub(super) traffic: Arc<Traffic>,
    hops: Vec<Hop>,
    /// Keys for each hop.
    keys: Vec<Keys>,
}

/// An open connection. The jump hosts' are kept for as long as it lives.
pub(super) struct Link {
    handle: Handle<Client>,
    _jumps: Vec<Handle<Client>>,
    ending: Ending,
}

impl Dialer {
    /// Finds the way and loads the keys; nothing is dialled yet.
    pub(super) async fn new(spec: ConnectSpec) -> Result<Self, RemoteError> {
        let hops = config::route(&spec.target).await?;
        let mut keys = Vec::new();
        for hop in &hops {
            keys.push(Keys::load(&hop.identities, &spec).await);
        }
        Ok(Self { spec, traffic: Arc::default(), hops, keys })
    }

    /// Who we are on the node.
    pub(super) fn user(&self) -> &str {
        self.hops.last().map_or("", |hop| &hop.user)
    }

    /// Connects and logs in.
    pub(super) async fn dial(&self) -> Result<Link, RemoteError> {
        let ending = Ending::default();
        let mut jumps: Vec<Handle<Client>> = Vec::new();
        for (hop, keys) in self.hops.iter().zip(&self.keys) {
            let mut handle = self.hop(hop, jumps.last(), &ending).await?;
            let login = keys.authenticate(&mut handle, hop);
            let late = |_| unreachable(hop, "the server took the connection but did not end the login");
            tokio::time::timeout(self.spec.timeout * 3, login).await.map_err(late)??;
            jumps.push(handle);
        }
        let handle = jumps.pop().ok_or_else(|| RemoteError::Local { seen: "no way to the node".to_owned() })?;
        Ok(Link { handle, _jumps: jumps, ending })
    }

    /// One hop, up to a checked host key. A server that turns connections away is asked again a few times.
    async fn hop(&self, hop: &Hop, via: Option<&Handle<Client>>, ending: &Ending) -> Result<Handle<Client>, RemoteError> {
        let mut pauses = PAUSES.iter();
        loop {
            match self.pinned(hop, via, ending).await {
                Err(Broken::Busy(error)) => match pauses.next() {
                    Some(&pause) => tokio::time::sleep(Duration::from_millis(pause + rand::random_range(0..pause))).await,
                    None => return Err(error),
                },
                Err(Broken::Final(error)) => return Err(error),
                Ok(handle) => return Ok(handle),
            }
        }
    }

    /// A pin does not tell the type of its key: where the first key that is shown does not fit, the server may
    /// have the pinned one as well.
    async fn pinned(&self, hop: &Hop, via: Option<&Handle<Client>>, ending: &Ending) -> Result<Handle<Client>, Broken> {
        let changed = match self.once(hop, via, ending, None).await {
            Err(Broken::Final(changed @ RemoteError::HostKeyChanged { .. })) if hop.pin.is_some() => changed,
            other => return other,
        };
        for family in [&[Algorithm::Ed25519][..], &ecdsa(), &rsa()] {
            if let Ok(handle) = self.once(hop, via, ending, Some(family.to_vec())).await {
                return Ok(handle);
            }
        }
        Err(Broken::Final(changed))
    }

    async fn once(
        &self,
        hop: &Hop,
        via: Option<&Handle<Client>>,
        ending: &Ending,
        only: Option<Vec<Algorithm>>,
    ) -> Result<Handle<Client>, Broken> {
        let known = Known::read(&self.spec.known_hosts, &hop.name, hop.port);
        let known = known.map_err(|e| Broken::Final(RemoteError::Local { seen: e.to_string() }))?;
        let algorithms = only.unwrap_or_else(|| preferred(&known.algorithms()));
        let stream: Box<dyn Stream> = match via {
            Some(jump) => {
                let channel = jump.channel_open_direct_tcpip(hop.host.as_str(), u32::from(hop.port), "127.0.0.1", 0).await;
                Box::new(channel.map_err(|e| Broken::Final(unreachable(hop, &format!("through the jump host: {e}"))))?.into_stream())
            }
            None => Box::new(self.tcp(hop).await?),
        };
        let is_node = self.hops.last().is_some_and(|last| std::ptr::eq(last, hop));
        let traffic = if is_node { Arc::clone(&self.traffic) } else { Arc::default() };
        // Buffered, so that what one segment brings is heard at once and counts as one word of the server.
        let stream = BufReader::with_capacity(BUFFER, Counted::new(stream, traffic));
        let client = Client {
            hop: hop.clone(),
            known,
            accept_new: self.spec.accept_new,
            known_hosts: self.spec.known_hosts.clone(),
            recorded: Arc::clone(&self.spec.recorded),
            ending: Arc::clone(ending),
        };
        let shake = client::connect_stream(configuration(algorithms), stream, client);
        match tokio::time::timeout(self.spec.timeout, shake).await {
            Ok(Ok(handle)) => Ok(handle),
            Ok(Err(DialError::Refused(error))) => Err(Broken::Final(error)),
            Ok(Err(DialError::Russh(error))) => Err(broken(hop, &error)),
            Err(_) => Err(Broken::Final(unreachable(hop, "it took the connection, but does not speak SSH in time"))),
        }
    }

    /// Dials all addresses of a name, each a little after the one before, and takes the first that answers.
    async fn tcp(&self, hop: &Hop) -> Result<TcpStream, Broken> {
        let failed = |seen: &str| Broken::Final(unreachable(hop, seen));
        let race = async {
            let addresses = tokio::net::lookup_host((hop.host.as_str(), hop.port)).await.map_err(|e| failed(&plain(&e)))?;
            let mut attempts = JoinSet::new();
            for (n, address) in (0u32..).zip(addresses) {
                attempts.spawn(async move {
                    tokio::time::sleep(Duration::from_millis(250) * n).await;
                    TcpStream::connect(address).await
                });
            }
            let mut last = failed("the name has no address");
            while let Some(attempt) = attempts.join_next().await {
                match attempt {
                    Ok(Ok(stream)) => return Ok(stream),
                    Ok(Err(e)) => last = failed(&plain(&e)),
                    Err(e) => last = failed(&e.to_string()),
                }
            }
            Err(last)
        };
        let late = |_| failed(&format!("no answer within {} s", self.spec.timeout.as_secs()));
        let stream = tokio::time::timeout(self.spec.timeout, race).await.map_err(late)??;
        stream.set_nodelay(true).map_err(|e| failed(&plain(&e)))?;
        Ok(stream)
    }
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

/// Why a hop did not come about.
enum Broken {
    /// The server hung up before it said anything: it may be busy.
    Busy(RemoteError),
    Final(RemoteError),
}

fn broken(hop: &Hop, error: &russh::Error) -> Broken {
    let hung_up = |e: &std::io::Error| matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe);
    match error {
        russh::Error::Disconnect | russh::Error::HUP => {}
        russh::Error::IO(e) if hung_up(e) => {}
        russh::Error::IO(e) => return Broken::Final(unreachable(hop, &plain(e))),
        e => return Broken::Final(unreachable(hop, &e.to_string())),
    }
    Broken::Busy(unreachable(
        hop,
        "the server hung up before the handshake, several times (MaxStartups or PerSourcePenalties in its sshd_config?)",
    ))
}

fn unreachable(hop: &Hop, seen: &str) -> RemoteError {
    RemoteError::Unreachable { target: hop.target(), seen: seen.to_owned() }
}

/// An I/O error without its number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

fn ecdsa() -> [Algorithm; 3] {
    [EcdsaCurve::NistP256, EcdsaCurve::NistP384, EcdsaCurve::NistP521].map(|curve| Algorithm::Ecdsa { curve })
}

fn rsa() -> [Algorithm; 2] {
    [HashAlg::Sha512, HashAlg::Sha256].map(|hash| Algorithm::Rsa { hash: Some(hash) })
}

/// Host key algorithms, those of recorded keys first; SHA-1 is in none of them.
fn preferred(known: &[Algorithm]) -> Vec<Algorithm> {
    let all: Vec<Algorithm> = [Algorithm::Ed25519].into_iter().chain(ecdsa()).chain(rsa()).collect();
    let is_rsa = |a: &Algorithm| matches!(a, Algorithm::Rsa { .. });
    let is_known = |a: &Algorithm| known.iter().any(|k| k == a || (is_rsa(k) && is_rsa(a)));
    let (first, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(is_known);
    first.into_iter().chain(rest).collect()
}

fn configuration(algorithms: Vec<Algorithm>) -> Arc<client::Config> {
    Arc::new(client::Config {
        preferred: Preferred { key: Cow::Owned(algorithms), ..Preferred::DEFAULT },
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: SILENT,
        nodelay: true,
        ..client::Config::default()
    })
}

/// Our side of a connection: judges the server's key, and keeps why the connection ended.
pub(super) struct Client {
    hop: Hop,
    known: Known,
    accept_new: bool,
    known_hosts: PathBuf,
    recorded: Recorded,
    ending: Ending,
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
        if verdict == Verdict::New && self.accept_new {
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
