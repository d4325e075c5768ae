//! A host that answers from a script, for tests of everything above this module.

use super::remote::{Remote, Stream, Take};
use super::{Counters, Line, RemoteError, Reply};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Answer = dyn Fn(&str) -> Option<Result<Reply, RemoteError>> + Send + Sync;
type Dial = dyn Fn(&str, u16) -> Result<Box<dyn Stream>, RemoteError> + Send + Sync;

/// A [`Remote`] without a machine. Rules are tried in the order they were given; a script that none answers
/// ends with status 127 and says so. Everything that was asked is kept.
#[derive(Default)]
pub struct Fake {
    answers: Vec<Box<Answer>>,
    dial: Option<Box<Dial>>,
    files: BTreeMap<String, Vec<u8>>,
    asked: Mutex<Asked>,
    /// Who holds the lock; the same machine may be seen by several fakes.
    lock: Arc<Mutex<Option<String>>>,
}

/// What a [`Fake`] was asked, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The scripts that were run.
    pub scripts: Vec<String>,
    /// Files that were uploaded: from where, to where.
    pub uploads: Vec<(PathBuf, String)>,
    /// Ports that were dialled.
    pub tunnels: Vec<(String, u16)>,
    /// What each holder of the lock said about itself.
    pub locks: Vec<String>,
}

impl Fake {
    /// A host that knows no answer yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers every script that contains `part` with `output` and `status`.
    #[must_use]
    pub fn reply(self, part: &str, output: &str, status: i32) -> Self {
        let part = part.to_owned();
        let reply = Reply { output: output.to_owned(), status };
        self.answer(move |script| script.contains(&part).then(|| Ok(reply.clone())))
    }

    /// Fails every script that contains `part`.
    #[must_use]
    pub fn fail(self, part: &str, error: RemoteError) -> Self {
        let part = part.to_owned();
        self.answer(move |script| script.contains(&part).then(|| Err(error.clone())))
    }

    /// Answers what `rule` answers; `None` leaves the script to the next rule.
    #[must_use]
    pub fn answer(mut self, rule: impl Fn(&str) -> Option<Result<Reply, RemoteError>> + Send + Sync + 'static) -> Self {
        self.answers.push(Box::new(rule));
        self
    }

    /// Makes the other end of every tunnel; without it, tunnels fail.
    #[must_use]
    pub fn tunnels(mut self, dial: impl Fn(&str, u16) -> Result<Box<dyn Stream>, RemoteError> + Send + Sync + 'static) -> Self {
        self.dial = Some(Box::new(dial));
        self
    }

    /// With a file that can be downloaded.
    #[must_use]
    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), bytes.into());
        self
    }

    /// Makes the lock one that other fakes share.
    #[must_use]
    pub fn with_lock(mut self, lock: Arc<Mutex<Option<String>>>) -> Self {
        self.lock = lock;
        self
    }

    /// What was asked so far.
    #[must_use]
    pub fn asked(&self) -> Asked {
        guard(&self.asked).clone()
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the lock back when dropped.
struct Held(Arc<Mutex<Option<String>>>);

impl Drop for Held {
    fn drop(&mut self) {
        *guard(&self.0) = None;
    }
}

impl Remote for Fake {
    fn run<'a>(&'a self, script: &'a str, sink: &'a mut (dyn FnMut(Line<'_>) + Send)) -> BoxFuture<'a, Result<Reply, RemoteError>> {
        guard(&self.asked).scripts.push(script.to_owned());
        let unknown = || Ok(Reply { output: "the fake host knows no answer to this script\n".to_owned(), status: 127 });
        let answer = self.answers.iter().find_map(|rule| rule(script)).unwrap_or_else(unknown);
        if let Ok(reply) = &answer {
            reply.output.lines().for_each(sink);
        }
        Box::pin(std::future::ready(answer))
    }

    fn upload<'a>(&'a self, from: PathBuf, to: &'a str, sent: &'a (dyn Fn(u64) + Send + Sync)) -> BoxFuture<'a, Result<(), RemoteError>> {
        let size = std::fs::metadata(&from).map(|m| m.len()).map_err(|e| RemoteError::Local { seen: format!("{}: {e}", from.display()) });
        guard(&self.asked).uploads.push((from, to.to_owned()));
        Box::pin(std::future::ready(size.map(sent)))
    }

    fn download<'a>(&'a self, from: &'a str, take: Take<'a>) -> BoxFuture<'a, Result<u64, RemoteError>> {
        let given = match self.files.get(from) {
            // In two pieces, as the wire may have it.
            Some(bytes) => {
                let (a, b) = bytes.split_at(bytes.len() / 2);
                take(a).and_then(|()| take(b)).map(|()| bytes.len() as u64).map_err(|e| RemoteError::Local { seen: e.to_string() })
            }
            None => Err(RemoteError::Download { from: from.to_owned(), seen: "No such file or directory".to_owned() }),
        };
        Box::pin(std::future::ready(given))
    }

    fn tunnel<'a>(&'a self, address: &'a str, port: u16) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>> {
        guard(&self.asked).tunnels.push((address.to_owned(), port));
        let refused = || Err(RemoteError::Tunnel { to: format!("{address}:{port}"), seen: "connection refused".to_owned() });
        let stream = self.dial.as_ref().map_or_else(refused, |dial| dial(address, port));
        Box::pin(std::future::ready(stream))
    }

    fn lock<'a>(&'a self, who: &'a str) -> BoxFuture<'a, Result<Box<dyn Send + Sync>, RemoteError>> {
        let mut holder = guard(&self.lock);
        let taken = if let Some(holder) = &*holder {
            Err(RemoteError::Locked { holder: holder.clone() })
        } else {
            *holder = Some(who.to_owned());
            guard(&self.asked).locks.push(who.to_owned());
            Ok(Box::new(Held(Arc::clone(&self.lock))) as Box<dyn Send + Sync>)
        };
        Box::pin(std::future::ready(taken))
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_in_order_and_remembers() {
        let fake = Fake::new().reply("uname", "Linux\n", 0).fail("reboot", RemoteError::Lost { seen: "gone".to_owned() });
        let mut lines = Vec::new();
        let reply = fake.run("uname -s", &mut |line| lines.push(line.to_owned())).await.unwrap();
        assert_eq!((reply.output.as_str(), reply.status, lines), ("Linux\n", 0, vec!["Linux".to_owned()]));
        assert!(fake.run("reboot", &mut |_| ()).await.is_err());
        assert_eq!(fake.run("who", &mut |_| ()).await.unwrap().status, 127);
        assert_eq!(fake.asked().scripts, ["uname -s", "reboot", "who"]);
    }

    #[tokio::test]
    async fn one_holder_at_a_time() {
        let lock = Arc::new(Mutex::new(None));
        let (a, b) = (Fake::new().with_lock(Arc::clone(&lock)), Fake::new().with_lock(lock));
        let held = a.lock("ann").await.unwrap();
        assert!(matches!(b.lock("bob").await, Err(RemoteError::Locked { holder }) if holder == "ann"));
        drop(held);
        assert!(b.lock("bob").await.is_ok());
    }
}
