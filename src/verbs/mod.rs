//! One file a verb: what each command does, from arguments to exit code.

mod shell;

use crate::cli::{Cli, Verb};
use crate::error::{Failure, Result, exit};
use crate::report::Reporter;

/// Runs the verb that was typed; the exit code, or what went wrong.
pub async fn run(cli: &Cli, out: &Reporter) -> Result<u8> {
    match &cli.verb {
        Verb::Completions(args) => shell::completions(args, out),
        Verb::Man(args) => shell::man(args, out),
        Verb::Explain(args) => out.explain(args.code).map(|()| exit::OK),
        _ => Err(Failure::bug("this verb is not built yet")),
    }
}
