//! `reelway`: every function in one process, and the operator's commands.
//!
//! ```text
//! cli ─► serve ──► Service ─► recommend, ingest (HTTP) + pump (clickstream, archive) + jobs
//!    ├─► import ─► staging ─► catalogue, lake
//!    └─► profile, preload, recommend, evaluate, config
//! ```
//!
//! The libraries of the functions are the ones that run on Lambda; only the wiring is here.
//! Read in the order `cli`, `settings`, `backend`, `service`, `serve`.
#![forbid(unsafe_code)]

pub mod admin;
pub mod backend;
pub mod cli;
pub mod commands;
pub mod demo;
pub(crate) mod diagnose;
pub mod evaluate;
pub mod events;
pub mod import;
pub mod jobs;
pub mod output;
pub mod pump;
pub mod serve;
pub mod service;
pub mod settings;
mod signing;
pub mod slates;

use cli::{Cli, Command, Serve};
use ops::settings::Environment;
use ops::telemetry::{self, Format};
use output::Output;
use service::Threads;
use settings::Settings;
use tokio::runtime::{Builder, Runtime};

/// How far what computes slates stands behind what reads requests, and what nobody waits for behind
/// both: of a core that two of them want, the first has three quarters and nine tenths. So the queue
/// stands where it is measured (decision 0024).
const SLATES_NICE: i32 = 5;
const BACKGROUND_NICE: i32 = 15;

/// Does what the command line says.
///
/// Everything asynchronous is driven from here: a future that `main` awaited would be compiled a
/// second time, with all it awaits.
///
/// # Errors
/// What the settings or the command say, for people.
pub fn run(cli: Cli) -> anyhow::Result<()> {
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
    let runtime = runtime("reelway", 1, 0)?;
    if let Command::Serve(args) = command {
        let slates = self::runtime("reelway-slates", 1, SLATES_NICE)?;
        // A consumer that computes for long leaves one to the jobs.
        let background = self::runtime("reelway-behind", 2, BACKGROUND_NICE)?;
        let threads = Threads {
            slates: slates.handle().clone(),
            background: background.handle().clone(),
        };
        return runtime.block_on(serve::serve(settings, args, threads));
    }
    runtime.block_on(async {
        match command {
            Command::Import(args) => commands::import(&settings, &args, out).await,
            Command::Profile(args) => commands::profile(&settings, &args, out).await,
            Command::Preload(args) => commands::preload(&settings, &args, out).await,
            Command::Recommend(args) => commands::recommend(&settings, &args, out).await,
            Command::Evaluate(args) => evaluate::evaluate(&settings, &args, out).await,
            Command::Events(command) => events::run(&settings, &command, out).await,
            Command::Diagnose(command) => diagnose::run(&settings, &command, out),
            Command::Serve(_) | Command::Config(_) | Command::Completions { .. } => Ok(()),
        }
    })
}

/// A thread for each core, at least so many, and how far they stand behind others.
fn runtime(threads: &str, least: usize, nice: i32) -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism()?.get();
    Builder::new_multi_thread()
        .worker_threads(cores.max(least))
        .thread_name(threads)
        .on_thread_start(move || stand_behind(nice))
        .enable_all()
        .build()
}

/// Puts this thread, and those that it starts, behind others. Elsewhere than on Linux that would be
/// the whole process.
fn stand_behind(nice: i32) {
    #[cfg(target_os = "linux")]
    if nice > 0
        && let Err(error) = rustix::process::setpriority_process(None, nice)
    {
        tracing::debug!(error = %error, "what computes stands beside what reads requests");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = nice;
}
