//! `backup`: a fresh snapshot of etcd and everything that belongs to it in one encrypted file; such files listed, proven, unpacked.

mod act;
mod kept;
mod on_node;
mod take;
mod unpack;

pub(super) use act::{env, run};
pub(super) use kept::{Opened, identity, newest, newest_of, proven};
pub(super) use on_node::OnNode;
pub(super) use take::fresh;
pub(super) use unpack::lay_out;
