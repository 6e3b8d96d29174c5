//! The program `pilot`.

use clap::Parser;
use pilot::settings::Settings;

fn main() -> std::process::ExitCode {
    match pilot::app::main(Settings::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pilot: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
