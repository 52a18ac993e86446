//! The commands that end by themselves.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::CommandFactory as _;
use store::Tuning;
use tokio_util::sync::CancellationToken;

use crate::cli::{self, Cli};
use crate::import::{self, Import, progress};
use crate::jobs::NIGHT_BUDGET;
use crate::output::Output;
use crate::service::Service;
use crate::settings::Settings;
use crate::slates;

/// How long consumers may take to end.
const STOP_BUDGET: Duration = Duration::from_secs(10);

/// Takes in a catalogue and what people did.
///
/// # Errors
/// When nothing was taken in; what was there is untouched.
pub async fn import(settings: &Settings, args: &cli::Import, out: Output) -> anyhow::Result<()> {
    let planned = Import::new(args)?;
    let service = Service::open(settings).await?;
    let stores = service.import_stores();
    import::recover(&settings.data, &stores).await?;
    let report = planned
        .run(settings.data.clone(), &stores, progress::choose())
        .await?;
    let mut text = format!(
        "{} events and {} videos from {} rows in {:.1} s",
        report.events, report.videos, report.rows, report.seconds
    );
    if let Some(path) = &report.rejected {
        text.push_str(&format!(
            "\n{} rows rejected, written to {}",
            report.bad,
            path.display()
        ));
    }
    text.push_str("\nnext: reelway profile");
    Ok(out.result(&report, &text)?)
}

/// Runs the T+1 job.
///
/// # Errors
/// When no generation was published; the old one goes on serving.
pub async fn profile(settings: &Settings, args: &cli::Profile, out: Output) -> anyhow::Result<()> {
    let service = Service::open(settings).await?;
    import::recover(&settings.data, &service.import_stores()).await?;
    // What the log holds and the lake does not is archived first.
    let stop = CancellationToken::new();
    let jobs = service.jobs(settings, Some(service.start_pump(&stop)));
    let night = jobs
        .night(args.date, args.force, &service.deadline(NIGHT_BUDGET))
        .await;
    stop.cancel();
    service.tasks.drain(STOP_BUDGET).await;
    let report = match night {
        Ok(night) => night.profile,
        Err(error) => {
            let days = service.lake.days(&service.deadline(STOP_BUDGET)).await;
            return Err(error).context(if days.is_ok_and(|days| days.is_empty()) {
                "nothing has been taken in yet: run reelway import first"
            } else {
                "no generation was published"
            });
        }
    };
    let seconds: f64 = report.steps.iter().map(|step| step.seconds).sum();
    let text = format!(
        "generation {}: {} events of {} days, {} videos, {} users in {seconds:.1} s",
        report.generation, report.events, report.days, report.videos, report.users
    );
    Ok(out.result(&report, &text)?)
}

/// Fills the shared tier.
///
/// # Errors
/// When there is no shared tier, or the walk could not go on; what is done stays done.
pub async fn preload(settings: &Settings, args: &cli::Preload, out: Output) -> anyhow::Result<()> {
    if settings.serving.redis.is_none() {
        bail!("there is no shared tier to fill: set REELWAY_REDIS_URL");
    }
    let service = Service::open(settings).await?;
    let options = preload::Options {
        region: args.region.clone(),
        batch_size: args.batch_size,
        ttl_s: args.ttl,
        resume: args.resume,
        ..preload::Options::default()
    };
    let bar = Mutex::new((progress::choose(), false));
    let tell = move |now: preload::Progress| {
        let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
        if !bar.1 {
            bar.0.begin("preload", now.parts as u64);
            bar.1 = true;
        }
        bar.0.at(now.part as u64);
    };
    let report = service
        .preload_job()
        .run(&options, &tell, &service.deadline(NIGHT_BUDGET))
        .await?;
    let text = format!(
        "{} slates stored for generation {} in {:.1} s",
        report.stored, report.generation, report.seconds
    );
    Ok(out.result(&report, &text)?)
}

/// Recommends without a server: one user's answer as the API gives it, or everybody's as TSV.
///
/// # Errors
/// When there is no generation, or the file cannot be written.
pub async fn recommend(
    settings: &Settings,
    args: &cli::Recommend,
    out: Output,
) -> anyhow::Result<()> {
    let service = Service::open(settings).await?;
    if service.serving.generations.current().is_none() {
        bail!("there is no generation to recommend from: run reelway profile first");
    }
    match (&args.user, &args.out) {
        (Some(user), _) => {
            let answer = slates::answer_of_one(&service, user, args).await?;
            Ok(Output::line(&answer)?)
        }
        (None, Some(path)) => {
            let report = slates::write_all(&service, path, args).await?;
            let text = format!("{} slates written to {}", report.users, path.display());
            Ok(out.result(&report, &text)?)
        }
        (None, None) => bail!("either --user, or --all with --out"),
    }
}

/// Checks or shows the tuning document.
///
/// # Errors
/// When the document is refused, naming everything that is wrong with it.
pub fn config(command: &cli::Config) -> anyhow::Result<()> {
    match command {
        cli::Config::Validate { file } => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("{} cannot be read", file.display()))?;
            match Tuning::parse(&text) {
                Ok(_) => Ok(Output::line("good")?),
                Err(problems) => bail!("{}: {}", file.display(), problems.join("\n")),
            }
        }
        cli::Config::Show => Ok(Output::line(&serde_json::to_string_pretty(
            &Tuning::default(),
        )?)?),
        cli::Config::Schema => Ok(Output::line(&serde_json::to_string_pretty(
            &Tuning::schema(),
        )?)?),
    }
}

/// Prints the completions of a shell.
///
/// # Errors
/// When standard output is gone.
pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "reelway", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}
