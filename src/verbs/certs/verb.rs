//! Which of them it is.

use super::{authorities, list, renew, rescue, rotate};
use crate::cli::{Certs, CertsAct, Global, Key};
use crate::error::Result;
use crate::report::Reporter;

/// `homectl certs`.
pub(in super::super) async fn run(args: &Certs, global: &Global, out: &Reporter) -> Result<u8> {
    match &args.act {
        None => list::run(&args.list, global, out).await,
        Some(CertsAct::List(args)) => list::run(args, global, out).await,
        Some(CertsAct::Renew(args)) => renew::run(args, global, out).await,
        Some(CertsAct::Rescue(args)) => rescue::run(args, global, out).await,
        Some(CertsAct::RotateCa(args)) => authorities::run(args, global, out).await,
        Some(CertsAct::RotateKey(args)) => match &args.key {
            Key::Encryption(args) => rotate::encryption(args, global, out).await,
            Key::Overlay(args) => rotate::overlay(args, global, out).await,
        },
    }
}
