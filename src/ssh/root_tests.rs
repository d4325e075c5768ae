//! The way to root with stand-ins for sudo and doas that say what the real ones say, and through login shells
//! that are not POSIX shells or are noisy. The last step (`id -u`) is a stand-in as well: nobody becomes root.

use super::*;
use crate::secrets::SecretText;
use crate::ssh::shell::{self, Shell};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;

const PASSWORD: &str = "open sesame";

/// A machine whose user 1000 has the programs given by name and text.
fn machine(programs: &[(&str, &str)]) -> TempDir {
    let home = TempDir::new().unwrap();
    for (name, text) in [("id", "echo 1000")].iter().chain(programs) {
        let file = home.path().join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    home
}

/// Logs in with `login` as the login shell and goes to root.
async fn become_root(home: &TempDir, login: &str, password: Option<&'static str>) -> Result<Shell, RemoteError> {
    become_root_by(home, login, password, |way| way).await
}

async fn become_root_by(
    home: &TempDir,
    login: &str,
    password: Option<&'static str>,
    edit: impl Fn(String) -> String,
) -> Result<Shell, RemoteError> {
    let (token, program) = shell::program(node::LOCK);
    let (mark, prompt) = (node::token(), node::token());
    let way = edit(node::become_root(&mark, &prompt, program.len()));
    let mut command = tokio::process::Command::new(login);
    command.env("PATH", format!("{}:/usr/bin:/bin", home.path().display())).env("HOME", home.path()).env("LANG", "tr_TR.UTF-8");
    command.arg("-c").arg(node::command(way.len()));
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let pipe = Pipe::child(child).unwrap();
    let ask = password.map_or_else(Ask::nobody, |p| Ask::new(move |_| Some(SecretText::new(p.to_owned()))));
    let (pipe, said) = Way { pipe, user: "pi", program: &program, token: &token, mark, prompt }.go(way, &ask).await?;
    assert_eq!(said, "ready");
    Ok(Shell::new(pipe, token))
}

async fn works(shell: Result<Shell, RemoteError>) {
    let reply = shell.map_err(|e| e.to_string()).unwrap().run("echo $((6*7))", None, &mut |_| ()).await.unwrap();
    assert_eq!((reply.output.as_str(), reply.status), ("42\n", 0));
}

fn refusal_of(result: Result<Shell, RemoteError>) -> (String, String) {
    match result.err() {
        Some(RemoteError::Sudo { seen, help }) => (seen, help),
        other => panic!("not a refusal: {other:?}"),
    }
}

/// sudo without a password.
const FREE: &str = r#"[ "$1" = -n ] || exit 9; shift; exec "$@""#;

/// sudo with one, reading it as the real one does: byte by byte, up to the newline.
const BY_PASSWORD: &str = r#"
if [ "$1" = -n ]; then echo "sudo: a password is required" >&2; exit 1; fi
[ "$1 $2 $3" = "-k -S -p" ] || exit 9
prompt=$4; shift 4
for attempt in 1 2 3; do
  printf '%s' "$prompt" >&2
  read -r given || { echo "sudo: no password was provided" >&2; exit 1; }
  [ "$given" = "open sesame" ] && exec "$@"
  echo "Sorry, try again." >&2
done
exit 1"#;

#[tokio::test]
async fn without_a_password() {
    works(become_root(&machine(&[("sudo", FREE)]), "/bin/sh", None).await).await;
}

#[tokio::test]
async fn root_needs_nothing() {
    works(become_root(&machine(&[("id", "echo 0"), ("sudo", "exit 9")]), "/bin/sh", None).await).await;
}

#[tokio::test]
async fn with_a_password() {
    let home = machine(&[("sudo", BY_PASSWORD)]);
    works(become_root(&home, "/bin/sh", Some(PASSWORD)).await).await;
    let (seen, help) = refusal_of(become_root(&home, "/bin/sh", None).await);
    assert!(seen.contains("wants the password of pi") && help.contains("--ask-sudo-password"), "{seen}: {help}");
    let (seen, _) = refusal_of(become_root(&home, "/bin/sh", Some("wrong")).await);
    assert!(seen.contains("does not take this password"), "{seen}");
}

#[tokio::test]
async fn four_refusals_and_four_remedies() {
    let says = |words: &str| format!("echo \"{words}\" >&2; exit 1");
    let denied_later = format!("{}\nexit 1", BY_PASSWORD.replace("exec \"$@\"", "{ echo 'pi is not in the sudoers file.' >&2; exit 1; }"));
    for (words, password, seen_part, help_part) in [
        (says("sudo: a password is required"), None, "wants the password", "--ask-sudo-password"),
        (says("sudo: interactive authentication is required"), None, "wants the password", "--ask-sudo-password"),
        (says("sudo: sorry, you must have a tty to run sudo"), None, "insists on a terminal", "!requiretty"),
        (says("Sorry, user pi is not allowed to execute '/bin/sh' as root on attic."), None, "may not become root", "usermod -aG sudo pi"),
        (says("sudo: I'm sorry pi. I'm afraid I can't do that"), None, "may not become root", "usermod -aG sudo pi"),
        (denied_later, Some(PASSWORD), "may not become root: pi is not in the sudoers file.", "usermod -aG sudo pi"),
        (says("sudo: /etc/sudo.conf is owned by uid 1000, should be 0"), None, "owned by uid 1000", "sudo -n true"),
    ] {
        let (seen, help) = refusal_of(become_root(&machine(&[("sudo", &words)]), "/bin/sh", password).await);
        assert!(seen.contains(seen_part) && help.contains(help_part), "{words}: {seen}: {help}");
    }
}

#[tokio::test]
async fn doas_where_there_is_no_sudo() {
    let hide = |way: String| way.replace("command -v sudo", "command -v no-such-sudo");
    let hide_both = |way: String| hide(way).replace("command -v doas", "command -v no-such-doas");
    works(become_root_by(&machine(&[("doas", FREE)]), "/bin/sh", None, hide).await).await;
    let asks = machine(&[("doas", "echo 'doas: Authentication required' >&2; exit 1")]);
    let (seen, help) = refusal_of(become_root_by(&asks, "/bin/sh", Some(PASSWORD), hide).await);
    assert!(seen.contains("doas wants a password") && help.contains("permit nopass pi"), "{seen}: {help}");
    let (seen, help) = refusal_of(become_root_by(&machine(&[]), "/bin/sh", None, hide_both).await);
    assert!(seen.contains("neither sudo nor doas") && help.contains("apt-get install sudo"), "{seen}: {help}");
}

#[tokio::test]
async fn any_login_shell_will_do() {
    for (shell, rc, noise) in [
        ("dash", ".profile", "echo noise"),
        ("bash", ".bashrc", "printf '\\001\\377no newline'; cat /etc/passwd"),
        ("rbash", ".bashrc", "echo noise"),
        ("zsh", ".zshenv", "echo noise; print -n more"),
        ("fish", ".config/fish/config.fish", "echo noise"),
        ("tcsh", ".cshrc", "echo noise"),
    ] {
        let Some(login) = ["/bin", "/usr/bin"].iter().map(|d| format!("{d}/{shell}")).find(|p| Path::new(p).exists()) else {
            // Past the capture of test output: who reads the log must see that this was not tried.
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("NOT TESTED: the login shell {shell} is not installed\n").as_bytes(),
            );
            continue;
        };
        let home = machine(&[("sudo", BY_PASSWORD)]);
        let rc = home.path().join(rc);
        std::fs::create_dir_all(rc.parent().unwrap()).unwrap();
        std::fs::write(rc, format!("{noise}\n")).unwrap();
        works(become_root(&home, &login, Some(PASSWORD)).await).await;
    }
}

