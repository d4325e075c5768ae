//! What can be typed: clap types only. Verbs read them; nothing here acts.

mod certs;
mod drill;
mod global;

pub use certs::{Certs, CertsAct, CertsList, Key, Overlay, RotateCa, RotateKey};
pub use drill::{Drill, DrillApi, DrillDrain, DrillKind, DrillRestore};
pub use global::Global;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

/// The name of the inventory when none is given.
pub const INVENTORY: &str = "inventory.toml";

const LONG_ABOUT: &str = "\
homectl turns the machines of a home into one upstream Kubernetes cluster, from one TOML file, over SSH.

It shows a complete plan before it touches anything, does exactly that plan on all machines at once, and says \
\"No changes.\" when there is nothing to do. It can be stopped at any point and run again.";

const EXAMPLES: &str = "\
Examples:
  homectl init                         write a commented inventory.toml
  homectl validate                     check it, without any network
  homectl plan                         show what would change; touches nothing
  homectl apply                        show the same, ask, do it
  homectl apply --yes --accept-new     unattended, recording host keys at first contact
  homectl kubeconfig -o ~/.kube/home   how kubectl reaches the cluster

What was asked for goes to stdout, progress and messages to stderr. `homectl explain` lists the exit codes.";

/// The command line.
#[derive(Debug, Clone, Parser)]
#[command(name = "homectl", version, about, long_about = LONG_ABOUT, after_long_help = EXAMPLES)]
#[command(max_term_width = 100, propagate_version = false, infer_subcommands = false, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
    #[command(flatten)]
    pub global: Global,
}

impl Cli {
    /// What was typed.
    ///
    /// # Errors
    /// It cannot be understood, or asks for help or the version.
    pub fn read() -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches()?;
        let mut cli = Self::from_arg_matches(&matches)?;
        let words = std::iter::successors(matches.subcommand(), |(_, below)| below.subcommand()).map(|(word, _)| word);
        cli.global.verb = words.collect::<Vec<_>>().join(" ");
        Ok(cli)
    }
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Write a commented inventory, and an age identity if there is none
    Init(Init),
    /// Check the inventory without any network: every error at once
    Validate(Target),
    /// Resolve versions to URLs and sums, into the lock beside the inventory
    Lock(Target),
    /// Show what apply would do; touches nothing
    Plan(Plan),
    /// Make the machines what the inventory says
    Apply(Apply),
    /// Write every file that each node would get, for review; asks no machine
    Render(Render),
    /// Show what is true now: nodes, certificates, overlay, etcd
    Status(Target),
    /// Certificates and keys: all of them with days left, and what can be done with them
    Certs(Certs),
    /// Print a kubeconfig for the cluster
    Kubeconfig(Kubeconfig),
    /// Move the cluster to another Kubernetes version, node by node
    Upgrade(Upgrade),
    /// Put one node (`--node`) back to what it ran before an upgrade that is under way
    Rollback(Rollback),
    /// Add a machine to the cluster, and to the inventory
    AddNode(AddNode),
    /// Let a machine go: its pods move, etcd goes on without it, what is ours there goes
    RemoveNode(RemoveNode),
    /// Put another machine in the place of a lost or reinstalled one, under its name
    ReplaceNode(ReplaceNode),
    /// Back up etcd and everything a cluster is made from, into one encrypted file
    Backup(Backup),
    /// Make a cluster of a backup, on its machines or on new ones
    Restore(Restore),
    /// Make a lost secrets file anew, from the machines
    ///
    /// Authorities, keys and certificates are read from the machines that have them, over SSH, and encrypted to the age identity.
    /// A secrets file that is there is never touched. Afterwards `plan` has nothing to do.
    Recover(Target),
    /// Try on your own cluster what it withstands: an API server stopped, a node emptied, a backup restored aside
    Drill(Drill),
    /// Remove what homectl put on the machines, and nothing else
    Reset(Target),
    /// Explain exit codes, or what the last run did
    Explain(Explain),
    /// Look at all machines at once: everything that stands in the way of a cluster
    ///
    /// Machines are only looked at, but for a few kilobytes that are written and removed on control planes, to see how fast
    /// their disks are, and datagrams between all of them where the overlay is not up yet. `apply` begins with the same look
    /// where machines are new. Exits with 0 when nothing is in the way (there may be warnings), else with 1.
    Check(Target),
    /// Print the completion script of a shell
    Completions(Completions),
    /// Print a manual page
    Man(Man),
}

