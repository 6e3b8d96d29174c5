//! Entry point: the hidden helper first, because it may not have threads, then the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    meshctl::local::wall::run_if_helper();
    meshctl::cli::run()
}
