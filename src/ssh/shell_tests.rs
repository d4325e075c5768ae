//! The protocol of the root shell, over every POSIX shell that is a `/bin/sh` somewhere.

use super::pipe::Pipe;
use super::{LocalShell, Remote, RemoteError, Reply, node, shell};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Each shell that is installed, called `sh` by a link; dash and bash must be among them.
fn shells(home: &TempDir) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in ["dash", "bash", "busybox"] {
        let program = ["/bin", "/usr/bin"].iter().map(|d| Path::new(d).join(name)).find(|p| p.exists());
        let Some(program) = program else {
            assert!(name == "busybox", "{name} is needed for this test: install the package {name}");
            continue;
        };
        let dir = home.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::os::unix::fs::symlink(program, dir.join("sh")).unwrap();
        found.push(dir.join("sh"));
    }
    found
}

async fn run(shell: &LocalShell, script: &str) -> Reply {
    shell.run(script, &mut |_| ()).await.unwrap()
}

#[tokio::test]
async fn output_and_status_come_back_exactly() {
    let home = TempDir::new().unwrap();
    for sh in shells(&home) {
        let shell = LocalShell::with_shell(&sh).await.unwrap();
        for output in ["", "a", "a\n", "\n", "\n\n", "a\n\n", "\n\nb", "a\n\nb\n", "ß→\n", "%s \\n\n"] {
            let mut lines = Vec::new();
            let script = format!("printf %s '{output}'; exit 7");
            let reply = shell.run(&script, &mut |line| lines.push(line.to_owned())).await.unwrap();
            assert_eq!(reply, Reply { output: output.to_owned(), status: 7 }, "{}", sh.display());
            let whole: Vec<&str> = output.lines().collect();
            assert!(whole.starts_with(&lines.iter().map(String::as_str).collect::<Vec<_>>()), "{lines:?} of {output:?}");
            assert_eq!(lines.iter().filter(|l| !l.is_empty()).count(), whole.iter().filter(|l| !l.is_empty()).count());
        }
        assert_eq!(run(&shell, "printf '\\377\\n'; echo e >&2").await.output, "\u{fffd}\ne\n");
    }
}

#[tokio::test]
async fn a_script_cannot_end_the_shell_or_read_its_stdin() {
    let home = TempDir::new().unwrap();
    for sh in shells(&home) {
        let shell = LocalShell::with_shell(&sh).await.unwrap();
        assert_eq!(run(&shell, "cat; read x; echo $?; exit 3").await, Reply { output: "1\n".to_owned(), status: 3 });
        assert_eq!(run(&shell, "exec sh -c 'exit 4'").await.status, 4);
        assert_eq!(run(&shell, "set -eu; false; echo no").await, Reply { output: String::new(), status: 1 });
        assert_ne!(run(&shell, "if then").await.status, 0);
        assert_ne!(run(&shell, "echo 'unclosed").await.status, 0);
        assert_eq!(run(&shell, "trap 'echo bye' EXIT; cd /tmp; x=1; exit 0").await.output, "bye\n");
        assert_eq!(run(&shell, "echo $(pwd) ${x:-unset}; cat <<END\nhere\nEND").await.output, "/ unset\nhere\n");
        let killed = shell.run("echo going; self=$(sh -c 'echo $PPID'); kill -9 $(cut -d' ' -f4 /proc/$self/stat)", &mut |_| ()).await;
        assert!(matches!(&killed, Err(RemoteError::Lost { seen }) if seen.contains("going")), "{killed:?}");
        assert!(matches!(shell.run("true", &mut |_| ()).await, Err(RemoteError::Lost { .. })));
    }
}

#[tokio::test]
async fn the_environment_is_the_same_everywhere() {
    let home = TempDir::new().unwrap();
    for sh in shells(&home) {
        let dir = TempDir::new().unwrap();
        let (token, program) = shell::program(node::LOCK);
        let mut odd = tokio::process::Command::new(&sh);
        odd.env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "tr_TR.UTF-8").env("TZ", "Asia/Tokyo").env("IFS", "x");
        odd.env("ENV", "/nonexistent").env("CDPATH", "/etc").env("TMPDIR", "/x").env("TAR_OPTIONS", "-v");
        odd.arg("-c").arg(format!("umask 000; cd {}; eval \"$(head -c {})\"", dir.path().display(), program.len()));
        let child = odd.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let pipe = shell::start(Pipe::child(child).unwrap(), &program, &token).await.unwrap();
        let mut shell = shell::Shell::new(pipe, token);
        let ask =
            "umask; pwd; printf '%s\\n' \"$PATH\" \"$LC_ALL\" \"$TZ\" \"$HOME\" \"${ENV-}${CDPATH-}${TMPDIR-}\"; set -- a b; echo \"$*\"";
        let reply = shell.run(ask, None, &mut |_| ()).await.unwrap();
        let expected = "0022\n/\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nC\nUTC\n/root\n\na b\n";
        assert_eq!(reply.output, expected, "{}", sh.display());
    }
}

