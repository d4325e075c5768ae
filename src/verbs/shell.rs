//! `completions` and `man`: what packagers and shells want to know of the command line.

use crate::cli::{Cli, Completions, Man};
use crate::error::{Failure, Result, exit};
use crate::report::Reporter;
use clap::CommandFactory;

/// Prints a shell's completion script.
pub(super) fn completions(args: &Completions, out: &Reporter) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "homectl", &mut script);
    print(script, out)
}

/// Prints a manual page in roff.
pub(super) fn man(args: &Man, out: &Reporter) -> Result<u8> {
    let mut command = Cli::command();
    command.build();
    let page = match &args.command {
        None => command,
        Some(name) => command
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| Failure::new(exit::USAGE, format!("homectl has no command `{name}`")).help("`homectl --help` lists them"))?,
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page).render(&mut roff).map_err(|e| Failure::bug(format!("the page could not be made: {e}")))?;
    print(roff, out)
}

fn print(bytes: Vec<u8>, out: &Reporter) -> Result<u8> {
    let text = String::from_utf8(bytes).map_err(|e| Failure::bug(format!("text that is not UTF-8: {e}")))?;
    out.data(text);
    Ok(exit::OK)
}
