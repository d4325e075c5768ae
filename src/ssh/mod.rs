//! One channel a host: the trait [`Remote`], its russh implementation, and a scripted fake for tests.

mod config;
mod failure;
mod fake;
mod host;
mod hostkeys;
mod keys;
mod link;
mod local;
mod lock;
mod node;
mod pipe;
mod remote;
mod root;
mod shell;
mod spec;
mod traffic;
mod upload;

pub use fake::{Asked, Fake};
pub use host::connect;
pub use local::LocalShell;
pub use remote::{Connection, Counters, Line, Remote, RemoteError, Reply, Stream};
pub use spec::{Ask, ConnectSpec, Recorded};

#[cfg(test)]
mod shell_tests;
