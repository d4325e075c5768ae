//! The lock of a machine: a kernel `flock` that lives as long as a shell on the node does, which lives as long
//! as it hears from us. Every script that is sent while the lock is ours names us, and the node runs it only
//! if the lock still says so: a laptop that slept through a night does no harm when it wakes up.

use super::dial::Dialer;
use super::link::Link;
use super::pipe::{Pipe, Receiver, Sender};
use super::{RemoteError, node, root};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

const HEARTBEAT: Duration = Duration::from_secs(5);
/// Seconds without a heartbeat after which the node lets go.
const PATIENCE: u64 = 20;

/// Whether we hold the lock.
#[derive(Clone, Default)]
pub(super) struct Holding(Arc<Mutex<State>>);

#[derive(Clone, Default)]
enum State {
    #[default]
    Free,
    /// Ours, under this name.
    Held(String),
    /// It was ours; why it is no longer.
    Lost(String),
}

impl Holding {
    /// The name that scripts must give, if the lock is held.
    pub(super) fn name(&self) -> Result<Option<String>, RemoteError> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Free => Ok(None),
            State::Held(name) => Ok(Some(name.clone())),
            State::Lost(why) => Err(RemoteError::Lost { seen: format!("the lock of the machine was lost: {why}") }),
        }
    }

    fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn lose(&self, why: String) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Held(_)) {
            *state = State::Lost(why);
        }
    }
}

/// Gives the lock back when dropped.
pub(super) struct Guard {
    holding: Holding,
    _stop: oneshot::Sender<()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.holding.set(State::Free);
    }
}

/// Takes the lock over a connection of its own; `who` is shown to others who want it.
pub(super) async fn take(dialer: &Dialer, holding: &Holding, who: &str) -> Result<Guard, RemoteError> {
    let link = dialer.dial().await?;
    let (token, id) = (node::token(), node::token());
    let (pipe, said) = root::start(dialer, &link, &node::lock(&token, node::LOCK, &id, who, PATIENCE), &token).await?;
    if let Some(holder) = said.strip_prefix("held by") {
        let holder = holder.trim();
        let holder = if holder.is_empty() { "somebody who has just begun" } else { holder };
        return Err(RemoteError::Locked { holder: holder.to_owned() });
    }
    if said != "locked" {
        return Err(RemoteError::Lost { seen: format!("the machine could not be locked: {said}") });
    }
    holding.set(State::Held(id));
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(hold(link, pipe, holding.clone(), stopped));
    Ok(Guard { holding: holding.clone(), _stop: stop })
}

/// Keeps the node's side alive until the guard is dropped, and notices when it ends by itself.
async fn hold(link: Link, pipe: Pipe, holding: Holding, stopped: oneshot::Receiver<()>) {
    let Pipe { mut sender, mut receiver } = pipe;
    tokio::select! {
        _ = stopped => {
            // The node lets go at once, and says so by ending; without an answer the connection's end tells it.
            sender.eof().await;
            let _ = tokio::time::timeout(HEARTBEAT, drain(&mut receiver)).await;
        }
        why = beat(&mut sender, &mut receiver) => holding.lose(why),
    }
    drop(link);
}

async fn beat(sender: &mut Sender, receiver: &mut Receiver) -> String {
    let beats = async {
        let mut clock = tokio::time::interval(HEARTBEAT);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            if !sender.send(Bytes::from_static(b"+\n")).await {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = beats => {}
        () = drain(receiver) => {}
    }
    match receiver.lost("") {
        RemoteError::Lost { seen } => seen,
        other => other.to_string(),
    }
}

async fn drain(receiver: &mut Receiver) {
    while receiver.line().await.is_some() {}
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;
