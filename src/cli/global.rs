//! What every verb understands.

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use std::path::PathBuf;

/// Flags that mean the same for every verb.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// One JSON document on stdout
    #[arg(long, global = true, conflicts_with = "events")]
    pub json: bool,
    /// Everything that happens as JSON lines on stdout
    #[arg(long, global = true)]
    pub events: bool,
    /// Say more: every line of new files, and why the rest is settled
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// No colours (also: `NO_COLOR` in the environment)
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Do not ask before changing machines
    #[arg(long, short, global = true)]
    pub yes: bool,
    /// Only these nodes, by name
    #[arg(long, global = true, value_name = "NODE", value_delimiter = ',', visible_alias = "node")]
    pub limit: Vec<String>,
    /// The age identity that opens the secrets file
    #[arg(long, global = true, value_name = "FILE", env = "HOMECTL_IDENTITY", hide_env_values = true, value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub identity: Option<PathBuf>,
    /// Record host keys at first contact instead of asking
    #[arg(long, global = true)]
    pub accept_new: bool,
    /// Fail when the lock is missing or does not cover the inventory
    #[arg(long, global = true)]
    pub locked: bool,
    /// Ask for the password that sudo wants (without a terminal: read it from the first line of stdin)
    #[arg(long, global = true)]
    pub ask_sudo_password: bool,
    /// Go on without machines that do not answer, where the control plane keeps its majority; exits with 3
    #[arg(long, global = true)]
    pub allow_offline: bool,
    /// Take the machines' locks away from another run that holds them; whose they were is said
    #[arg(long, global = true)]
    pub break_lock: bool,
    /// Say at the end how much went over each node's connections: turns, bytes sent, bytes received
    #[arg(long, global = true)]
    pub traffic: bool,
    /// The verb as it was typed, `certs renew`; journals name it.
    #[arg(skip)]
    pub verb: String,
}
