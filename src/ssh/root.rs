//! From a login to a program that runs as root: directly, by sudo (with a password if it must be), or by doas.

use super::dial::Dialer;
use super::link::Link;
use super::pipe::Pipe;
use super::{Ask, RemoteError, node};
use bytes::BytesMut;
use std::time::Duration;

/// How long each part of the way may take; sudo on a machine without DNS takes ten seconds by itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many lines of noise are kept as evidence.
const EVIDENCE: usize = 10;

/// Starts `program` as root on the node behind `link`; its lines begin with `token`. Gives back the rest of the
/// first of them. The way to root and the program leave together, as soon as the server takes data at all.
pub(super) async fn start(dialer: &Dialer, link: &Link, program: &str, token: &str) -> Result<(Pipe, String), RemoteError> {
    let user = dialer.user();
    let (mark, prompt) = (node::token(), node::token());
    let way = node::become_root(&mark, &prompt, program.len());
    let pipe = link.command(node::command(way.len())).await?;
    Way { pipe, user, program, token, mark, prompt }.go(way, &dialer.spec.sudo_password).await
}

/// The conversation up to the program's first line.
pub(super) struct Way<'a> {
    pub(super) pipe: Pipe,
    pub(super) user: &'a str,
    pub(super) program: &'a str,
    pub(super) token: &'a str,
    pub(super) mark: String,
    pub(super) prompt: String,
}

/// What was heard.
enum Heard {
    /// The program's first line, without the token.
    Program(String),
    /// A line of the way to root itself.
    Way(String),
    /// sudo asks for the password.
    Asked,
    /// sudo took it.
    Taken,
    Noise(String),
}

impl Way<'_> {
    /// Sends `way`, and follows it.
    pub(super) async fn go(mut self, way: String, password: &Ask) -> Result<(Pipe, String), RemoteError> {
        // A login that ends before it read this has something to say: it is heard below.
        let _ = self.pipe.send(way + self.program).await;
        let mut by = None;
        let mut words = Words::default();
        loop {
            match self.patient(&words).await? {
                Some(Heard::Program(first)) => return Ok((self.pipe, first)),
                Some(Heard::Way(word)) if word == "refused" => {
                    return match refusal(by.as_deref(), self.user, &words) {
                        Refusal::Password => self.by_password(password).await,
                        Refusal::Final(error) => Err(error),
                    };
                }
                Some(Heard::Way(word)) if word == "nothing" => return Err(no_sudo(self.user)),
                Some(Heard::Way(word)) => {
                    // What came before was noise of the login; from here on it is sudo that speaks.
                    words = Words::default();
                    by = Some(word);
                }
                Some(Heard::Noise(line)) => words.push(line),
                Some(Heard::Asked | Heard::Taken) => {}
                None if by.is_none() => return Err(no_shell(self.user, &words, &self.pipe)),
                None => return Err(self.pipe.receiver.lost(&words.text())),
            }
        }
    }

    async fn by_password(mut self, ask: &Ask) -> Result<(Pipe, String), RemoteError> {
        let Some(password) = ask.ask(format!("sudo password of {}", self.user)).await else {
            return Err(needs_password(self.user));
        };
        self.pipe.send("password\n").await?;
        let mut words = Words::default();
        let mut sent = false;
        loop {
            match self.patient(&words).await? {
                Some(Heard::Program(first)) => return Ok((self.pipe, first)),
                Some(Heard::Asked) if sent => return Err(wrong_password(self.user)),
                Some(Heard::Asked) => {
                    self.pipe.send(format!("{}\n", password.expose())).await?;
                    sent = true;
                    words = Words::default();
                }
                Some(Heard::Taken) => self.pipe.send(self.program.to_owned()).await?,
                Some(Heard::Way(word)) if word == "refused" => {
                    return Err(match refusal(Some("sudo"), self.user, &words) {
                        Refusal::Password => wrong_password(self.user),
                        Refusal::Final(error) => error,
                    });
                }
                Some(Heard::Way(_)) => words = Words::default(),
                Some(Heard::Noise(line)) => words.push(line),
                None => return Err(self.pipe.receiver.lost(&words.text())),
            }
        }
    }

    /// What is heard next, unless it takes too long; `words` are what was heard so far.
    async fn patient(&mut self, words: &Words) -> Result<Option<Heard>, RemoteError> {
        if let Ok(heard) = tokio::time::timeout(PATIENCE, self.heard()).await {
            return Ok(heard);
        }
        // A question that is not ours (a second factor, a login script) has no newline.
        let last = [words.text(), self.pipe.receiver.unfinished()].join(" ").trim().to_owned();
        Err(RemoteError::Timeout { seconds: PATIENCE.as_secs(), last })
    }

    /// The next line or prompt; `None` at the end.
    async fn heard(&mut self) -> Option<Heard> {
        let (asked, taken) = (format!("{}?", self.prompt), format!("{}+", self.prompt));
        let line: BytesMut = self.pipe.receiver.line_or(&[asked.as_bytes(), taken.as_bytes()]).await?;
        let line = String::from_utf8_lossy(&line);
        Some(if line.ends_with(&asked) {
            Heard::Asked
        } else if line.ends_with(&taken) {
            Heard::Taken
        } else if let Some(word) = line.strip_prefix(self.token) {
            Heard::Program(word.trim().to_owned())
        } else if let Some(word) = line.strip_prefix(self.mark.as_str()) {
            Heard::Way(word.trim().to_owned())
        } else {
            Heard::Noise(line.trim().to_owned())
        })
    }
}

