//! One login: keys are offered until the server takes one. A server gives up after a few (`MaxAuthTries`); the
//! rest are offered on further connections. Nobody types a passphrase while a server waits.

use super::RemoteError;
use super::config::Hop;
use super::keys::{Hand, Keys, Offer};
use super::link::Client;
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKey, signature, ssh_encoding::Encode, ssh_key};
use russh::{MethodKind, MethodSet, SendError, Signer};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::UnixStream;

/// Connections on which keys are offered: newer servers (`PerSourcePenalties`) shut out who goes on for longer.
const CONNECTIONS: usize = 3;

/// Where a login stands.
pub(super) struct Login<'a> {
    keys: &'a Keys,
    hop: &'a Hop,
    /// What is still to be offered.
    rest: VecDeque<usize>,
    offered: Vec<String>,
    notes: Vec<String>,
    methods: Option<MethodSet>,
    connections: usize,
}

/// What became of the offers on one connection.
pub(super) enum Step {
    In,
    /// The server would take this encrypted key: open it, then connect anew.
    Sealed(PathBuf),
    /// The server gave up on us: the rest goes over a new connection.
    Again,
}

impl<'a> Login<'a> {
    /// A login with `keys`, the one that worked before coming first.
    pub(super) fn new(keys: &'a Keys, hop: &'a Hop) -> Self {
        let worked = keys.worked.load(Ordering::Relaxed).checked_sub(1);
        let rest = worked.into_iter().chain((0..keys.offers.len()).filter(|n| Some(*n) != worked)).collect();
        Self { keys, hop, rest, offered: Vec::new(), notes: keys.notes.clone(), methods: None, connections: 0 }
    }

    /// Opens the encrypted key that is next; one that stays closed is not offered any more.
    pub(super) async fn unlock(&mut self, path: &PathBuf) {
        if let Err(why) = self.keys.ring.open(path).await {
            self.notes.push(format!("{}: {why}", path.display()));
            let sealed = |n: &usize| matches!(&self.keys.offers[*n].hand, Hand::Sealed(file) if file == path);
            self.rest.retain(|n| !sealed(n));
        }
    }

    /// Offers keys to the server behind `handle`; an error says what was tried.
    pub(super) async fn attempt(&mut self, handle: &mut Handle<Client>) -> Result<Step, RemoteError> {
        self.connections += 1;
        while let Some(&n) = self.rest.front() {
            let offer = &self.keys.offers[n];
            match self.offer(handle, offer).await {
                Ok(AuthResult::Success) => {
                    self.keys.worked.store(n + 1, Ordering::Relaxed);
                    return Ok(Step::In);
                }
                Ok(AuthResult::Failure { remaining_methods, partial_success }) => {
                    let more = if partial_success { " (taken, but the server wants more than a key)" } else { "" };
                    self.offered.push(format!("{}{more}", offer.label()));
                    let gave_up = remaining_methods.is_empty();
                    if !gave_up && !remaining_methods.contains(&MethodKind::PublicKey) {
                        self.methods = Some(remaining_methods);
                        break;
                    }
                    self.methods = Some(remaining_methods);
                    self.rest.pop_front();
                    if (gave_up || handle.is_closed()) && !self.rest.is_empty() && self.connections < CONNECTIONS {
                        return Ok(Step::Again);
                    }
                }
                Err(Unsigned::Sealed(path)) => {
                    // The time that somebody needs to type is nothing that a server should have to wait.
                    self.connections -= 1;
                    return Ok(Step::Sealed(path));
                }
                Err(Unsigned::Failed(why)) => {
                    self.offered.push(format!("{} ({why})", offer.label()));
                    self.rest.pop_front();
                }
            }
            if handle.is_closed() {
                break;
            }
        }
        Err(self.refusal())
    }

