//! Dialling: through jump hosts if need be, host keys checked, logged in.

use super::config::{self, Hop};
use super::door::Door;
use super::hostkeys::Known;
use super::keys::Keys;
use super::link::{Client, DialError, KEEPALIVE, Link, PAUSES, SILENT, plain};
use super::login::{Login, Step};
use super::pipe::Ending;
use super::remote::Stream;
use super::traffic::{Counted, Traffic};
use super::{ConnectSpec, RemoteError, proxy};
use russh::Preferred;
use russh::client::{self, Handle};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use std::borrow::Cow;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Bytes taken off the wire at a time.
const BUFFER: usize = 64 << 10;
/// A slow host is waited for while it says something, for this many times the patience with a silent one.
const SLOW: u32 = 6;

/// Makes connections to one node, all alike.
pub(super) struct Dialer {
    pub(super) spec: ConnectSpec,
    pub(super) traffic: Arc<Traffic>,
    hops: Vec<Hop>,
    /// Keys for each hop, and the door where we wait for our turn.
    ways: Vec<(Keys, Arc<Door>)>,
}

impl Dialer {
    /// Finds the way and loads the keys; nothing is dialled yet.
    pub(super) async fn new(spec: ConnectSpec) -> Result<Self, RemoteError> {
        let hops = config::route(&spec.target, spec.ssh_config.as_deref()).await?;
        let mut ways = Vec::new();
        let mut path = String::new();
        for hop in &hops {
            path = format!("{path} {}@{}:{} {:?}", hop.user, hop.host, hop.port, hop.identities);
            ways.push((Keys::load(hop, &spec).await, spec.doors.door(path.clone())));
        }
        Ok(Self { spec, traffic: Arc::default(), hops, ways })
    }

    /// Who we are on the node.
    pub(super) fn user(&self) -> &str {
        self.hops.last().map_or("", |hop| &hop.user)
    }

    /// Connects and logs in.
    pub(super) async fn dial(&self) -> Result<Link, RemoteError> {
        let ending = Ending::default();
        let mut jumps: Vec<Handle<Client>> = Vec::new();
        for (hop, (keys, door)) in self.hops.iter().zip(&self.ways) {
            let handle = self.enter(hop, keys, door, jumps.last(), &ending).await?;
            jumps.push(handle);
        }
        let handle = jumps.pop().ok_or_else(|| RemoteError::Local { seen: "no way to the node".to_owned() })?;
        Ok(Link { handle, _jumps: jumps, ending })
    }

    /// One hop, logged in: on as many connections as its keys need.
    async fn enter(
        &self,
        hop: &Hop,
        keys: &Keys,
        door: &Arc<Door>,
        via: Option<&Handle<Client>>,
        ending: &Ending,
    ) -> Result<Handle<Client>, RemoteError> {
        let mut login = Login::new(keys, hop);
        loop {
            let place = door.place().await?;
            let entered = async {
                let traffic = self.traffic_of(hop);
                let mut handle = self.hop(hop, via, ending, &traffic).await?;
                let step = patiently(self.spec.timeout * 2, &traffic, login.attempt(&mut handle)).await;
                let late = || unreachable(hop, "the server took the connection but did not end the login");
                Ok((handle, step.ok_or_else(late)??))
            };
            match entered.await {
                Ok((handle, Step::In)) => {
                    place.let_in();
                    return Ok(handle);
                }
                Ok((handle, Step::Sealed(path))) => {
                    drop((handle, place));
                    login.unlock(&path).await;
                }
                Ok((_, Step::Again)) => {}
                Err(error) => {
                    place.refused(&error);
                    return Err(error);
                }
            }
        }
    }

