//! One file a verb: what each command does, from arguments to exit code.

mod add_node;
mod apply;
mod assumed;
mod backup;
mod certificates;
mod certs;
mod check;
mod distrust;
mod drill;
mod execute;
mod fleet;
mod ground;
mod init;
mod kept;
mod kubeconfig;
mod laid;
mod live_etcd;
mod lock;
mod look;
mod moving;
mod pace;
mod plan_file;
mod planning;
mod preflight;
mod put_back;
mod quorum;
mod ran;
mod recover;
mod remove_node;
mod render;
mod replace_node;
mod reset;
mod restore;
mod rollback;
mod rollout;
mod sealed;
mod shell;
mod signals;
mod status;
mod supply;
mod survivor;
mod tap;
mod upgrade;
mod validate;
mod world;

pub use distrust::Distrust;
pub use ground::Ground;
pub use moving::{InApi, Moving};
pub use pace::Pace;
pub use restore::{Asked, Restoring};

use crate::cli::{Cli, Verb};
use crate::error::{Result, exit};
use crate::report::Reporter;

/// Runs the verb that was typed; the exit code, or what went wrong.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(cli: &Cli, out: &Reporter) -> Result<u8> {
    tokio::select! {
        code = verb(cli, out) => code,
        standing = signals::given_up() => {
            if let Some(standing) = standing {
                out.talk(standing);
            }
            Ok(exit::INTERRUPTED)
        }
    }
}

async fn verb(cli: &Cli, out: &Reporter) -> Result<u8> {
    let global = &cli.global;
    match &cli.verb {
        Verb::Init(args) => init::run(args, global, out),
        Verb::Validate(args) => validate::run(args, out),
        Verb::Lock(args) => lock::run(args, global, out).await,
        Verb::Plan(args) => Box::pin(planning::run(args, global, out)).await,
        Verb::Apply(args) => Box::pin(apply::run(args, global, out)).await,
        Verb::Render(args) => render::run(args, global, out).await,
        Verb::Check(args) => Box::pin(check::run(args, global, out)).await,
        Verb::Status(args) => Box::pin(status::run(args, global, out)).await,
        Verb::Certs(args) => Box::pin(certs::run(args, global, out)).await,
        Verb::Kubeconfig(args) => kubeconfig::run(args, global, out).await,
        Verb::Upgrade(args) => Box::pin(upgrade::run(args, global, out)).await,
        Verb::Rollback(args) => Box::pin(rollback::run(args, global, out)).await,
        Verb::AddNode(args) => Box::pin(add_node::run(args, global, out)).await,
        Verb::RemoveNode(args) => Box::pin(remove_node::run(args, global, out)).await,
        Verb::ReplaceNode(args) => Box::pin(replace_node::run(args, global, out)).await,
        Verb::Drill(args) => Box::pin(drill::run(args, global, out)).await,
        Verb::Reset(args) => Box::pin(reset::run(args, global, out)).await,
        Verb::Backup(args) => backup::run(args, global, out).await,
        Verb::Restore(args) => Box::pin(restore::run(args, global, out)).await,
        Verb::Recover(args) => Box::pin(recover::run(args, global, out)).await,
        Verb::Completions(args) => shell::completions(args, out),
        Verb::Man(args) => shell::man(args, out),
        Verb::Explain(args) if args.last => out.last_run().map(|()| exit::OK),
        Verb::Explain(args) => out.explain(args.code).map(|()| exit::OK),
    }
}
