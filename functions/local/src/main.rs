//! `reelway`: reads the command line and the settings, and hands over.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use local::cli::{Cli, Command, Serve};
use local::output::Output;
use local::settings::Settings;
use local::{commands, evaluate, events, serve};
use ops::settings::Environment;
use ops::telemetry::{self, Format};

fn main() -> ExitCode {
    match run(Cli::parse()) {
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

fn run(cli: Cli) -> anyhow::Result<()> {
    match &cli.command {
        Some(Command::Completions { shell }) => return commands::completions(*shell),
        Some(Command::Config(command)) => return commands::config(command),
        _ => {}
    }
    let mut settings = Settings::read(&Environment)?;
    if let Some(data) = cli.data {
        settings.data = data;
    }
    let out = Output::new(cli.json);
    let command = cli.command.unwrap_or(Command::Serve(Serve::default()));
    let quiet = !matches!(command, Command::Serve(_)) && settings.log.is_empty();
    telemetry::start(
        Format::for_stderr(),
        if quiet { "warn" } else { &settings.log },
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Serve(args) => serve::serve(settings, args).await,
            Command::Import(args) => commands::import(&settings, &args, out).await,
            Command::Profile(args) => commands::profile(&settings, &args, out).await,
            Command::Preload(args) => commands::preload(&settings, &args, out).await,
            Command::Recommend(args) => commands::recommend(&settings, &args, out).await,
            Command::Evaluate(args) => evaluate::evaluate(&settings, &args, out).await,
            Command::Events(command) => events::run(&settings, &command, out).await,
            Command::Config(_) | Command::Completions { .. } => Ok(()),
        }
    })
}
