//! Which keys are offered to a server, in which order, and what is said when it takes none.
//!
//! Keys that the inventory names come first (through the agent when that holds them, so that no passphrase is
//! asked for), then the agent's own, then the usual files where nothing was named. Servers give up after a few.

use super::config::Hop;
use super::link::Client;
use super::{Ask, ConnectSpec, RemoteError};
use russh::MethodKind;
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;

/// How long the agent may take to list its keys.
const AGENT: Duration = Duration::from_secs(5);

/// One key to offer.
enum Offer {
    File { label: String, key: Arc<PrivateKey>, certificate: Option<Certificate> },
    Agent(AgentIdentity),
}

/// The keys for one host, loaded once for all its connections.
pub(super) struct Keys {
    offers: Vec<Offer>,
    /// Keys that could not be used, and why.
    notes: Vec<String>,
    /// The agent's socket.
    agent: Option<PathBuf>,
}

impl Offer {
    fn public(&self) -> PublicKey {
        match self {
            Self::File { key, .. } => key.public_key().clone(),
            Self::Agent(identity) => identity.public_key().into_owned(),
        }
    }

    fn label(&self) -> String {
        let fingerprint = super::hostkeys::fingerprint(&self.public());
        match self {
            Self::File { label, certificate, .. } => {
                format!("{label}{} {fingerprint}", if certificate.is_some() { " with its certificate" } else { "" })
            }
            Self::Agent(identity) => format!("{} of the agent {fingerprint}", identity.comment()),
        }
    }
}

impl Keys {
    /// Loads the keys named by `identities`, or the usual ones. Asks for passphrases as needed.
    pub(super) async fn load(identities: &[PathBuf], spec: &ConnectSpec) -> Self {
        let mut keys = Self { offers: Vec::new(), notes: Vec::new(), agent: spec.agent.clone() };
        let agent = keys.held().await;
        let usual = if identities.is_empty() { usual_files() } else { Vec::new() };
        for file in identities {
            keys.file(file, &agent, &spec.passphrase).await;
        }
        for identity in &agent {
            keys.push(Offer::Agent(identity.clone()));
        }
        for file in usual {
            keys.file(&file, &agent, &spec.passphrase).await;
        }
        keys
    }

    /// What the agent holds.
    async fn held(&mut self) -> Vec<AgentIdentity> {
        let Some(socket) = self.agent.clone() else { return Vec::new() };
        let asked = async { AgentClient::connect_uds(socket).await?.request_identities().await };
        let why = match tokio::time::timeout(AGENT, asked).await {
            Ok(Ok(identities)) => return identities,
            Ok(Err(e)) => e.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.notes.push(format!("the agent cannot be asked: {why}"));
        Vec::new()
    }

    fn push(&mut self, offer: Offer) {
        let known = |o: &Offer| o.public().key_data() == offer.public().key_data();
        // A certificate and its bare key are two different offers.
        if matches!(offer, Offer::Agent(AgentIdentity::Certificate { .. })) || !self.offers.iter().any(known) {
            self.offers.push(offer);
        }
    }

    async fn file(&mut self, path: &Path, agent: &[AgentIdentity], passphrase: &Ask) {
        let label = path.display().to_string();
        let held = |public: &PublicKey| agent.iter().find(|i| i.public_key().key_data() == public.key_data()).cloned();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => zeroize::Zeroizing::new(text),
            Err(e) => return self.notes.push(format!("{label}: {e}")),
        };
        if let Ok(public) = PublicKey::from_openssh(&text) {
            match held(&public) {
                Some(identity) => self.push(Offer::Agent(identity)),
                None => self.notes.push(format!("{label}: a public key whose private half the agent does not hold")),
            }
            return;
        }
        let key = match russh::keys::decode_secret_key(&text, None) {
            Ok(key) => key,
            Err(e) if !is_encrypted(&text, &e) => return self.notes.push(format!("{label}: {e}")),
            Err(_) => {
                if let Some(identity) = public_half(path, &text).as_ref().and_then(held) {
                    return self.push(Offer::Agent(identity));
                }
                let Some(answer) = passphrase.ask(format!("passphrase of {label}")).await else {
                    return self
                        .notes
                        .push(format!("{label}: encrypted, and there is no passphrase (an ssh-agent may hold the key instead)"));
                };
                match decrypt(text, answer).await {
                    Some(key) => key,
                    None => return self.notes.push(format!("{label}: the passphrase does not fit")),
                }
            }
        };
        let certificate = russh::keys::load_openssh_certificate(beside(path, "-cert.pub")).ok();
        self.push(Offer::File { label, key: Arc::new(key), certificate });
    }

