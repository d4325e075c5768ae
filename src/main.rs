//! Parse, run the verb, map what went wrong to an exit code.

use homectl::cli::Cli;
use homectl::error::exit;
use homectl::report::{self, Reporter};
use std::process::ExitCode;

fn main() -> ExitCode {
    report::exit_on_panic();
    // Fails only when a provider is there already, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = !error.use_stderr();
            error.print().ok();
            return ExitCode::from(if asked { exit::OK } else { exit::USAGE });
        }
    };
    let out = Reporter::new(report::Options::of(&cli.global));
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return ExitCode::from(out.failure(&homectl::error::Failure::failed(format!("no runtime: {error}")))),
    };
    let code = match runtime.block_on(homectl::verbs::run(&cli, &out)) {
        Ok(code) => code,
        Err(failure) => out.failure(&failure),
    };
    drop(out);
    // A prompt may still sit in read(2); nothing else is worth waiting for.
    runtime.shutdown_background();
    ExitCode::from(code)
}
