//! One channel a host: the trait [`Remote`], its russh implementation, and a scripted fake for tests.

mod fake;
mod local;
mod node;
mod pipe;
mod remote;
mod shell;
mod traffic;

pub use fake::{Asked, Fake};
pub use local::LocalShell;
pub use remote::{Connection, Counters, Line, Remote, RemoteError, Reply, Stream};

#[cfg(test)]
mod shell_tests;