    /// Logs in to the server behind `handle`, or says what was tried.
    pub(super) async fn authenticate(&self, handle: &mut Handle<Client>, hop: &Hop) -> Result<(), RemoteError> {
        let mut offered = Vec::new();
        let mut methods = None;
        for offer in &self.offers {
            match self.attempt(handle, &hop.user, offer).await {
                Ok(AuthResult::Success) => return Ok(()),
                Ok(AuthResult::Failure { remaining_methods, partial_success }) => {
                    let more = if partial_success { " (taken, but the server wants more than a key)" } else { "" };
                    offered.push(format!("{}{more}", offer.label()));
                    let go_on = remaining_methods.contains(&MethodKind::PublicKey);
                    methods = Some(remaining_methods);
                    if !go_on {
                        break;
                    }
                }
                Err(why) => offered.push(format!("{} ({why})", offer.label())),
            }
            if handle.is_closed() {
                break;
            }
        }
        let mut seen = match offered.as_slice() {
            [] => "there is no key to offer".to_owned(),
            offered => format!("offered {}", offered.join(", ")),
        };
        let unused = self.offers.len() - offered.len();
        match methods {
            Some(methods) if methods.is_empty() && unused > 0 => {
                seen = format!("{seen}; the server gave up before {unused} more keys were tried");
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
        Err(RemoteError::Auth { user: format!("{} at {}", hop.user, hop.target()), seen })
    }

    async fn attempt(&self, handle: &mut Handle<Client>, user: &str, offer: &Offer) -> Result<AuthResult, String> {
        let hash = if offer.public().algorithm().is_rsa() { Some(rsa_hash(handle).await?) } else { None };
        match offer {
            Offer::File { key, certificate, .. } => {
                if let Some(certificate) = certificate {
                    let result = handle.authenticate_openssh_cert(user, Arc::clone(key), certificate.clone()).await;
                    if matches!(result, Ok(AuthResult::Success)) {
                        return Ok(AuthResult::Success);
                    }
                }
                let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
                handle.authenticate_publickey(user, key).await.map_err(|e| e.to_string())
            }
            Offer::Agent(identity) => {
                let socket = self.agent.as_ref().ok_or("no agent")?;
                let mut agent: AgentClient<UnixStream> = AgentClient::connect_uds(socket).await.map_err(|e| e.to_string())?;
                let result = match identity {
                    AgentIdentity::PublicKey { key, .. } => handle.authenticate_publickey_with(user, key.clone(), hash, &mut agent).await,
                    AgentIdentity::Certificate { certificate, .. } => {
                        handle.authenticate_certificate_with(user, certificate.clone(), hash, &mut agent).await
                    }
                };
                result.map_err(|e| e.to_string())
            }
        }
    }
}

/// The hash for RSA signatures; SHA-1 is not one.
async fn rsa_hash(handle: &Handle<Client>) -> Result<HashAlg, String> {
    match handle.best_supported_rsa_hash().await {
        Ok(Some(Some(hash))) => Ok(hash),
        Ok(None) => Ok(HashAlg::Sha512),
        Ok(Some(None)) => Err("the server knows RSA with SHA-1 only".to_owned()),
        Err(e) => Err(e.to_string()),
    }
}

fn usual_files() -> Vec<PathBuf> {
    let home = std::env::home_dir().unwrap_or_default().join(".ssh");
    ["id_ed25519", "id_ecdsa", "id_rsa"].iter().map(|name| home.join(name)).filter(|file| file.exists()).collect()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn is_encrypted(text: &str, error: &russh::keys::Error) -> bool {
    matches!(error, russh::keys::Error::KeyIsEncrypted) || text.contains("ENCRYPTED")
}

/// The public half of an encrypted key: in OpenSSH's format it is not encrypted; else it lies beside.
fn public_half(path: &Path, text: &str) -> Option<PublicKey> {
    let inside = PrivateKey::from_openssh(text).ok().map(|key| key.public_key().clone());
    inside.or_else(|| PublicKey::from_openssh(&std::fs::read_to_string(beside(path, ".pub")).ok()?).ok())
}

/// Slow on purpose (bcrypt), so not on the threads that serve connections.
async fn decrypt(text: zeroize::Zeroizing<String>, passphrase: crate::secrets::SecretText) -> Option<PrivateKey> {
    let decode = move || russh::keys::decode_secret_key(&text, Some(passphrase.expose())).ok();
    tokio::task::spawn_blocking(decode).await.ok().flatten()
}