/// The inventory that a verb works on.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// The inventory; its lock and secrets lie beside it
    #[arg(value_name = "INVENTORY", default_value = INVENTORY)]
    pub inventory: PathBuf,
}

/// `homectl rollback`.
#[derive(Debug, Clone, Args)]
pub struct Rollback {
    #[command(flatten)]
    pub target: Target,
    /// Its API server and controllers, too: only where it is they that do not come up
    #[arg(long)]
    pub servers: bool,
}

/// `homectl upgrade`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
The version in the inventory is rewritten, its comments stay; the lock follows. Then it is an apply: a verified snapshot of \
etcd, API servers one by one, their controllers, then the nodes. For another minor version a node is emptied first, as its \
pods' disruption budgets allow, and takes pods again once its new kubelet is Ready; a patch only restarts it. A node that \
does not come up is put back, and the upgrade stops there.

Example:
  homectl upgrade --to 1.36.3")]
pub struct Upgrade {
    #[command(flatten)]
    pub target: Target,
    /// The Kubernetes version to move to
    #[arg(long, value_name = "VERSION")]
    pub to: semver::Version,
    /// How many workers may be empty at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub max_unavailable: u8,
}

/// `homectl init`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "An inventory that exists is never overwritten.")]
pub struct Init {
    /// Where to write the inventory
    #[arg(value_name = "INVENTORY", default_value = INVENTORY)]
    pub inventory: PathBuf,
}

/// `homectl plan`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  homectl plan                  what would change, files that are new in one line each
  homectl plan -v               the same with every line, and why the rest is settled
  homectl plan --exit-code      for CI: 0 nothing to do, 2 changes
  homectl plan --out plan.json  keep it, for homectl apply plan.json
  homectl plan --offline        what new machines would get; asks none
  homectl plan --json | jq .counts")]
pub struct Plan {
    #[command(flatten)]
    pub target: Target,
    /// Exit with 2 when there is something to do
    #[arg(long)]
    pub exit_code: bool,
    /// Write the plan to this file as well, for `homectl apply FILE`
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Ask no machine: what new machines with the inventory's architecture would get
    #[arg(long, conflicts_with = "out")]
    pub offline: bool,
    /// `github`: annotations on the lines of the inventory instead of the plan
    #[arg(long, value_enum, value_name = "FORM", conflicts_with_all = ["json", "events"])]
    pub format: Option<Annotations>,
}

/// `homectl render`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Example:
  homectl render --out rendered && git diff --stat rendered    what a change of the inventory comes to")]
pub struct Render {
    #[command(flatten)]
    pub target: Target,
    /// Write to this folder: new, empty, or written by an earlier run
    #[arg(long, short, value_name = "DIR")]
    pub out: PathBuf,
}

/// Whose annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Annotations {
    /// Workflow commands of GitHub Actions
    Github,
}

/// `homectl apply`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  homectl apply                            show what would change, ask, do it
  homectl plan --out plan.json             look at a plan now …
  homectl apply plan.json                  … and run exactly it later, or nothing if anything has moved
  homectl apply --yes --allow-offline      unattended, also while a machine is off")]
pub struct Apply {
    /// The inventory (its lock and secrets lie beside it), or a file that `plan --out` wrote
    #[arg(value_name = "INVENTORY|PLAN", default_value = INVENTORY)]
    pub inventory: PathBuf,
}

/// `homectl add-node`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
The [[node]] is written when you agree to the plan, which touches the new machine and, on the others, only what names it.
Where anything else is due on them, run apply first.

Examples:
  homectl add-node inventory.toml shed 192.168.1.24
  homectl add-node inventory.toml loft loft.example.net --role control-plane --site loft --behind-nat")]