#[tokio::test]
async fn noise_before_is_not_taken_for_sudo() {
    let noisy = "printf 'Sorry, you must have a tty\\nsudo: a password is required\\nno newline'; exec /bin/sh \"$@\"";
    let home = machine(&[("login", noisy), ("sudo", "echo 'sudo: unable to open /dev/x' >&2; exit 1")]);
    let (seen, _) = refusal_of(become_root(&home, home.path().join("login").to_str().unwrap(), None).await);
    assert!(seen.starts_with("sudo failed: sudo: unable to open /dev/x"), "{seen}");
}

#[tokio::test]
async fn a_login_that_runs_nothing_is_told_from_one_without_root() {
    let home = machine(&[("login", "echo This account is currently not available.; exit 1")]);
    let (seen, help) = refusal_of(become_root(&home, home.path().join("login").to_str().unwrap(), None).await);
    assert!(seen.contains("This account is currently not available.") && help.contains("chsh"), "{seen}: {help}");
}

#[tokio::test]
async fn the_password_is_in_no_process_list() {
    let spy = r#"cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' >"$HOME/seen""#;
    let text = BY_PASSWORD.replace("&& exec", &format!("&& {{ {spy}; }} && exec"));
    let home = machine(&[("sudo", &text)]);
    works(become_root(&home, "/bin/sh", Some(PASSWORD)).await).await;
    // The stand-in itself compares with the password, in its text and not in its arguments.
    let seen = std::fs::read(home.path().join("seen")).unwrap();
    assert!(!seen.is_empty() && !String::from_utf8_lossy(&seen).contains(PASSWORD));
}
