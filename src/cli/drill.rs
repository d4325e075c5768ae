//! `homectl drill` and what belongs to it.

use super::Target;
use clap::{Args, Subcommand};

/// `homectl drill`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Each looks first whether the cluster is whole, and refuses with what is not; says what may be noticed, and asks; and reports what \
was observed. Exits with 0 when all of it held, with 1 when not, with 4 when it was refused.

Examples:
  homectl drill                                which there are
  homectl drill api --node garage              garage's API server is away for half a minute; the others and every proxy are asked
  homectl drill drain --node shed              shed is emptied and given back; who was short of pods for how long
  homectl drill restore                        a fresh backup, restored where nobody sees it
  homectl drill restore --from /mnt/nas/home   the newest of those that are kept there")]
pub struct Drill {
    #[command(subcommand)]
    pub which: Option<DrillKind>,
}

/// Which drill.
#[derive(Debug, Clone, Subcommand)]
pub enum DrillKind {
    /// Stop one control plane's API server for a while
    ///
    /// All other API servers, and the way to the API that every node has, are asked five times a second meanwhile. The machine
    /// starts its API server again by itself, also when homectl, its computer or the connection is lost.
    Api(DrillApi),
    /// Empty a node and give it back
    ///
    /// Pods leave as their disruption budgets allow; what moved where is told, and for how long each workload was short of pods.
    Drain(DrillDrain),
    /// Restore a backup where nobody sees it
    ///
    /// Nothing is changed on any machine: the backup is restored into a throw-away etcd on this computer, its keys are counted and
    /// hashed, and one of its Secrets is opened.
    Restore(DrillRestore),
}

/// `homectl drill api`; `--node` says whose.
#[derive(Debug, Clone, Args)]
pub struct DrillApi {
    #[command(flatten)]
    pub target: Target,
    /// For how many seconds
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(5..=600))]
    pub seconds: u16,
    /// It is killed instead of asked to end: nobody is told beforehand
    #[arg(long)]
    pub sudden: bool,
    /// The cluster has one control plane only, and its API may be away meanwhile
    #[arg(long)]
    pub without_api: bool,
}

/// `homectl drill drain`; `--node` says which.
#[derive(Debug, Clone, Args)]
pub struct DrillDrain {
    #[command(flatten)]
    pub target: Target,
}

/// `homectl drill restore`.
#[derive(Debug, Clone, Args)]
pub struct DrillRestore {
    #[command(flatten)]
    pub target: Target,
    /// A backup, or a folder, `s3://BUCKET/PREFIX` or `node:NAME:/FOLDER` whose newest is taken; without it a fresh one is made
    #[arg(long, value_name = "PLACE")]
    pub from: Option<String>,
}