pub struct AddNode {
    /// The inventory
    #[arg(value_name = "INVENTORY")]
    pub inventory: PathBuf,
    /// What the node is to be called
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where SSH reaches it
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// What it is to be
    #[arg(long, value_enum, default_value = "worker")]
    pub role: NodeRole,
    /// The house it stands in
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
    /// It cannot be dialled from outside its house
    #[arg(long)]
    pub behind_nat: bool,
    /// Where other houses dial its WireGuard
    #[arg(long, value_name = "HOST:PORT")]
    pub endpoint: Option<String>,
    /// The user to log in as
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// The port of its SSH server
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// The fingerprint of its host key, to be pinned
    #[arg(long, value_name = "SHA256:…")]
    pub host_key: Option<String>,
}

/// What a node can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NodeRole {
    /// etcd and the API run here, too
    ControlPlane,
    /// Only pods
    Worker,
}

/// `homectl remove-node`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Any node can go, also the first, but not the last control plane, and none without which etcd had no majority. Its [[node]], its
number and its keys go last, when all went well; a run that was cut is continued by the same command.

Examples:
  homectl remove-node inventory.toml shed
  homectl remove-node inventory.toml attic --dead    its machine is gone for good")]
pub struct RemoveNode {
    /// The inventory
    #[arg(value_name = "INVENTORY")]
    pub inventory: PathBuf,
    /// Which node
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The machine is gone for good: it is neither asked nor cleaned
    #[arg(long)]
    pub dead: bool,
}

/// `homectl replace-node`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
The new machine gets the name, the number, the overlay address and the keys of the old one. Volumes of the old machine are not
on it. A host key that is another than the recorded one is shown beside it, and taken when you agree or name it.

Examples:
  homectl replace-node inventory.toml attic                            the same machine with a new disk
  homectl replace-node inventory.toml attic --address 192.168.1.30     another machine")]
pub struct ReplaceNode {
    /// The inventory
    #[arg(value_name = "INVENTORY")]
    pub inventory: PathBuf,
    /// Which node
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where SSH reaches the new machine, if not where it reached the old one
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// The fingerprint of the new machine's host key, in place of the recorded one
    #[arg(long, value_name = "SHA256:…")]
    pub host_key: Option<String>,
}

/// `homectl kubeconfig`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  homectl kubeconfig --out ~/.kube/home   write it, readable by you only
  homectl kubeconfig                      print it: an administrator's key is in it")]