/// The last few lines that somebody said.
#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn push(&mut self, line: String) {
        if !line.is_empty() {
            if self.0.len() == EVIDENCE {
                self.0.remove(0);
            }
            self.0.push(line);
        }
    }

    fn text(&self) -> String {
        self.0.join("; ")
    }

    fn say(&self, parts: &[&str]) -> bool {
        self.0.iter().any(|line| parts.iter().any(|part| line.contains(part)))
    }
}

enum Refusal {
    /// A password would help.
    Password,
    Final(RemoteError),
}

/// What sudo (or doas) meant.
fn refusal(by: Option<&str>, user: &str, words: &Words) -> Refusal {
    let doas = by == Some("doas");
    Refusal::Final(if words.say(&["must have a tty", "no tty present", "a terminal is required"]) {
        RemoteError::Sudo {
            seen: format!("sudo insists on a terminal, which a program does not have: {}", words.text()),
            help: format!("on the machine, in /etc/sudoers.d/homectl: Defaults:{user} !requiretty"),
        }
    } else if doas && words.say(&["Authentication required", "Authentication failed", "a tty is required"]) {
        RemoteError::Sudo {
            seen: format!("doas wants a password of {user}, and takes it from a terminal only"),
            help: format!("on the machine, in /etc/doas.conf: permit nopass {user}"),
        }
    } else if words.say(&["password is required", "interactive authentication is required"]) {
        return Refusal::Password;
    } else if words.say(&["not in the sudoers", "may not run sudo", "not allowed to", "not permitted", "I'm afraid I can't do that"]) {
        RemoteError::Sudo {
            seen: format!("{user} may not become root: {}", words.text()),
            help: format!("as root on the machine: usermod -aG sudo {user} (or name another user under [ssh])"),
        }
    } else {
        RemoteError::Sudo {
            seen: format!("{} failed: {}", by.unwrap_or("sudo"), words.text()),
            help: format!("log in as {user} and see what `sudo -n true` says"),
        }
    })
}

fn no_sudo(user: &str) -> RemoteError {
    RemoteError::Sudo {
        seen: format!("{user} is not root, and the machine has neither sudo nor doas"),
        help: format!("as root on the machine: apt-get install sudo && usermod -aG sudo {user}; or connect as root"),
    }
}

fn needs_password(user: &str) -> RemoteError {
    RemoteError::Sudo {
        seen: format!("sudo wants the password of {user}"),
        help: format!(
            "run again with --ask-sudo-password; or, on the machine, in /etc/sudoers.d/homectl: {user} ALL=(ALL:ALL) NOPASSWD: ALL"
        ),
    }
}

fn wrong_password(user: &str) -> RemoteError {
    RemoteError::Sudo {
        seen: format!("sudo does not take this password of {user}"),
        help: format!(
            "run again with the password that sudo asks {user} for on this machine (it is asked once, for all machines of a user)"
        ),
    }
}

/// Logged in, but nothing of ours ran.
fn no_shell(user: &str, words: &Words, pipe: &Pipe) -> RemoteError {
    match words.text() {
        said if said.is_empty() || pipe.receiver.why().is_some() => pipe.receiver.lost("the login shell ran nothing"),
        said => RemoteError::Sudo {
            seen: format!("{user} is logged in, but the login shell runs no commands: {said}"),
            help: format!("as root on the machine: chsh -s /bin/bash {user}; or name another user under [ssh]"),
        },
    }
}

#[cfg(test)]
#[path = "root_tests.rs"]
mod tests;
