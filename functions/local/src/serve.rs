//! `reelway serve`: every function in one process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use jiff::civil::Time;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use web::Door;

use crate::admin;
use crate::cli::Serve;
use crate::demo::{Demo, Size};
use crate::import;
use crate::jobs::{Jobs, NIGHT_BUDGET};
use crate::output::Output;
use crate::pump::Pump;
use crate::service::{Service, Threads};
use crate::settings::Settings;

mod tend;

/// How long what is under way may take to end after a signal.
const STOP_BUDGET: Duration = Duration::from_secs(5);

/// Serves until the process is told to stop. What computes (slates; consumers and jobs) does so on
/// threads of its own: those that read requests and write answers stay responsive beside it, so that
/// what arrives is seen, and a queue stands where it is measured (decision 0024).
///
/// # Errors
/// When the address or the data folder is taken, or a store cannot be opened.
pub async fn serve(settings: Settings, args: Serve, threads: Threads) -> anyhow::Result<()> {
    let night_at = night_at(&args.profile_at)?;
    let addr = args.addr.unwrap_or(settings.addr);
    // First, so that a taken port is said before anything is made.
    let listener = TcpListener::bind(addr)
        .await
        .with_context(|| format!("{addr} cannot be listened on"))?;
    ops::metric::install();
    let service = Arc::new(Service::open_on(&settings, Some(threads)).await?);
    import::recover(&settings.data, &service.import_stores()).await?;
    let stop = CancellationToken::new();
    let pump = service.start_pump(&stop);
    let jobs = Arc::new(service.jobs(&settings, Some(pump.clone())));
    prepare(&service, &settings, &jobs, args.no_demo).await?;

    tend::start(&service, &stop);
    if let Some(at_ms) = night_at {
        let (jobs, stop) = (Arc::clone(&jobs), stop.clone());
        service
            .background
            .spawn(async move { jobs.every_night(at_ms, &stop).await });
    }
    let shell = service.shell();
    let router = router(&service, &settings, jobs, Arc::clone(&shell));
    let tuning = Arc::clone(&service.serving.tuning);
    let door = Door::new(shell, tuning, Arc::clone(&service.clock));
    greet(listener.local_addr()?, &service)?;
    web::listen(listener, router, Some(Arc::new(door)), told_to_stop()?).await?;
    finish(&service, &pump, &stop).await;
    Ok(())
}

/// One router of every function's routes.
fn router(
    service: &Service,
    settings: &Settings,
    jobs: Arc<Jobs>,
    shell: Arc<web::Shell>,
) -> Router {
    let recommend = service.recommend_app();
    let ingest = service.ingest_app(settings);
    let routes = recommend::routes(recommend)
        .merge(ingest::routes(ingest))
        .merge(admin::routes(
            settings,
            jobs,
            service.background.clone(),
            service.serving.tiered.clone(),
        ));
    let documents = vec![recommend::openapi(), ingest::openapi()];
    web::host(routes, documents, shell)
}

/// Makes sure that there is something to recommend, if there can be.
async fn prepare(
    service: &Service,
    settings: &Settings,
    jobs: &Jobs,
    no_demo: bool,
) -> anyhow::Result<()> {
    if service.serving.generations.current().is_some() {
        return Ok(());
    }
    let deadline = service.deadline(NIGHT_BUDGET);
    let nothing_yet = service.lake.days(&deadline).await?.is_empty()
        && service
            .serving
            .catalogue
            .scan(None, 1, &deadline)
            .await?
            .videos
            .is_empty();
    if nothing_yet {
        if no_demo {
            tracing::warn!(
                "the store is empty: reelway import brings a catalogue and what people did"
            );
            return Ok(());
        }
        tracing::info!("the store is empty, a demo catalogue is made");
        let demo = Demo::new(Size::default(), service.clock.now().wall_ms);
        import::take_in_demo(demo, settings.data.clone(), &service.import_stores()).await?;
    }
    // Also after an import, or a first start, that was cut before its first generation.
    let night = jobs.night(None, false, &deadline).await;
    match night {
        Ok(night) => {
            tracing::info!(generation = %night.profile.generation, "the first generation is built")
        }
        // A catalogue without events has nothing to learn from; the built-in rung answers.
        Err(error) => tracing::error!(error = %error, "the first generation was not built"),
    }
    Ok(())
}

fn greet(addr: SocketAddr, service: &Service) -> anyhow::Result<()> {
    let generation = service.serving.generations.current();
    let generation = generation
        .as_ref()
        .map_or("none yet", |index| index.generation());
    Output::line(&format!(
        "reelway serves on http://{addr}, generation {generation}. Try:

  curl -s 'http://{addr}/recommend?user_id=u1&limit=5'
  curl -s 'http://{addr}/videos/v1/similar?limit=5'
  curl -s 'http://{addr}/trending?limit=5'
"
    ))?;
    Ok(())
}

/// Resolves at SIGINT or SIGTERM.
fn told_to_stop() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("told to stop: open requests are answered first");
    })
}

/// Lets what is under way end: events that were acknowledged are in the log already.
async fn finish(service: &Service, pump: &Pump, stop: &CancellationToken) {
    let deadline = service.deadline(STOP_BUDGET);
    service.serving.outbox.finish(&deadline).await;
    if let Err(error) = pump.flush(clickstream::Clickstream::NAME, &deadline).await {
        tracing::warn!(error = %error, "what is left in the log is consumed at the next start");
    }
    stop.cancel();
    if !service.tasks.drain(deadline.remaining()).await {
        tracing::warn!(
            tasks.running = service.tasks.running(),
            "some tasks did not end in time"
        );
    }
}

/// Milliseconds after midnight, UTC; none for `off`.
fn night_at(text: &str) -> anyhow::Result<Option<i64>> {
    if text == "off" {
        return Ok(None);
    }
    let time: Time = text
        .parse()
        .context("--profile-at is neither HH:MM nor off")?;
    let seconds = i64::from(time.hour()) * 3_600 + i64::from(time.minute()) * 60;
    Ok(Some(seconds * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_night_is_a_time_of_day_or_off() {
        assert_eq!(night_at("03:00").unwrap(), Some(3 * 3_600_000));
        assert_eq!(night_at("off").unwrap(), None);
        assert!(night_at("soon").is_err());
    }
}
