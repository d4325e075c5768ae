//! `certs`: certificates and keys as a whole: what there is, all of it anew, back from the dead, and keys replaced.

mod again;
mod authorities;
mod exchange;
mod list;
mod renew;
mod rescue;
mod rotate;
mod verb;

pub(super) use verb::run;
