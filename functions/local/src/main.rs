//! `reelway`: reads the command line, and hands over.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match local::run(local::cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard output is for results; telemetry may not have started yet.
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("reelway: {error:#}\n"),
            );
            ExitCode::FAILURE
        }
    }
}
