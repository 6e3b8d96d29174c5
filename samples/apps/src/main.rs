//! The program `mesh-samples`: a subcommand per sample application.
//! Called by another name (a link named `curl`, `nc` or a subcommand) it is that one at once.

use clap::Parser;
use samples::app::{Cli, applet};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(code) = samples::shell::called(&arguments) {
        return code;
    }
    let cli = Cli::parse_from(applet(arguments));
    // One thread: these are many small processes on a laptop, none of them with much to do.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .thread_stack_size(1024 * 1024)
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(cli.run());
            // Name lookups that still hang in a thread must not hold the process.
            runtime.shutdown_background();
            code
        }
        Err(cause) => {
            eprintln!("mesh-samples: cannot start: {cause}");
            ExitCode::FAILURE
        }
    }
}
