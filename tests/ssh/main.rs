//! The SSH transport against OpenSSH's own server on the loopback interface, each test with a server, keys and
//! a `/run` of its own. It needs `sshd` and root; without them it fails and says so.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may fail as tests do")]

mod backups;
mod hostile;
mod login;
mod measure;
#[path = "../fixture/no_api.rs"]
mod no_api;
mod people;
#[path = "../fixture/ports.rs"]
mod ports;
mod roads;
mod server;
mod work;
