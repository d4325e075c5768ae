//! Add-ons and the Kubernetes API: what the catalogue renders to, the client against a server that misbehaves, and
//! everything together against a real kube-apiserver with etcd on the loopback (where the lab's programs are there).

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod catalogue;
mod client;
mod drain;
mod fake;
mod fixture;
#[path = "../fixture/house.rs"]
mod house;
mod lint;
mod pki;
#[path = "../fixture/ports.rs"]
mod ports;
mod real;
mod server;
mod trust;
