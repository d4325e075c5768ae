//! One channel a host: the trait [`Remote`], its russh implementation, and a scripted fake for tests.

mod remote;

pub use remote::{Connection, Counters, Line, Remote, RemoteError, Reply, Stream};
