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
    /// Renew all of homectl's now, one control plane at a time
    ///
    /// Every certificate that homectl made gets another year, with the key it has; what shows it restarts, one control plane
    /// after the other. Those that are less than an hour old stay, so that a run that was cut off goes on where it stopped.
    /// The kubelets renew theirs themselves.
    Renew(Target),
    /// Bring back a cluster whose certificates have run out, by SSH alone
    ///
    /// Certificates are made anew from the authorities in the secrets file, also the kubelets'; what runs with dead ones begins
    /// again at once, everywhere. It is an apply: its plan is shown and asked for. Before and after it is said what has run out.
    ///
    /// Where the authorities themselves have run out, new ones take their place, and everything is signed by them: on all machines at
    /// once, then in a second apply the old ones are taken out. Pods that trust the old ones alone have to begin
    /// again: those of homectl's own add-ons do, the others are named. It is refused where the clocks do not agree that they have run
    /// out. Stopped anywhere, the same command goes on.
    Rescue(Target),
    /// Replace a key, while everything works
    RotateKey(RotateKey),
    /// Replace the authorities that sign all certificates, while everything works
    ///
    /// Three applies, each with its plan: everybody learns to trust new authorities (the cluster's, etcd's, the front proxy's) beside
    /// the old ones; everything is signed by the new ones; the old ones are taken out. What serves restarts, one control plane at a
    /// time. Stopped anywhere, everything works, and the same command goes on.
    ///
    /// Pods read whom they trust when they begin. So after the first stage it stops and says which pods began before; restart them when
    /// it suits you, then run the same command again.
    RotateCa(RotateCa),
}

/// `homectl certs rotate-ca`.
#[derive(Debug, Clone, Args)]
pub struct RotateCa {
    #[command(flatten)]
    pub target: Target,
    /// Go on though some pods do not trust the new authorities: they lose the API until they begin again
    #[arg(long)]
    pub leave_pods: bool,
}

/// `homectl certs rotate-key`.
#[derive(Debug, Clone, Args)]
pub struct RotateKey {
    #[command(subcommand)]
    pub key: Key,
}

/// Which key.
#[derive(Debug, Clone, Subcommand)]
pub enum Key {
    /// The key that encrypts Secrets in etcd
    ///
    /// Three applies, each with its plan: every API server learns to read with the new key; every one writes with it, and all
    /// Secrets are written anew; the old key is taken out. API servers restart one at a time. Stopped anywhere, everything can be
    /// read, and the same command goes on.
    Encryption(Target),
    /// A node's WireGuard key
    ///
    /// The node and its peers change at the same moment, without taking a link down: what is on its way waits for one handshake.
    Overlay(Overlay),
}

/// `homectl certs rotate-key overlay`.
#[derive(Debug, Clone, Args)]
pub struct Overlay {
    /// The node's name
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub target: Target,
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