    fn refusal(&self) -> RemoteError {
        let mut seen = match self.offered.as_slice() {
            [] => "there is no key to offer".to_owned(),
            offered => format!("offered {}", offered.join(", ")),
        };
        match &self.methods {
            Some(methods) if methods.is_empty() && !self.rest.is_empty() => {
                let more = self.rest.len();
                seen = format!("{seen}; the server gave up before {more} more keys were tried: name the right one with `identity`");
            }
            Some(methods) if !methods.is_empty() => {
                let names: Vec<String> = methods.iter().map(String::from).collect();
                seen = format!("{seen}; the server lets in by {}", names.join(", "));
            }
            _ => {}
        }
        if !self.notes.is_empty() {
            seen = format!("{seen}; not usable: {}", self.notes.join("; "));
        }
        RemoteError::Auth { user: format!("{} at {}", self.hop.user, self.hop.target()), seen }
    }

    async fn offer(&self, handle: &mut Handle<Client>, offer: &Offer) -> Result<AuthResult, Unsigned> {
        let hash = if offer.public.algorithm().is_rsa() { Some(rsa_hash(handle).await?) } else { None };
        let mut pen = match &offer.hand {
            Hand::Key(key) => Pen::Key(Arc::clone(key)),
            Hand::Sealed(path) => match self.keys.ring.opened(path) {
                Some(Ok(key)) => Pen::Key(key),
                Some(Err(why)) => return Err(Unsigned::Failed(why)),
                None => Pen::Sealed(path.clone()),
            },
            Hand::Agent(socket, identity) => {
                Pen::Agent(Box::new(AgentClient::connect_uds(socket).await.map_err(failed)?), Arc::clone(identity))
            }
        };
        let user = &self.hop.user;
        match &offer.certificate {
            Some(certificate) => handle.authenticate_certificate_with(user, certificate.clone(), hash, &mut pen).await,
            None => handle.authenticate_publickey_with(user, offer.public.clone(), hash, &mut pen).await,
        }
    }
}

/// The hash for RSA signatures; SHA-1 is not one.
async fn rsa_hash(handle: &Handle<Client>) -> Result<HashAlg, Unsigned> {
    match handle.best_supported_rsa_hash().await {
        Ok(Some(Some(hash))) => Ok(hash),
        Ok(None) => Ok(HashAlg::Sha512),
        Ok(Some(None)) => Err(Unsigned::Failed("the server knows RSA with SHA-1 only".to_owned())),
        Err(e) => Err(failed(e)),
    }
}

/// Signs for one offer.
enum Pen {
    Key(Arc<PrivateKey>),
    Sealed(PathBuf),
    Agent(Box<AgentClient<UnixStream>>, Arc<AgentIdentity>),
}

/// Why there is no signature.
enum Unsigned {
    /// The key is still encrypted.
    Sealed(PathBuf),
    Failed(String),
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Unsigned {
    Unsigned::Failed(error.into().to_string())
}

impl From<SendError> for Unsigned {
    fn from(_: SendError) -> Self {
        Self::Failed("the server hung up".to_owned())
    }
}

impl Signer for Pen {
    type Error = Unsigned;

    async fn auth_sign(&mut self, _key: &AgentIdentity, hash: Option<HashAlg>, mut data: Vec<u8>) -> Result<Vec<u8>, Unsigned> {
        match self {
            Self::Sealed(path) => Err(Unsigned::Sealed(path.clone())),
            // The agent knows its key by the name under which it told it, whatever certificate was shown.
            Self::Agent(agent, identity) => agent.sign_request(identity, hash, data).await.map_err(failed),
            Self::Key(key) => {
                let signature = match key.key_data() {
                    ssh_key::private::KeypairData::Rsa(pair) => signature::Signer::try_sign(&(pair, hash), &data),
                    pair => signature::Signer::try_sign(pair, &data),
                };
                let signature: ssh_key::Signature = signature.map_err(failed)?;
                signature.encode_prefixed(&mut data).map_err(failed)?;
                Ok(data)
            }
        }
    }
}
