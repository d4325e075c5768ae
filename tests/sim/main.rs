//! The laws that hold for every step and every add-on of the catalogue, in every inventory of `tests/fixture/scenes.rs`
//! ([`laws`]), and a fleet of simulated machines that is cut wherever it can be ([`fleet`]). A step that is new is held to them
//! by being in the list.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

mod fleet;
#[path = "../fixture/house.rs"]
mod house;
mod laws;
#[path = "../fixture/lock.rs"]
mod lock;
#[path = "../fixture/mirror.rs"]
mod mirror;
mod needles;
#[path = "../fixture/ports.rs"]
mod ports;
#[path = "../fixture/scenes.rs"]
mod scenes;
#[path = "../fixture/watched.rs"]
mod watched;
mod world;
