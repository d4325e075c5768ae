//! How a run is told to end: Ctrl-C, a service manager's SIGTERM, the terminal that went away.

use std::future::pending;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ends once somebody wants homectl to end.
///
/// # Errors
/// This computer lets nobody listen.
pub(super) async fn told_to_end() -> std::io::Result<()> {
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
