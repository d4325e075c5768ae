//! One channel a host: the trait [`Remote`], its russh implementation, and a scripted fake for tests.

mod config;
mod dial;
mod door;
mod download;
mod failure;
mod fake;
mod host;
mod hostkeys;
mod keyring;
mod keys;
mod link;
mod local;
mod lock;
mod locks;
mod login;
mod node;
mod pipe;
mod proxy;
mod remote;
mod root;
mod shell;
mod short_key;
mod spec;
mod traffic;
mod upload;

pub use door::Doors;
pub use fake::{Asked, Fake};
pub use host::connect;
pub use keyring::KeyRing;
pub use local::LocalShell;
pub use locks::lock_all;
pub use remote::{Connection, Counters, Line, Remote, RemoteError, Reply, Stream, Take};
pub use spec::{Ask, ConnectSpec, Recorded};

#[cfg(test)]
mod shell_tests;
