//! `homectl certs` and what belongs to it.

use super::Target;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `homectl certs`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_long_help = "\
Exits with 0 when nothing needs anybody; with 1 when a certificate has expired, ends within ten days and nobody renews it, or \
should have been renewed long ago; with 3 when some machine did not answer.

Examples:
  homectl certs                    all of them, with days left and who renews them
  homectl certs --ics certs.ics    the same as dates for a calendar
  homectl certs --json | jq '.certificates[] | select(.due)'")]
pub struct Certs {
    #[command(subcommand)]
    pub act: Option<CertsAct>,
    #[command(flatten)]
    pub list: CertsList,
}

/// What is done with certificates.
#[derive(Debug, Clone, Subcommand)]
pub enum CertsAct {
    /// Show all of them, with days left and who renews them; touches nothing
    List(CertsList),
}

/// `homectl certs list`.
#[derive(Debug, Clone, Args)]
pub struct CertsList {
    #[command(flatten)]
    pub target: Target,
    /// Write the days they end to this file, for a calendar (iCalendar)
    #[arg(long, value_name = "FILE")]
    pub ics: Option<PathBuf>,
}
