//! Looking at a host: all wants of a host compiled into one read-only script, its reply parsed into one [`Seen`] a want.

mod compile;
mod expect;
mod parse;
