//! Downloads against mirrors that are right, partial, or lie; archives that want out of their folder.

mod archives;
mod fetching;
mod locking;
mod server;
