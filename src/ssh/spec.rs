//! What it takes to connect to one node, and who is asked for passwords.

use super::door::Doors;
use super::keyring::KeyRing;
use crate::cluster::SshTarget;
use crate::secrets::SecretText;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Listens for recorded host keys: host and fingerprint.
pub type Recorded = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// How to get to one node.
#[derive(Clone)]
pub struct ConnectSpec {
    /// The node's name, for messages.
    pub node: String,
    pub target: SshTarget,
    /// The `known_hosts` file beside the inventory.
    pub known_hosts: PathBuf,
    /// Whether the key of a host that was never seen may be recorded.
    pub accept_new: bool,
    /// Fingerprints that may be recorded even so: somebody looked at them.
    pub accepted: Vec<String>,
    /// Asked for the password that sudo wants; [`Ask::nobody`] when none was announced.
    pub sudo_password: Ask,
    /// Opens encrypted key files; one for all hosts of a run, so that each passphrase is asked for once.
    pub keyring: KeyRing,
    /// Who may knock at which address just now; one for all hosts of a run.
    pub doors: Doors,
    /// The socket of the ssh-agent, if there is one.
    pub agent: Option<PathBuf>,
    /// OpenSSH's configuration to ask, where the target says so, in place of the user's and the system's.
    pub ssh_config: Option<PathBuf>,
    /// Told about a key that was recorded at first contact: host and fingerprint.
    pub recorded: Recorded,
    /// How long one host may take to answer and shake hands.
    pub timeout: Duration,
}

impl ConnectSpec {
    /// The careful defaults: unknown keys are refused, nobody is asked for anything, ten seconds; the agent is
    /// the environment's (`SSH_AUTH_SOCK`).
    #[must_use]
    pub fn new(node: impl Into<String>, target: SshTarget, known_hosts: impl Into<PathBuf>) -> Self {
        Self {
            node: node.into(),
            target,
            known_hosts: known_hosts.into(),
            accept_new: false,
            accepted: Vec::new(),
            sudo_password: Ask::nobody(),
            keyring: KeyRing::default(),
            doors: Doors::default(),
            agent: std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()).map(PathBuf::from),
            ssh_config: None,
            recorded: Arc::new(|_, _| ()),
            timeout: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for ConnectSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectSpec").field("node", &self.node).field("target", &self.target).finish_non_exhaustive()
    }
}

type Question = dyn Fn(&str) -> Option<SecretText> + Send + Sync;

/// Somebody who knows secrets. Each question is put once, however many hosts need the answer.
#[derive(Clone, Default)]
pub struct Ask(Option<Arc<Asked>>);

struct Asked {
    question: Box<Question>,
    answers: Mutex<BTreeMap<String, Option<SecretText>>>,
}

impl Ask {
    /// Nobody to ask.
    #[must_use]
    pub fn nobody() -> Self {
        Self(None)
    }

    /// Asks `question` with a prompt; it may block, and answers `None` when there is no answer.
    #[must_use]
    pub fn new(question: impl Fn(&str) -> Option<SecretText> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(Asked { question: Box::new(question), answers: Mutex::default() })))
    }

    /// The answer to `prompt`; whoever comes second waits for the first one's.
    pub(super) async fn ask(&self, prompt: String) -> Option<SecretText> {
        let asked = Arc::clone(self.0.as_ref()?);
        let answer = move || {
            let mut answers = asked.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.entry(prompt).or_insert_with_key(|prompt| (asked.question)(prompt)).clone()
        };
        tokio::task::spawn_blocking(answer).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn each_question_is_put_once() {
        let times = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&times);
        let ask = Ask::new(move |prompt| {
            count.fetch_add(1, Ordering::SeqCst);
            (prompt != "c").then(|| SecretText::new(format!("{prompt}!")))
        });
        for (prompt, answer) in [("a", Some("a!")), ("a", Some("a!")), ("b", Some("b!")), ("c", None), ("c", None)] {
            assert_eq!(ask.ask(prompt.to_owned()).await.as_ref().map(SecretText::expose), answer);
        }
        assert_eq!(times.load(Ordering::SeqCst), 3);
        assert!(Ask::nobody().ask("a".to_owned()).await.is_none());
    }
}
