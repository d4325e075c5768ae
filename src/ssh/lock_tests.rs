//! The holder of the lock, as a program: over local shells, with a lock file and a patience of its own.

use super::*;
use crate::ssh::shell::{self, Shell};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;
use tempfile::TempDir;

struct Holder {
    pipe: Pipe,
    token: String,
}

/// Starts a holder whose patience is a second; gives back its first line as well.
async fn hold_by(sh: &str, file: &Path, id: &str, who: &str) -> (Holder, String) {
    patiently(sh, file, id, who, 1).await
}

/// The same with another patience, in seconds.
async fn patiently(sh: &str, file: &Path, id: &str, who: &str, patience: u64) -> (Holder, String) {
    let token = node::token();
    let program = node::lock(&token, file.to_str().unwrap(), id, who, patience);
    let mut command = tokio::process::Command::new(sh);
    command.arg("-c").arg(format!("eval \"$(head -c {})\"", program.len()));
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut pipe = Pipe::child(child).unwrap();
    pipe.send(program).await.unwrap();
    let mut holder = Holder { pipe, token };
    let said = holder.says().await.unwrap();
    (holder, said)
}

impl Holder {
    /// Its next line that is not empty, without the token; `None` at its end.
    async fn says(&mut self) -> Option<String> {
        loop {
            let line = self.pipe.receiver.line().await?;
            let line = String::from_utf8_lossy(&line).into_owned();
            if !line.is_empty() {
                return Some(line.strip_prefix(&self.token).unwrap_or(&line).trim().to_owned());
            }
        }
    }
}

/// The long-lived shell of scripts, on this computer, minding the lock of `home`.
async fn root_shell(home: &TempDir) -> Shell {
    let (token, program) = shell::program(file(home).to_str().unwrap());
    let mut command = tokio::process::Command::new("/bin/sh");
    command.arg("-c").arg(format!("eval \"$(head -c {})\"", program.len()));
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let pipe = shell::start(Pipe::child(child).unwrap(), &program, &token).await.unwrap();
    Shell::new(pipe, token)
}

fn shells() -> [&'static str; 2] {
    ["/bin/dash", "/bin/bash"]
}

fn file(home: &TempDir) -> PathBuf {
    home.path().join("it's the.lock")
}

#[tokio::test]
async fn held_while_the_heart_beats_and_no_longer() {
    for sh in shells() {
        let home = TempDir::new().unwrap();
        // Long enough for a busy computer between two beats, short enough to be outlasted by eight of them.
        let (mut ann, said) = patiently(sh, &file(&home), "id1", "ann's $(id) laptop", 3).await;
        assert_eq!(said, "locked", "{sh}");
        for _ in 0..8 {
            ann.pipe.send("+\n").await.unwrap();
            assert_eq!(ann.says().await.as_deref(), Some("+"), "{sh}");
            let (_, said) = hold_by(sh, &file(&home), "id2", "bob").await;
            assert!(said.starts_with("held by ann's $(id) laptop since 20"), "{sh}: {said}");
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        // The heart stops, the connection stays.
        assert_eq!(ann.says().await, None);
        assert_eq!(std::fs::read_to_string(file(&home)).unwrap(), "");
        assert_eq!(hold_by(sh, &file(&home), "id2", "bob").await.1, "locked");
    }
}

#[tokio::test]
async fn given_back_at_the_end_of_its_stdin() {
    for sh in shells() {
        let home = TempDir::new().unwrap();
        let (mut ann, _) = patiently(sh, &file(&home), "id1", "ann", 60).await;
        let begun = Instant::now();
        assert!(ann.pipe.sender.eof().await);
        assert_eq!(ann.says().await, None);
        assert!(begun.elapsed() < Duration::from_secs(20), "not by its patience: {sh}");
        assert_eq!(hold_by(sh, &file(&home), "id2", "bob").await.1, "locked");
    }
}

#[tokio::test]
async fn only_the_holder_named_in_the_file_may_go_on() {
    let home = TempDir::new().unwrap();
    let mut shell = root_shell(&home).await;
    let touched = home.path().join("touched");
    let script = format!("touch {}", touched.display());
    // Nobody has it; ann has it; bob took it over; bob has gone.
    assert!(matches!(shell.run(&script, Some("id1"), &mut |_| ()).await, Err(RemoteError::Lost { .. })));
    assert!(!touched.exists());
    let (_ann, _) = hold_by("/bin/sh", &file(&home), "id1", "ann").await;
    assert_eq!(shell.run(&script, Some("id1"), &mut |_| ()).await.unwrap().status, 0);
    assert!(touched.exists());
    std::fs::write(file(&home), "id2 bob since now\n").unwrap();
    assert!(matches!(shell.run(&script, Some("id1"), &mut |_| ()).await, Err(RemoteError::Lost { .. })));
    assert_eq!(shell.run("echo no lock needed", None, &mut |_| ()).await.unwrap().output, "no lock needed\n");
}

#[tokio::test]
async fn what_a_dead_run_left_running_is_waited_for() {
    let home = TempDir::new().unwrap();
    let mut shell = root_shell(&home).await;
    let (mut ann, _) = hold_by("/bin/sh", &file(&home), "id1", "ann").await;
    let script = format!("touch {0}/began; until [ -e {0}/go ]; do sleep 0.05; done; touch {0}/ended", home.path().display());
    let began = async {
        while !home.path().join("began").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut deaf = |_: &str| ();
    tokio::select! {
        _ = shell.run(&script, Some("id1"), &mut deaf) => panic!("it waits"),
        () = began => {}
    }
    drop(shell);
    ann.pipe.sender.eof().await;
    assert_eq!(ann.says().await, None);
    // The holder's patience is one second here.
    let (_, said) = hold_by("/bin/sh", &file(&home), "id2", "bob").await;
    assert_eq!(said, "held by a run that was cut off: its last script has not ended yet");
    assert!(!home.path().join("ended").exists());
    std::fs::write(home.path().join("go"), "").unwrap();
    let (_bob, said) = patiently("/bin/sh", &file(&home), "id3", "bob", 60).await;
    assert_eq!(said, "locked", "it had ended by then");
    assert!(home.path().join("ended").exists());
}
