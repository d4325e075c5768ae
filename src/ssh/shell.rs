//! Our end of the root shell: one script out, its output and status back.
//!
//! A request is `TOKEN NUMBER ENCODING BYTES LOCK` and the script, which ends with a comment that only a
//! whole script has. A reply is what the script printed and `\nTOKEN NUMBER STATUS\n`. The token is random for
//! each session, so nothing that a script prints can pass for the end of it.

use super::pipe::Pipe;
use super::{Line, RemoteError, Reply, node};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::time::Duration;

/// Scripts below this many bytes are sent as they are: a packet is a packet.
const PLAIN: usize = 1024;

/// How long the shell may take to say that it is there.
pub(super) const START: Duration = Duration::from_secs(30);

/// A root shell that runs one script after another.
pub(super) struct Shell {
    pipe: Pipe,
    token: String,
    /// The number of the last request.
    number: u64,
    state: State,
}

/// Where the conversation stands. A caller may give up at any moment by dropping its future.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// The caller was dropped here: half a request may be on its way, and nothing can follow it.
    Sending,
    /// The reply of the last request is still to come.
    Waiting,
}

impl Shell {
    /// The shell at the end of `pipe`, whose program is [`node::shell`] with `token` and has said that it is ready.
    pub(super) fn new(pipe: Pipe, token: String) -> Self {
        Self { pipe, token, number: 0, state: State::Idle }
    }

    /// Runs `script`. With `lock`, only if that holder of the machine's lock still holds it.
    pub(super) async fn run(
        &mut self,
        script: &str,
        lock: Option<&str>,
        sink: &mut (dyn FnMut(Line<'_>) + Send),
    ) -> Result<Reply, RemoteError> {
        match self.state {
            State::Idle => {}
            State::Sending => return Err(RemoteError::Lost { seen: "an earlier script was cut off while it was sent".to_owned() }),
            State::Waiting => drop(self.reply(&mut |_| ()).await?),
        }
        self.number += 1;
        let request = request(&self.token, self.number, script, lock);
        self.state = State::Sending;
        self.pipe.send(request).await?;
        self.state = State::Waiting;
        let reply = self.reply(sink).await?;
        reply.ok_or_else(|| RemoteError::Lost { seen: "the lock of the machine is no longer ours; nothing was done".to_owned() })
    }

    /// Reads up to the end of the last request; `None` when it was not run for want of the lock.
    async fn reply(&mut self, sink: &mut (dyn FnMut(Line<'_>) + Send)) -> Result<Option<Reply>, RemoteError> {
        let mut output = Output::default();
        loop {
            let Some(line) = self.pipe.receiver.line().await else {
                let unfinished = self.pipe.receiver.unfinished();
                let last = if unfinished.trim().is_empty() { output.last() } else { &unfinished };
                return Err(self.pipe.receiver.lost(last));
            };
            let line = String::from_utf8_lossy(&line);
            let Some(end) = line.strip_prefix(self.token.as_str()) else {
                output.push(&line, sink);
                continue;
            };
            let mut words = end.split_whitespace();
            if words.next().and_then(|n| n.parse().ok()) == Some(self.number) {
                self.state = State::Idle;
                return Ok(words.next().and_then(|s| s.parse().ok()).map(|status| Reply { output: output.text, status }));
            }
        }
    }
}

/// The output of one script, put together line by line.
#[derive(Default)]
struct Output {
    text: String,
    /// Whether `text` holds a line (it may be an empty one).
    begun: bool,
    /// Empty lines that the sink has not seen: the last one may be ours, before the trailer.
    empty: usize,
}

impl Output {
    fn push(&mut self, line: &str, sink: &mut (dyn FnMut(Line<'_>) + Send)) {
        if self.begun {
            self.text.push('\n');
        }
        self.begun = true;
        self.text.push_str(line);
        if line.is_empty() {
            self.empty += 1;
            return;
        }
        (0..std::mem::take(&mut self.empty)).for_each(|_| sink(""));
        sink(line);
    }

    fn last(&self) -> &str {
        self.text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("")
    }
}

/// The bytes of one request.
fn request(token: &str, number: u64, script: &str, lock: Option<&str>) -> Bytes {
    let whole = format!("{script}\n#{token}\n");
    let packed = if whole.len() < PLAIN { None } else { gzip(whole.as_bytes()) };
    let (encoding, body) = match &packed {
        Some(packed) if packed.len() < whole.len() / 10 * 7 => ("gzip", packed.as_slice()),
        _ => ("plain", whole.as_bytes()),
    };
    let mut bytes = format!("{token} {number} {encoding} {} {}\n", body.len(), lock.unwrap_or("-")).into_bytes();
    bytes.extend_from_slice(body);
    bytes.into()
}

fn gzip(data: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).ok()?;
    encoder.finish().ok()
}

/// Starts the root shell's program at the end of `pipe`, where a shell waits for a program of a known size
/// (see [`node::command`]) and is root already.
pub(super) async fn start(mut pipe: Pipe, program: &str, token: &str) -> Result<Pipe, RemoteError> {
    pipe.send(program.to_owned()).await?;
    let ready = format!("{token} ready");
    let wait = async {
        let mut last = String::new();
        while let Some(line) = pipe.receiver.line().await {
            if *line == *ready.as_bytes() {
                return Ok(());
            }
            last = String::from_utf8_lossy(&line).into_owned();
        }
        Err(pipe.receiver.lost(&last))
    };
    tokio::time::timeout(START, wait).await.map_err(|_| RemoteError::Timeout { seconds: START.as_secs(), last: String::new() })??;
    Ok(pipe)
}

/// A fresh token and the root shell's program, which looks at the lock file `lock`.
pub(super) fn program(lock: &str) -> (String, String) {
    let token = node::token();
    let program = node::shell(&token, lock);
    (token, program)
}
