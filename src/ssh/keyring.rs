//! Key files that are encrypted: opened once for all hosts of a run, and asked about only when a server wants one.

use super::{Ask, short_key};
use russh::keys::{PrivateKey, PublicKey};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

/// How often a passphrase may be mistyped.
const TRIES: usize = 3;

/// The opened key, or why it stays closed.
pub(super) type Opened = Result<Arc<PrivateKey>, String>;

/// Opens encrypted key files; shared by all connections of a run.
#[derive(Clone, Default)]
pub struct KeyRing(Arc<Ring>);

#[derive(Default)]
struct Ring {
    ask: Ask,
    files: Mutex<BTreeMap<PathBuf, Arc<OnceCell<Opened>>>>,
}

/// What a key file holds.
pub(super) enum KeyFile {
    /// Only the public half.
    Public(PublicKey),
    /// A key that is not encrypted.
    Plain(Arc<PrivateKey>),
    /// An encrypted one, with its public half where that can be read.
    Sealed(Option<PublicKey>),
}

impl KeyRing {
    /// Asks `ask` for passphrases; [`Ask::nobody`] leaves encrypted keys closed.
    #[must_use]
    pub fn new(ask: Ask) -> Self {
        Self(Arc::new(Ring { ask, files: Mutex::default() }))
    }

    /// The encrypted key in `path`. Whoever comes second waits for the first one's answer.
    pub(super) async fn open(&self, path: &Path) -> Opened {
        self.cell(path).get_or_init(|| unlock(path, &self.0.ask)).await.clone()
    }

    /// The key in `path`, if somebody opened it, or failed to.
    pub(super) fn opened(&self, path: &Path) -> Option<Opened> {
        self.cell(path).get().cloned()
    }

    fn cell(&self, path: &Path) -> Arc<OnceCell<Opened>> {
        let mut files = self.0.files.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(files.entry(path.to_owned()).or_default())
    }
}

/// Looks into a key file without asking anybody; an error says why it is of no use.
pub(super) fn look(path: &Path) -> Result<KeyFile, String> {
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| e.to_string())?);
    if let Ok(public) = PublicKey::from_openssh(&text) {
        return Ok(KeyFile::Public(public));
    }
    match short_key::decode(&text, None) {
        Ok(key) => Ok(KeyFile::Plain(Arc::new(key))),
        Err(e) if matches!(e, russh::keys::Error::KeyIsEncrypted) || text.contains("ENCRYPTED") => {
            // In OpenSSH's format the public half is not encrypted; else it lies beside.
            let inside = PrivateKey::from_openssh(&*text).ok().map(|key| key.public_key().clone());
            let beside = || PublicKey::from_openssh(&std::fs::read_to_string(beside(path, ".pub")).ok()?).ok();
            Ok(KeyFile::Sealed(inside.or_else(beside)))
        }
        Err(e) => Err(e.to_string()),
    }
}

/// `path` with `suffix` at its end.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

async fn unlock(path: &Path, ask: &Ask) -> Opened {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let text = Arc::new(Zeroizing::new(text));
    for attempt in 1..=TRIES {
        let question = match attempt {
            1 => format!("passphrase of {}", path.display()),
            _ => format!("it does not fit; once more ({attempt} of {TRIES}), the passphrase of {}", path.display()),
        };
        let Some(answer) = ask.ask(question).await else {
            return Err(format!("encrypted, and nobody is there to be asked for its passphrase: run `ssh-add {}` first", path.display()));
        };
        // Slow on purpose (bcrypt), so not on the threads that serve connections.
        let text = Arc::clone(&text);
        let decode = move || short_key::decode(&text, Some(answer.expose())).ok();
        if let Ok(Some(key)) = tokio::task::spawn_blocking(decode).await {
            return Ok(Arc::new(key));
        }
    }
    Err("the passphrase does not fit".to_owned())
}
