//! Looking at a host: all wants of a host compiled into one read-only script, its reply parsed into one [`Seen`](super::Seen) a want.

mod compile;
mod expect;
mod pack;
mod parse;
mod subject;

pub use compile::{compile, open};
pub use parse::{obstacles, opened, parse};

use subject::{hashed, inode_path, present, read};
