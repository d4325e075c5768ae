//! Which keys are offered to a server, and in which order.
//!
//! Keys that the inventory (or ssh's configuration) names come first, through the agent when that holds them; then the
//! agent's own, then the usual files where nothing was named. A certificate goes before its bare key.

use super::config::{Agent, Hop};
use super::keyring::{KeyFile, KeyRing, beside, look};
use super::{ConnectSpec, hostkeys};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Certificate, PrivateKey, PublicKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// How long the agent may take to list its keys.
const AGENT: Duration = Duration::from_secs(5);

/// One key to offer.
pub(super) struct Offer {
    label: String,
    pub(super) public: PublicKey,
    /// Offered in place of the bare key.
    pub(super) certificate: Option<Certificate>,
    pub(super) hand: Hand,
}

/// Who signs with a key.
#[derive(Clone)]
pub(super) enum Hand {
    Key(Arc<PrivateKey>),
    /// An encrypted file: opened when a server would take the key.
    Sealed(PathBuf),
    Agent(PathBuf, Arc<AgentIdentity>),
}

/// The keys for one host, loaded once for all its connections.
pub(super) struct Keys {
    pub(super) offers: Vec<Offer>,
    /// Keys that could not be used, and why.
    pub(super) notes: Vec<String>,
    /// The offer that a server took, plus one.
    pub(super) worked: AtomicUsize,
    pub(super) ring: KeyRing,
}

impl Offer {
    pub(super) fn label(&self) -> String {
        let with = if self.certificate.is_some() { " with its certificate" } else { "" };
        format!("{}{with} {}", self.label, hostkeys::fingerprint(&self.public))
    }
}

impl Keys {
    /// Loads the keys for `hop`. Nobody is asked for a passphrase yet, unless a file that was named does not even
    /// show its public half.
    pub(super) async fn load(hop: &Hop, spec: &ConnectSpec) -> Self {
        let mut keys = Self { offers: Vec::new(), notes: Vec::new(), worked: AtomicUsize::new(0), ring: spec.keyring.clone() };
        let socket = match &hop.agent {
            Agent::Usual => spec.agent.clone(),
            Agent::Socket(path) => Some(path.clone()),
            Agent::Nobody => None,
        };
        let held = keys.held(socket.as_deref()).await;
        let signed: Vec<Certificate> = hop.certificates.iter().filter_map(|path| keys.certificate(path)).collect();
        for file in &hop.identities {
            keys.file(file, &held, &signed, true).await;
        }
        if !hop.identities_only {
            for (label, identity) in &held {
                keys.agents(label.clone(), identity, &signed);
            }
        }
        if hop.identities.is_empty() {
            for file in usual_files() {
                keys.file(&file, &held, &signed, false).await;
            }
        }
        keys
    }

    /// What the agent holds, with a name for each.
    async fn held(&mut self, socket: Option<&Path>) -> Vec<(String, Hand)> {
        let Some(socket) = socket else { return Vec::new() };
        let asked = async { AgentClient::connect_uds(socket).await?.request_identities().await };
        let why = match tokio::time::timeout(AGENT, asked).await {
            Ok(Ok(identities)) => {
                let named = |i: AgentIdentity| (format!("{} of the agent", i.comment()), Hand::Agent(socket.to_owned(), Arc::new(i)));
                return identities.into_iter().map(named).collect();
            }
            Ok(Err(e)) => e.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.notes.push(format!("the agent cannot be asked: {why}"));
        Vec::new()
    }

    fn certificate(&mut self, path: &Path) -> Option<Certificate> {
        match russh::keys::load_openssh_certificate(path) {
            Ok(certificate) => Some(certificate),
            Err(e) => {
                self.notes.push(format!("{}: {e}", path.display()));
                None
            }
        }
    }

    fn push(&mut self, offer: Offer) {
        let same = |o: &Offer| o.public.key_data() == offer.public.key_data() && o.certificate == offer.certificate;
        if !self.offers.iter().any(same) {
            self.offers.push(offer);
        }
    }

    /// A key with those of `certificates` that are for it, then the bare key.
    fn with_certificates(&mut self, label: &str, public: &PublicKey, hand: &Hand, certificates: &[Certificate]) {
        let its = |c: &&Certificate| c.public_key() == public.key_data();
        let offers: Vec<_> = certificates.iter().filter(its).cloned().map(Some).chain([None]).collect();
        for certificate in offers {
            self.push(Offer { label: label.to_owned(), public: public.clone(), certificate, hand: hand.clone() });
        }
    }

    /// A key of the agent.
    fn agents(&mut self, label: String, hand: &Hand, certificates: &[Certificate]) {
        let Hand::Agent(_, identity) = hand else { return };
        let public = identity.public_key().into_owned();
        match identity.as_ref() {
            AgentIdentity::Certificate { certificate, .. } => {
                self.push(Offer { label, public, certificate: Some(certificate.clone()), hand: hand.clone() });
            }
            AgentIdentity::PublicKey { .. } => self.with_certificates(&label, &public, hand, certificates),
        }
    }

    async fn file(&mut self, path: &Path, held: &[(String, Hand)], certificates: &[Certificate], named: bool) {
        let label = path.display().to_string();
        let (public, mut hand) = match look(path) {
            Ok(KeyFile::Public(public)) => (public, None),
            Ok(KeyFile::Plain(key)) => (key.public_key().clone(), Some(Hand::Key(key))),
            Ok(KeyFile::Sealed(Some(public))) => (public, Some(Hand::Sealed(path.to_owned()))),
            Ok(KeyFile::Sealed(None)) if named => match self.ring.open(path).await {
                Ok(key) => (key.public_key().clone(), Some(Hand::Key(key))),
                Err(why) => return self.notes.push(format!("{label}: {why}")),
            },
            Ok(KeyFile::Sealed(None)) => {
                return self.notes.push(format!("{label}: encrypted, and {label}.pub is not there; name it with `identity` to use it"));
            }
            Err(why) => return self.notes.push(format!("{label}: {why}")),
        };
        let mut its = certificates.to_vec();
        let private = label.strip_suffix(".pub").filter(|_| hand.is_none()).map_or(path, Path::new);
        its.extend(russh::keys::load_openssh_certificate(beside(private, "-cert.pub")).ok());
        // The agent asks for no passphrase.
        for (label, agents) in held {
            let Hand::Agent(_, identity) = agents else { continue };
            if identity.public_key().key_data() != public.key_data() {
                continue;
            }
            if matches!(**identity, AgentIdentity::Certificate { .. }) {
                self.agents(label.clone(), agents, &[]);
            } else if !matches!(hand, Some(Hand::Key(_))) {
                hand = Some(agents.clone());
            }
        }
        match hand {
            Some(hand) => self.with_certificates(&label, &public, &hand, &its),
            None => self.notes.push(format!("{label}: a public key whose private half the agent does not hold")),
        }
    }
}

fn usual_files() -> Vec<PathBuf> {
    let home = std::env::home_dir().unwrap_or_default().join(".ssh");
    ["id_ed25519", "id_ecdsa", "id_rsa"].iter().map(|name| home.join(name)).filter(|file| file.exists()).collect()
}
