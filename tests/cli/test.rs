//! One command with its whole screen: stdout, stderr and status, exactly.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A command in an empty folder with an empty home, and what it must say. What is not named must be empty, status 0.
#[must_use = "a test that is not run tests nothing"]
pub(crate) struct Test {
    args: Vec<String>,
    env: Vec<(String, String)>,
    files: Vec<(String, String)>,
    stdout: Expect,
    stderr: Expect,
    status: i32,
}

enum Expect {
    Text(String),
    /// A file in `tests/goldens/cli`.
    Golden(&'static str),
    Anything,
}

impl Test {
    pub(crate) fn new(args: &[&str]) -> Self {
        let args = args.iter().map(ToString::to_string).collect();
        let nothing = || Expect::Text(String::new());
        Self { args, env: Vec::new(), files: Vec::new(), stdout: nothing(), stderr: nothing(), status: 0 }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A file in the folder it runs in.
    pub(crate) fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.into(), text.into()));
        self
    }

    pub(crate) fn stdout(mut self, text: &str) -> Self {
        self.stdout = Expect::Text(text.into());
        self
    }

    pub(crate) fn stdout_golden(mut self, name: &'static str) -> Self {
        self.stdout = Expect::Golden(name);
        self
    }

    /// Whatever it says on stdout, [`Self::run`] returns it.
    pub(crate) fn any_stdout(mut self) -> Self {
        self.stdout = Expect::Anything;
        self
    }

    pub(crate) fn stderr(mut self, text: &str) -> Self {
        self.stderr = Expect::Text(text.into());
        self
    }

    pub(crate) fn any_stderr(mut self) -> Self {
        self.stderr = Expect::Anything;
        self
    }

    pub(crate) fn status(mut self, status: u8) -> Self {
        self.status = i32::from(status);
        self
    }

    /// Runs it; both streams.
    pub(crate) fn run(self) -> (String, String) {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, text) in &self.files {
            fs::write(dir.path().join(name), text).expect("a file");
        }
        let Output { status, stdout, stderr } = self.command(dir.path()).output().expect("the program runs");
        let (stdout, stderr) = (normal(&stdout, dir.path()), normal(&stderr, dir.path()));
        let seen = format!("homectl {}\n--- stdout\n{stdout}--- stderr\n{stderr}---", self.args.join(" "));
        assert_eq!(status.code(), Some(self.status), "status of {seen}");
        self.stdout.hold(&stdout, &seen);
        self.stderr.hold(&stderr, &seen);
        (stdout, stderr)
    }

    fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_homectl"));
        command.args(&self.args).current_dir(dir).env_clear().stdin(Stdio::null());
        // Wide enough that no line of help is wrapped by the terminal of whoever runs the test.
        command.env("HOME", dir).env("PATH", "/usr/bin:/bin").env("COLUMNS", "100");
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        command
    }
}

impl Expect {
    fn hold(&self, text: &str, seen: &str) {
        match self {
            Self::Anything => {}
            Self::Text(expected) => assert_eq!(text, expected, "{seen}"),
            Self::Golden(name) => golden(name, text, seen),
        }
    }
}

fn golden(name: &str, text: &str, seen: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/cli").join(name);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder of goldens");
        fs::write(&path, text).expect("a golden");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{seen}\n{} differs; UPDATE_GOLDENS=1 if that is meant", path.display());
}

/// Text with this run's folder and this build's version replaced.
fn normal(bytes: &[u8], dir: &Path) -> String {
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    text.replace(&dir.display().to_string(), "[DIR]").replace(env!("CARGO_PKG_VERSION"), "[VERSION]")
}
