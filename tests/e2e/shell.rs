//! Commands with a deadline, and all that they said.

use crate::Result;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// A command that has ended.
pub(crate) struct Ran {
    pub(crate) what: String,
    /// None: killed by a signal.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

impl Ran {
    /// Its stdout, if it ended well.
    pub(crate) fn ok(self) -> Result<String> {
        if self.code == Some(0) { Ok(self.out) } else { Err(self.seen()) }
    }

    /// Itself, if it ended with `code`.
    pub(crate) fn with(self, code: i32) -> Result<Self> {
        if self.code == Some(code) { Ok(self) } else { Err(format!("exit code {code} was due: {}", self.seen())) }
    }

    /// All of it in a few lines.
    pub(crate) fn seen(&self) -> String {
        let code = self.code.map_or("a signal".into(), |code| code.to_string());
        format!("`{}` ended with {code} after {:.1} s: {}{}", self.what, self.took.as_secs_f64(), tail(&self.out), tail(&self.err))
    }
}

/// The end of a text, on lines of its own.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let from = lines.len().saturating_sub(25);
    lines[from..].iter().flat_map(|line| ["\n      | ", line]).collect()
}

/// Runs `command`, gives it `stdin`, and kills it at the deadline.
pub(crate) fn run(command: &mut Command, stdin: &[u8], deadline: Duration) -> Result<Ran> {
    run_and(command, stdin, deadline, |_| ())
}

/// The same; `meanwhile` has its process id.
pub(crate) fn run_and(
    command: &mut Command,
    stdin: &[u8],
    deadline: Duration,
    meanwhile: impl FnOnce(u32) + Send + 'static,
) -> Result<Ran> {
    let from = Instant::now();
    let (what, mut child) = start(command.stdin(if stdin.is_empty() { Stdio::null() } else { Stdio::piped() }))?;
    let id = child.id();
    std::thread::spawn(move || meanwhile(id));
    let (out, err) = (gather(child.stdout.take()), gather(child.stderr.take()));
    if let Some(mut pipe) = child.stdin.take() {
        let stdin = stdin.to_vec();
        std::thread::spawn(move || pipe.write_all(&stdin).ok());
    }
    let code = wait(&mut child, from, deadline).map_err(|error| format!("`{what}`: {error}{}{}", tail(&out.text()), tail(&err.text())))?;
    Ok(Ran { what, code, out: out.end(), err: err.end(), took: from.elapsed() })
}

/// Runs `command`, and has each line of its stdout heard as it comes, with the process id.
pub(crate) fn run_hearing(command: &mut Command, deadline: Duration, mut hear: impl FnMut(&str, u32)) -> Result<Ran> {
    let from = Instant::now();
    let (what, mut child) = start(command.stdin(Stdio::null()))?;
    let (id, err) = (child.id(), gather(child.stderr.take()));
    let (ended, watch) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if watch.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout) {
            Command::new("kill").args(["-s", "KILL", &id.to_string()]).status().ok();
        }
    });
    let mut out = String::new();
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines).map_while(std::result::Result::ok) {
        hear(&line, id);
        out += &line;
        out.push('\n');
    }
    let code = child.wait().map_err(|error| format!("`{what}`: {error}"))?.code();
    drop(ended);
    let ran = Ran { what, code, out, err: err.end(), took: from.elapsed() };
    if ran.took < deadline { Ok(ran) } else { Err(format!("not done in time, killed: {}", ran.seen())) }
}

/// Starts it; how it is called in messages.
fn start(command: &mut Command) -> Result<(String, Child)> {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let mut what: Vec<String> =
        std::iter::once(program).chain(command.get_args()).map(|part| part.to_string_lossy().into_owned()).collect();
    what.iter_mut().filter(|part| part.len() > 200).for_each(|part| *part = format!("{}…", part.chars().take(200).collect::<String>()));
    let what = what.join(" ");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    child.map_err(|error| format!("`{what}` could not be started: {error}")).map(|child| (what, child))
}

fn wait(child: &mut Child, from: Instant, deadline: Duration) -> Result<Option<i32>> {
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status.code());
        }
        if from.elapsed() > deadline {
            child.kill().ok();
            child.wait().ok();
            return Err(format!("not done after {} s, killed", deadline.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What comes out of a pipe, as far as it has come.
struct Gathered {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

fn gather(pipe: Option<impl Read + Send + 'static>) -> Gathered {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let Some(mut pipe) = pipe else { return Gathered { bytes, thread: None } };
    let into = Arc::clone(&bytes);
    let thread = std::thread::spawn(move || {
        let mut part = vec![0; 65536];
        while let Ok(count @ 1..) = pipe.read(&mut part) {
            if let Ok(mut bytes) = into.lock() {
                bytes.extend_from_slice(&part[..count]);
            }
        }
    });
    Gathered { bytes, thread: Some(thread) }
}

impl Gathered {
    fn text(&self) -> String {
        self.bytes.lock().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The whole, once the pipe is closed. A daemon that inherited it may keep it open, so not for ever.
    fn end(self) -> String {
        let from = Instant::now();
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && from.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.text()
    }
}
