//! How many of us knock at one address at the same time. A server turns strangers away at random once ten are at its door
//! (`MaxStartups`), and one bastion may be the way to every machine of a house.

use super::RemoteError;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Logins under way at one address, once the first was let in. It leaves room for other people's, and for those of ours that a
/// busy server still counts although they are in.
const AT_ONCE: usize = 5;

/// The doors of a run, by address, user and keys.
#[derive(Clone, Default)]
pub struct Doors(Arc<Mutex<BTreeMap<String, Arc<Door>>>>);

/// One address. The first goes alone: if it is not let in, those who waited behind it need not be refused one by one.
pub(super) struct Door {
    places: Arc<Semaphore>,
    proven: AtomicBool,
    refused: Mutex<Option<(Instant, RemoteError)>>,
}

/// A place at a door, given back when dropped.
pub(super) struct Place {
    door: Arc<Door>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Doors {
    /// The door that `name` stands for.
    pub(super) fn door(&self, name: String) -> Arc<Door> {
        let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(doors.entry(name).or_insert_with(|| {
            let places = Arc::new(Semaphore::new(1));
            Arc::new(Door { places, proven: AtomicBool::new(false), refused: Mutex::default() })
        }))
    }
}

impl Door {
    /// Waits for a place. An error is that of whoever went first in the meantime.
    pub(super) async fn place(self: &Arc<Self>) -> Result<Place, RemoteError> {
        let since = Instant::now();
        let permit = Arc::clone(&self.places).acquire_owned().await.ok();
        match &*self.refused.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((when, error)) if *when > since && !self.proven.load(Ordering::Relaxed) => Err(error.clone()),
            _ => Ok(Place { door: Arc::clone(self), _permit: permit }),
        }
    }
}

impl Place {
    /// We were let in: now others may come together.
    pub(super) fn let_in(&self) {
        if !self.door.proven.swap(true, Ordering::Relaxed) {
            self.door.places.add_permits(AT_ONCE - 1);
        }
    }

    /// We were not, for a reason that holds for the others as well.
    pub(super) fn refused(&self, error: &RemoteError) {
        *self.door.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::task::JoinSet;

    #[tokio::test]
    async fn the_first_goes_alone_and_a_few_together_after_it() {
        let door = Doors::default().door("x".to_owned());
        let first = door.place().await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(20), door.place()).await.is_err());
        first.let_in();
        first.let_in();
        let mut places = vec![first];
        for _ in 1..AT_ONCE {
            places.push(door.place().await.unwrap());
        }
        assert!(tokio::time::timeout(Duration::from_millis(20), door.place()).await.is_err());
        drop(places);
        assert!(door.place().await.is_ok());
    }

    #[tokio::test]
    async fn who_waits_behind_a_refusal_hears_it_and_who_comes_later_tries() {
        let doors = Doors::default();
        let place = doors.door("x".to_owned()).place().await.unwrap();
        let mut waiting = JoinSet::new();
        for _ in 0..5 {
            let door = doors.door("x".to_owned());
            waiting.spawn(async move { door.place().await.err() });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let error = RemoteError::Local { seen: "no".to_owned() };
        place.refused(&error);
        drop(place);
        while let Some(heard) = waiting.join_next().await {
            assert_eq!(heard.unwrap(), Some(error.clone()));
        }
        assert!(doors.door("x".to_owned()).place().await.is_ok());
        assert!(doors.door("y".to_owned()).place().await.is_ok());
    }
}
