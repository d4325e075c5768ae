//! `backup`: a fresh snapshot of etcd and everything that belongs to it in one encrypted file; such files listed, proven, unpacked.

mod act;
mod kept;
mod named;
mod on_node;
mod take;
mod unpack;

pub(super) use act::run;
pub(super) use kept::{Opened, identity, proven};
pub(super) use named::{AtHand, Named};
pub(super) use take::fresh;
pub(super) use unpack::lay_out;
