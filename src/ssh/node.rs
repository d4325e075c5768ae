//! The five small shell programs that run on a node, and how values get into them. They reach the node
//! through stdin only: never as a file, never (but for their first line) as an argument.

use data_encoding::HEXLOWER;

/// Where a machine's lock lies: gone after a reboot, and only root writes there.
pub(super) const LOCK: &str = "/run/homectl.lock";

/// 128 random bits in hex: what prints must not be able to guess it.
pub(super) fn token() -> String {
    HEXLOWER.encode(&rand::random::<[u8; 16]>())
}

/// The command that any login shell understands (no `!`, no backslash, no newline; only plain single quotes): it
/// reads `size` bytes of POSIX sh from stdin and runs them.
pub(super) fn command(size: usize) -> String {
    format!("sh -c 'eval \"$(head -c {size})\"'")
}

/// The way to root, for a program of `size` bytes; `prompt` is what sudo says when it wants the password.
pub(super) fn become_root(token: &str, prompt: &str, size: usize) -> String {
    fill(include_str!("node/become.sh"), &[("TOKEN", token), ("PROMPT", prompt), ("SIZE", &size.to_string())])
}

/// The long-lived root shell; `lock` is the file that tells whose the machine is.
pub(super) fn shell(token: &str, lock: &str) -> String {
    fill(include_str!("node/shell.sh"), &[("TOKEN", token), ("LOCK", &quote(lock))])
}

/// The holder of the lock file `lock`; `id` is one word that no other holder has, `patience` is in seconds.
pub(super) fn lock(token: &str, lock: &str, id: &str, who: &str, patience: u64) -> String {
    let who = who.split_whitespace().collect::<Vec<_>>().join(" ");
    let patience = patience.to_string();
    let (lock, id, who) = (quote(lock), quote(id), quote(&who));
    let values = [("TOKEN", token), ("LOCK", &lock), ("ID", &id), ("WHO", &who), ("PATIENCE", &patience)];
    fill(include_str!("node/lock.sh"), &values)
}

/// The receiver of one file of `bytes` bytes.
pub(super) fn receive(token: &str, to: &str, bytes: u64) -> String {
    fill(include_str!("node/receive.sh"), &[("TOKEN", token), ("TO", &quote(to)), ("BYTES", &bytes.to_string())])
}

/// The giver of one file.
pub(super) fn give(token: &str, from: &str) -> String {
    fill(include_str!("node/give.sh"), &[("TOKEN", token), ("FROM", &quote(from))])
}

/// Leaves comments out and puts values in. A value never holds an `@`-name that is filled later on.
fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let mut rest = line;
        'line: while let Some(at) = rest.find('@') {
            for (name, value) in values {
                if let Some(after) = rest[at + 1..].strip_prefix(name).and_then(|r| r.strip_prefix('@')) {
                    out.push_str(&rest[..at]);
                    out.push_str(value);
                    rest = after;
                    continue 'line;
                }
            }
            out.push_str(&rest[..=at]);
            rest = &rest[at + 1..];
        }
        out.push_str(rest);
        out.push('\n');
    }
    out
}

fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_filled_in_once_and_quoted() {
        let text = lock("t0", "/l", "id", "it's @TOKEN@\nme", 20);
        assert!(text.contains("'id' 'it'\\''s @TOKEN@ me' "), "{text}");
        assert!(text.contains("timeout 20 head"));
        assert!(!text.contains("# "), "comments stay at home");
    }

    #[test]
    fn nothing_is_left_unfilled() {
        for text in [become_root("T", "P", 7), shell("T", "/l"), lock("T", "/l", "I", "W", 1), receive("T", "/x", 1), give("T", "/x")] {
            assert!(!text.contains('@'), "{text}");
        }
    }

    #[test]
    fn the_command_is_plain_enough_for_any_login_shell() {
        assert!(!command(123).contains(['!', '\\', '\n', ';']));
    }
}
