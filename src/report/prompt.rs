//! Questions to the operator. Without a terminal nobody is asked: the run is refused, and told which flag answers.

use super::Reporter;
use crate::error::{Failure, Result, exit};
use secrecy::SecretString;
use std::io::{BufRead, IsTerminal};

impl Reporter {
    /// Asks for `word` to be typed before machines change; `--yes` answers. An error when it was not.
    pub async fn confirm(&self, question: &str, word: &str) -> Result<()> {
        if self.options().yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(
                Failure::new(exit::USAGE, "nobody can be asked: stdin is not a terminal").help("say --yes to go on without being asked")
            );
        }
        let answer = self.question(format!("{question} Type `{word}` to go on: ")).await?;
        if answer.trim() == word {
            return Ok(());
        }
        Err(Failure::new(exit::INTERRUPTED, "not confirmed: nothing was changed"))
    }

    /// A question with yes or no; `None` when nobody can be asked.
    pub async fn yes_or_no(&self, question: &str) -> Result<Option<bool>> {
        if !std::io::stdin().is_terminal() {
            return Ok(None);
        }
        let answer = self.question(format!("{question} [yes/no]: ")).await?;
        Ok(Some(answer.trim() == "yes"))
    }

    /// The password that sudo wants; typed unseen, or the first line of stdin when that is not a terminal.
    pub async fn sudo_password(&self) -> Result<SecretString> {
        let typed = std::io::stdin().is_terminal();
        if typed {
            self.ask("sudo password on the machines: ".into());
        }
        let read = move || if typed { console::Term::stderr().read_secure_line() } else { read_line() };
        let line = blocking(read).await;
        self.asked();
        let line = line?;
        let password = line.trim_end_matches(['\r', '\n']).to_owned();
        if password.is_empty() {
            return Err(Failure::new(exit::USAGE, "no sudo password was given"));
        }
        Ok(SecretString::from(password))
    }

    /// Puts questions whose answers are typed unseen; `None` where there is no terminal, or nothing was typed. It blocks.
    /// It outlives the reporter, and asks nobody then: what a connection keeps must not keep the reporter from closing.
    pub fn asker(&self) -> impl Fn(&str) -> Option<SecretString> + Send + Sync + 'static {
        let weak = self.downgrade();
        move |question| {
            let reporter = weak().filter(|_| std::io::stdin().is_terminal())?;
            reporter.ask(format!("{question}: "));
            let line = console::Term::stderr().read_secure_line();
            reporter.asked();
            line.ok().map(|line| line.trim_end_matches(['\r', '\n']).to_owned()).filter(|line| !line.is_empty()).map(SecretString::from)
        }
    }

    async fn question(&self, question: String) -> Result<String> {
        self.ask(question);
        let answer = blocking(read_line).await;
        self.asked();
        answer
    }
}

fn read_line() -> std::io::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}

/// Reads on a thread of its own, so that heartbeats go on while somebody thinks.
async fn blocking(read: impl FnOnce() -> std::io::Result<String> + Send + 'static) -> Result<String> {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(line)) => Ok(line),
        Ok(Err(error)) => Err(Failure::failed(format!("the answer could not be read: {error}"))),
        Err(error) => Err(Failure::bug(format!("the prompt ended: {error}"))),
    }
}
