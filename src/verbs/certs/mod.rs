//! `certs`: certificates and keys as a whole: what there is.

mod list;

use crate::cli::{Certs, CertsAct, Global};
use crate::error::Result;
use crate::report::Reporter;

/// `homectl certs`.
pub(super) async fn run(args: &Certs, global: &Global, out: &Reporter) -> Result<u8> {
    match &args.act {
        None => list::run(&args.list, global, out).await,
        Some(CertsAct::List(args)) => list::run(args, global, out).await,
    }
}
