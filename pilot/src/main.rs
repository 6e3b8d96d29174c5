//! The program `pilot`.

use pilot::settings::Settings;

fn main() -> std::process::ExitCode {
    match pilot::app::main(Settings::read(std::env::args_os())) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pilot: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
