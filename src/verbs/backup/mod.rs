//! `backup`: a fresh snapshot of etcd and everything that belongs to it in one encrypted file; such files listed, proven, unpacked.

mod act;
mod kept;
mod take;
mod unpack;

pub(super) use act::{env, run};
pub(super) use kept::{Opened, identity, newest, proven};
pub(super) use take::fresh;
pub(super) use unpack::lay_out;
