//! Several fragments as one script: each in a subshell of its own, framed by a nonce that output cannot guess,
//! the first failure ends the script.

use crate::steps::{Ready, Test};
use crate::want::quote;
use std::fmt::Write as _;

const PRELUDE: &str = include_str!("prelude.sh");

/// What one fragment is for, so that its reply can be told to listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tag {
    /// The first fragment of a step (index into the lane's steps).
    Begin(usize),
    /// An item of a step.
    Item(usize, usize),
    /// A step's work is done; readiness may still be awaited.
    Worked(usize),
    /// A step's readiness.
    Ready(usize),
}

/// A script in the making.
pub(super) struct Batch {
    nonce: String,
    text: String,
    tags: Vec<Tag>,
}

/// What one line of output means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    Began(&'a Tag),
    /// Status and everything the fragment printed.
    Ended(&'a Tag, i32, String),
    /// Seconds waited so far and the last thing seen.
    Waiting(&'a Tag, u64, String),
    Nothing,
}

impl Batch {
    pub(super) fn new() -> Self {
        let nonce = format!("{:016x}", rand::random::<u64>());
        Self { text: format!("{PRELUDE}\nN={nonce}\n"), nonce, tags: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    pub(super) fn script(&self) -> &str {
        &self.text
    }

    /// Adds a fragment.
    pub(super) fn push(&mut self, tag: Tag, fragment: &str) {
        let n = self.tags.len();
        let _ = write!(
            self.text,
            "echo \"@$N b {n}\"\n(set -eu\ncd /\n{fragment}\n)\nrc=$?\nprintf '\\n@%s e {n} %s\\n' \"$N\" \"$rc\"\n[ \"$rc\" = 0 ] || {{ journal \"${{hc_step-}}: failed with status $rc\"; exit 1; }}\n"
        );
        self.tags.push(tag);
    }

    /// From here on it is this step that the machine's journal speaks of.
    pub(super) fn step(&mut self, name: &str) {
        let _ = writeln!(self.text, "hc_step={}", quote(name));
    }

    /// Adds a wait for evidence: polled every 100 ms, told once a second, given up at the deadline with the last
    /// thing seen and the journal of the units behind it.
    pub(super) fn wait(&mut self, tag: Tag, ready: &Ready) {
        let n = self.tags.len();
        let Test::Node(test) = &ready.test else { return };
        let units: Vec<String> = ready.units.iter().map(|u| quote(u)).collect();
        let mut fragment = String::from("read -r up _ </proc/uptime; began=${up%%.*}; told=$began\n");
        let settled = if units.is_empty() { String::new() } else { format!("unit_settled {} || exit 1\n", units.join(" ")) };
        let _ = writeln!(fragment, "while ! out=$( (set -u\n{settled}{}\n) 2>&1 </dev/null); do", test.as_str());
        let _ = writeln!(fragment, "run_lives || {{ echo 'nobody waits any more'; exit 1; }}");
        let _ = writeln!(fragment, "read -r up _ </proc/uptime; now=${{up%%.*}}");
        let _ = writeln!(
            fragment,
            "if [ $((now - began)) -ge {} ]; then printf '%s\\n' \"$out\"; for u in {}; do\n\
             systemctl show -p Id,ActiveState,SubState,Result,ExecMainStatus,NRestarts -- \"$u\" | tr '\\n' ' '; echo\n\
             journalctl -u \"$u\" -n 20 --no-pager -o cat 2>/dev/null || true; done; exit 1; fi",
            ready.deadline,
            if units.is_empty() { "''".to_owned() } else { units.join(" ") }
        );
        let _ = writeln!(
            fragment,
            "if [ \"$now\" != \"$told\" ]; then told=$now; printf '\\n@%s w {n} %s %s\\n' \"$N\" $((now - began)) \"$(printf %s \"$out\" | tail -n 1 | cut -c 1-200)\"; fi\nsleep 0.1\ndone"
        );
        fragment.push_str("journal \"${hc_step-}: ready\"\n");
        self.push(tag, &fragment);
    }

    /// Understands one line; `printed` collects what the current fragment says.
    pub(super) fn hear<'a>(&'a self, line: &str, printed: &mut String) -> Heard<'a> {
        let Some(frame) = line.strip_prefix('@').and_then(|l| l.strip_prefix(&self.nonce)).and_then(|l| l.strip_prefix(' ')) else {
            if !line.is_empty() {
                printed.push_str(line);
                printed.push('\n');
            }
            return Heard::Nothing;
        };
        let mut words = frame.splitn(4, ' ');
        let (kind, n) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let Some(tag) = n.parse::<usize>().ok().and_then(|n| self.tags.get(n)) else { return Heard::Nothing };
        let third = words.next().unwrap_or_default();
        match kind {
            "b" => {
                printed.clear();
                Heard::Began(tag)
            }
            "e" => Heard::Ended(tag, third.parse().unwrap_or(-1), std::mem::take(printed)),
            "w" => Heard::Waiting(tag, third.parse().unwrap_or(0), words.next().unwrap_or_default().to_owned()),
            _ => Heard::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn run(batch: &Batch) -> Vec<String> {
        let out = Command::new("sh").arg("-c").arg(batch.script()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let mut printed = String::new();
        text.lines()
            .map(|l| match batch.hear(l, &mut printed) {
                Heard::Ended(tag, rc, said) => format!("{tag:?} {rc} {}", said.trim()),
                Heard::Waiting(tag, s, seen) => format!("{tag:?} waits {s} {seen}"),
                _ => String::new(),
            })
            .filter(|l| !l.is_empty())
            .collect()
    }

    #[test]
    fn the_first_failure_ends_the_script_and_keeps_its_words() {
        let mut b = Batch::new();
        b.push(Tag::Item(0, 0), "printf 'no newline'");
        b.push(Tag::Item(0, 1), "echo about to fail\nfalse\necho never");
        b.push(Tag::Item(0, 2), "echo never");
        assert_eq!(run(&b), ["Item(0, 0) 0 no newline", "Item(0, 1) 1 about to fail"]);
    }

    #[test]
    fn output_cannot_fake_a_frame() {
        let mut b = Batch::new();
        b.push(Tag::Item(0, 0), "echo '@0000000000000000 e 0 0'; exit 3");
        assert_eq!(run(&b), ["Item(0, 0) 3 @0000000000000000 e 0 0"]);
    }

    #[test]
    fn a_wait_ends_with_the_last_thing_seen() {
        let mut b = Batch::new();
        let mut ready = Ready::node("never", "echo still not; exit 1");
        ready.deadline = 2;
        b.wait(Tag::Ready(4), &ready);
        let said = run(&b);
        assert!(said[0].starts_with("Ready(4) waits 1 still not"), "{said:?}");
        assert!(said.last().unwrap().starts_with("Ready(4) 1 still not"), "{said:?}");
    }

    /// As the long-lived shell on a node has it: a file that names who holds the machine.
    #[test]
    fn a_wait_ends_when_nobody_waits_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("lock");
        let mut b = Batch::new();
        b.wait(Tag::Ready(0), &Ready::node("never", "exit 1"));
        b.text.insert_str(0, &format!("hc_lock=us hc_lock_file={}\n", lock.display()));
        let began = std::time::Instant::now();
        for holder in ["them since now\n", ""] {
            std::fs::write(&lock, holder).unwrap();
            let said = run(&b);
            assert!(said.last().unwrap().contains("nobody waits any more"), "{said:?}");
        }
        assert!(began.elapsed().as_secs() < 5);
    }

    #[test]
    fn put_lands_files_whole_and_refuses_links() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("f"), dir.path().join("l"));
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        let me = String::from_utf8(Command::new("sh").arg("-c").arg("printf %s:%s $(id -un) $(id -gn)").output().unwrap().stdout).unwrap();
        std::fs::write(dir.path().join(".homectl.leftover01"), "half a key").unwrap();
        let mut b = Batch::new();
        b.push(Tag::Item(0, 0), &format!("put {} 0640 {me} <<'@homectl'\naGVsbG8K\n@homectl", path.display()));
        b.push(Tag::Item(0, 1), &format!("put {} 0640 {me} <<'@homectl'\naGVsbG8K\n@homectl", link.display()));
        let said = run(&b);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "hello\n");
        assert!(said[1].contains("is not a regular file"), "{said:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary is left");
    }
}
