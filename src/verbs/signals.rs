//! How a run is told to end (Ctrl-C, a service manager's SIGTERM, the terminal that went away), and what becomes of it then.

use crate::report::Reporter;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Whether something runs on machines: then Ctrl-C is its own, [`interrupts`], and nobody else's.
static UNDER_WAY: AtomicBool = AtomicBool::new(false);
/// Whether anything did.
static RAN: AtomicBool = AtomicBool::new(false);
/// Somebody does not wait for a safe point: everything is dropped, with what it keeps in clear.
static AT_ONCE: Notify = Notify::const_new();

/// Whether a plan has begun to run in this process.
pub(super) fn ran() -> bool {
    RAN.load(Ordering::Relaxed)
}

/// Something on machines that is not simply dropped: as long as this lives, Ctrl-C is for whoever made it.
pub(super) struct UnderWay;

impl UnderWay {
    pub(super) fn begin() -> Self {
        UNDER_WAY.store(true, Ordering::Relaxed);
        RAN.store(true, Ordering::Relaxed);
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.store(false, Ordering::Relaxed);
    }
}

/// Ends at Ctrl-C and its like, as long as nothing runs, and at the second where something does; says how things stand, where that
/// is not said yet.
pub(super) async fn given_up() -> Option<&'static str> {
    loop {
        tokio::select! {
            () = AT_ONCE.notified() => return None,
            told = told_to_end() => {
                if told.is_ok() && !UNDER_WAY.load(Ordering::Relaxed) {
                    return Some(if ran() { "Stopped." } else { "Stopped; nothing was changed on any machine." });
                }
                // A computer without signals, or one that was not for us.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// What is said at the first Ctrl-C, and at the second.
pub(super) type Words = [&'static str; 2];

/// Ctrl-C (or its like) once: stop at the next safe point; twice: now.
pub(super) async fn interrupts(stop: CancellationToken, out: Reporter, words: Words) {
    if told_to_end().await.is_err() {
        return;
    }
    stop.cancel();
    out.talk(words[0]);
    if told_to_end().await.is_ok() {
        out.last_words(words[1]);
        AT_ONCE.notify_one();
    }
}

/// Ends once somebody wants homectl to end.
///
/// # Errors
/// This computer lets nobody listen.
async fn told_to_end() -> std::io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hangup = if hangup_is_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = heard(hangup.as_mut()) => {}
    }
    Ok(())
}

async fn heard(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}

/// `nohup` has it ignored, so that what it starts outlives the terminal; to listen would undo that.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