pub struct Kubeconfig {
    #[command(flatten)]
    pub target: Target,
    /// Write to this file (mode 0600) instead of stdout
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `homectl backup`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  homectl backup                                   to the places of [backup] in the inventory; without any, a file here
  homectl backup --to /mnt/nas/backups --keep 14   for cron and CI: the newest 14 stay
  homectl backup --to s3://bucket/home --verify    to S3 (AWS_… in the environment), proven first
  homectl backup --to node:shed:/srv/backups       to a folder on one of the machines
  homectl backup verify home-….backup.age          restore it where nobody sees it, and count
  homectl backup verify node:shed:/srv/backups     the newest one there
  homectl backup list                              what the inventory's places have, or the one that is named
  homectl backup unpack home-….backup.age          inventory, lock and secrets, on a new laptop

It holds a fresh snapshot of etcd, the inventory, its lock, secrets, known hosts and manifests, encrypted to whoever \
can open the secrets file. The age identity is not in it: keep that elsewhere. `homectl restore` makes a cluster of it.")]
pub struct Backup {
    #[command(subcommand)]
    pub act: Option<BackupAct>,
    #[command(flatten)]
    pub target: Target,
    /// Write it to this file
    #[arg(long, short, value_name = "FILE", conflicts_with = "to")]
    pub out: Option<PathBuf>,
    /// Keep it in this folder, below `s3://BUCKET/PREFIX` or in `node:NAME:/FOLDER`, named by cluster and time; may be said more than once
    #[arg(long, value_name = "PLACE")]
    pub to: Vec<String>,
    /// Remove older backups of this cluster there, all but the newest N
    #[arg(long, value_name = "N", conflicts_with = "out", value_parser = clap::value_parser!(u16).range(1..))]
    pub keep: Option<u16>,
    /// Prove it before it is kept, as `backup verify` does
    #[arg(long)]
    pub verify: bool,
}

/// What to do with backups that there are.
#[derive(Debug, Clone, Subcommand)]
pub enum BackupAct {
    /// What a backup holds, or which backups a folder or bucket has
    List(BackupPlace),
    /// Restore a backup into a throw-away etcd and compare what comes out with what the cluster had
    Verify(BackupFile),
    /// Write the inventory, lock, secrets, known hosts and manifests of a backup; nothing is overwritten
    Unpack(BackupUnpack),
}

/// `homectl backup verify`.
#[derive(Debug, Clone, Args)]
pub struct BackupFile {
    /// A backup: a file, `s3://BUCKET/OBJECT` or `node:NAME:/FILE`; of a folder, `s3://BUCKET/PREFIX` or `node:NAME:/FOLDER` the newest
    #[arg(value_name = "BACKUP")]
    pub file: String,
    /// Whose cluster, and how nodes are reached
    #[arg(long, value_name = "FILE", default_value = INVENTORY)]
    pub inventory: PathBuf,
}

/// `homectl backup list`.
#[derive(Debug, Clone, Args)]
pub struct BackupPlace {
    /// A backup, a folder of them, `s3://BUCKET/PREFIX` or `node:NAME:/FOLDER`
    #[arg(value_name = "PLACE")]
    pub place: Option<String>,
    /// How nodes are reached, and which places there are when none is named; without any of its own, this folder
    #[arg(long, value_name = "FILE", default_value = INVENTORY)]
    pub inventory: PathBuf,
}

/// `homectl backup unpack`.
#[derive(Debug, Clone, Args)]
pub struct BackupUnpack {
    /// A backup: a file, `s3://BUCKET/OBJECT` or `node:NAME:/FILE`
    #[arg(value_name = "BACKUP")]
    pub file: String,
    /// Where the inventory is to be (for `node:`, is); the others lie beside it
    #[arg(long, value_name = "FILE", default_value = INVENTORY)]
    pub inventory: PathBuf,
}

/// `homectl restore`.
#[derive(Debug, Clone, Args)]
#[command(group(clap::ArgGroup::new("origin").required(true)), after_long_help = "\
Examples:
  homectl restore --from home-….backup.age                 the cluster as it was then, on the same machines or empty ones
  homectl restore --snapshot etcd-….db                     from a snapshot of a control plane's /var/lib/homectl/snapshots
  homectl restore --from-node attic                        two of three control planes are lost: attic alone goes on

The backup is proven before anything is touched. Then the plan is shown: what `apply` would do, and in it etcd's data replaced \
on every control plane; what was there is moved aside. Nothing else is lost: machines, volumes and running pods stay. An inventory, \
a lock or a secrets file that is missing is taken from the backup, so a backup and the age identity are enough.")]
pub struct Restore {
    #[command(flatten)]
    pub target: Target,
    /// A backup: a file, `s3://BUCKET/OBJECT` or `node:NAME:/FILE`
    #[arg(long, value_name = "BACKUP", group = "origin")]
    pub from: Option<String>,
    /// A snapshot of etcd, as etcdctl makes it
    #[arg(long, value_name = "FILE", group = "origin")]
    pub snapshot: Option<PathBuf>,
    /// The one control plane whose data is left, where etcd has lost its majority for good
    #[arg(long, value_name = "NODE", group = "origin")]
    pub from_node: Option<String>,
}

/// `homectl explain`.
#[derive(Debug, Clone, Args)]
pub struct Explain {
    /// One exit code; all of them when none is given
    #[arg(value_name = "CODE")]
    pub code: Option<u8>,
    /// What the last run on this computer did: its steps, and what failed with the evidence
    #[arg(long, conflicts_with = "code")]
    pub last: bool,
}

/// `homectl completions`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Example:
  homectl completions bash > ~/.local/share/bash-completion/completions/homectl")]
pub struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// `homectl man`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Example:
  homectl man > ~/.local/share/man/man1/homectl.1")]
pub struct Man {
    /// The page of one command; the main page when none is given
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}