    /// One hop, up to a checked host key. A server that turns connections away is asked again a few times.
    async fn hop(
        &self,
        hop: &Hop,
        via: Option<&Handle<Client>>,
        ending: &Ending,
        traffic: &Arc<Traffic>,
    ) -> Result<Handle<Client>, RemoteError> {
        let mut pauses = PAUSES.iter();
        loop {
            match self.pinned(hop, via, ending, traffic).await {
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
    async fn pinned(
        &self,
        hop: &Hop,
        via: Option<&Handle<Client>>,
        ending: &Ending,
        traffic: &Arc<Traffic>,
    ) -> Result<Handle<Client>, Broken> {
        let changed = match self.once(hop, via, ending, traffic, None).await {
            Err(Broken::Final(changed @ RemoteError::HostKeyChanged { .. })) if hop.pin.is_some() => changed,
            other => return other,
        };
        for family in [&[Algorithm::Ed25519][..], &ecdsa(), &rsa()] {
            if let Ok(handle) = self.once(hop, via, ending, traffic, Some(family.to_vec())).await {
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
        traffic: &Arc<Traffic>,
        only: Option<Vec<Algorithm>>,
    ) -> Result<Handle<Client>, Broken> {
        let known = self.known(hop).map_err(Broken::Final)?;
        let algorithms = only.unwrap_or_else(|| preferred(&known.algorithms()));
        let stream: Box<dyn Stream> = match via {
            Some(jump) => {
                let channel = jump.channel_open_direct_tcpip(hop.host.as_str(), u32::from(hop.port), "127.0.0.1", 0).await;
                Box::new(channel.map_err(|e| Broken::Final(unreachable(hop, &format!("through the jump host: {e}"))))?.into_stream())
            }
            None => match &hop.command {
                Some(command) => {
                    Box::new(proxy::start(command, hop).map_err(|e| Broken::Final(unreachable(hop, &format!("ProxyCommand: {e}"))))?)
                }
                None => Box::new(self.tcp(hop).await?),
            },
        };
        // Buffered, so that what one segment brings is heard at once and counts as one word of the server.
        let stream = BufReader::with_capacity(BUFFER, Counted::new(stream, Arc::clone(traffic)));
        let client = Client {
            hop: hop.clone(),
            known,
            accept_new: self.spec.accept_new,
            accepted: self.spec.accepted.clone(),
            known_hosts: self.spec.known_hosts.clone(),
            recorded: Arc::clone(&self.spec.recorded),
            ending: Arc::clone(ending),
        };
        let shake = client::connect_stream(configuration(algorithms), stream, client);
        match patiently(self.spec.timeout, traffic, shake).await {
            Some(Ok(handle)) => Ok(handle),
            Some(Err(DialError::Refused(error))) => Err(Broken::Final(error)),
            Some(Err(DialError::Russh(error))) => Err(broken(hop, &error)),
            None => Err(Broken::Final(unreachable(hop, "it took the connection, but does not speak SSH in time"))),
        }
    }

    /// What is known of the keys of `hop`: beside the inventory, and where ssh's configuration says.
    fn known(&self, hop: &Hop) -> Result<Known, RemoteError> {
        let known = Known::read(&self.spec.known_hosts, &hop.name, hop.port);
        let mut known = known.map_err(|e| RemoteError::Local { seen: e.to_string() })?;
        for file in &hop.known {
            match &hop.alias {
                Some(alias) => known.also(file, alias, 22),
                None => known.also(file, &hop.host, hop.port),
            }
        }
        Ok(known)
    }

    /// Where bytes are counted: those of jump hosts are nobody's.
    fn traffic_of(&self, hop: &Hop) -> Arc<Traffic> {
        let is_node = self.hops.last().is_some_and(|last| std::ptr::eq(last, hop));
        if is_node { Arc::clone(&self.traffic) } else { Arc::default() }
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

/// `work`, given up (`None`) after `silence` in which nothing was heard, or when it has gone on for far too long.
async fn patiently<T>(silence: Duration, traffic: &Traffic, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut heard = traffic.counters().down;
    for _ in 0..SLOW {
        if let Ok(done) = tokio::time::timeout(silence, &mut work).await {
            return Some(done);
        }
        let now = traffic.counters().down;
        if now == heard {
            return None;
        }
        heard = now;
    }
    None
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