#[tokio::test]
async fn big_scripts_are_not_seen_in_process_list_nor_files() {
    let home = TempDir::new().unwrap();
    let canary = format!("canary{}", node::token());
    for sh in shells(&home) {
        let shell = LocalShell::with_shell(&sh).await.unwrap();
        let mut script = format!("secret={canary}\n");
        while script.len() < 600_000 {
            script.push_str("# so that there is something to send: 0123456789 abcdefghijklmnopqrstuvwxyz\n");
        }
        // The pattern is put together on the node, so that the search does not find itself.
        script.push_str("half=${secret#canary}\n");
        script.push_str("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | { while read -r l; do case $l in *\"$half\"*) echo found; esac; done; }; echo ${#secret}");
        let begun = Instant::now();
        let reply = run(&shell, &script).await;
        assert_eq!(reply.output, format!("{}\n", canary.len()), "{}", sh.display());
        assert!(begun.elapsed() < Duration::from_secs(20), "{} took {:?}", sh.display(), begun.elapsed());
    }
}

#[tokio::test]
async fn incompressible_scripts_arrive_whole_too() {
    let home = TempDir::new().unwrap();
    for sh in shells(&home) {
        let shell = LocalShell::with_shell(&sh).await.unwrap();
        let noise: String = (0..9_000).map(|_| node::token()).collect();
        let reply = run(&shell, &format!("x={noise}; echo ${{#x}}\n\n")).await;
        assert_eq!(reply.output, format!("{}\n", noise.len()));
        assert_eq!(run(&shell, "echo next").await.output, "next\n");
    }
}

#[tokio::test]
async fn a_caller_who_gives_up_does_not_confuse_the_next() {
    let shell = LocalShell::new().await.unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(100), run(&shell, "echo one; sleep 0.5; echo two")).await;
    assert!(given_up.is_err());
    let mut lines = Vec::new();
    let reply = shell.run("echo three", &mut |line| lines.push(line.to_owned())).await.unwrap();
    assert_eq!((reply.output.as_str(), lines), ("three\n", vec!["three".to_owned()]));
}

#[tokio::test]
async fn lines_arrive_while_the_script_runs() {
    let shell = LocalShell::new().await.unwrap();
    let begun = Instant::now();
    let mut first = None;
    run_with(&shell, "echo begun; sleep 0.5; echo done", |_| {
        first.get_or_insert_with(|| begun.elapsed());
    })
    .await;
    assert!(first.unwrap() < Duration::from_millis(400), "{first:?}");
}

async fn run_with(shell: &LocalShell, script: &str, mut sink: impl FnMut(&str) + Send) {
    shell.run(script, &mut sink).await.unwrap();
}

async fn appears(file: &Path) -> bool {
    for _ in 0..100 {
        if file.exists() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn when_the_operator_dies_the_script_ends_and_the_shell_too() {
    let home = TempDir::new().unwrap();
    for sh in shells(&home) {
        let (done, pid) = (home.path().join("done"), home.path().join("pid"));
        let shell = LocalShell::with_shell(&sh).await.unwrap();
        let script = format!(
            "echo $$ >{}; sleep 0.3; i=0; while [ $i -lt 20000 ]; do echo a line that nobody reads any more $i; i=$((i+1)); done; echo >{}",
            pid.display(),
            done.display()
        );
        let dead = tokio::time::timeout(Duration::from_millis(150), run(&shell, &script)).await;
        assert!(dead.is_err());
        drop(shell);
        assert!(appears(&done).await, "{}", sh.display());
        let pid = std::fs::read_to_string(pid).unwrap();
        let gone = async {
            // A zombie (its parent is this test) has ended as well.
            while std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|s| !s.contains(") Z ")) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap();
        std::fs::remove_file(&done).unwrap();
    }
}

#[tokio::test]
async fn half_a_script_never_begins() {
    let home = TempDir::new().unwrap();
    for sh in shells(&home) {
        let touched = home.path().join("touched");
        let (token, program) = shell::program(node::LOCK);
        let mut command = tokio::process::Command::new(&sh);
        command.arg("-c").arg(format!("eval \"$(head -c {})\"", program.len()));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut pipe = shell::start(Pipe::child(child).unwrap(), &program, &token).await.unwrap();
        pipe.send(format!("{token} 1 plain 1000 -\ntouch {}\n", touched.display())).await.unwrap();
        assert!(pipe.sender.eof().await);
        while pipe.receiver.line().await.is_some() {}
        assert!(!touched.exists(), "{}", sh.display());
    }
}
