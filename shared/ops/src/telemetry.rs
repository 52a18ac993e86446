//! Logs: one JSON object per line for machines, coloured text for people.
//!
//! A message can be read without its fields; fields are dotted by entity and carry their unit:
//! `tracing::warn!(redis.wait_ms = 31, "redis did not answer in time")`. A failure is logged once,
//! where it is handled. User ids, tokens and bodies are never logged.

use std::panic::PanicHookInfo;

use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{fmt, registry};

use crate::settings::Problems;

/// How a line looks and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON to standard output, where Lambda and containers collect it.
    Json,
    /// JSON to standard error, for commands whose output is a result.
    JsonToStderr,
    /// Coloured text to standard error, for terminals.
    Pretty,
}

impl Format {
    /// [`Format::Pretty`] when standard error is a terminal, else [`Format::JsonToStderr`].
    #[must_use]
    pub fn for_stderr() -> Self {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        if terminal {
            Self::Pretty
        } else {
            Self::JsonToStderr
        }
    }
}

/// Starts logging for the whole process. `level` is what `REELWAY_LOG` holds: a level such as
/// `info`, or directives such as `info,store=debug`; empty means `info`. Panics become one log
/// line. When logging has been started before, nothing changes.
///
/// # Errors
/// [`Problems`] when `level` cannot be read.
pub fn start(format: Format, level: &str) -> Result<(), Problems> {
    let level = if level.is_empty() { "info" } else { level };
    let filter: Targets = level
        .parse()
        .map_err(|error| Problems(vec![format!("REELWAY_LOG: {error}")]))?;
    let started = match format {
        Format::Json => tracing::subscriber::set_global_default(json(filter, std::io::stdout)),
        Format::JsonToStderr => {
            tracing::subscriber::set_global_default(json(filter, std::io::stderr))
        }
        Format::Pretty => tracing::subscriber::set_global_default(pretty(filter)),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
    Ok(())
}

fn json<W>(filter: Targets, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(writer);
    registry().with(filter).with(lines)
}

fn pretty(filter: Targets) -> impl Subscriber + Send + Sync {
    let lines = fmt::layer().with_target(false).with_writer(std::io::stderr);
    registry().with(filter).with(lines)
}

/// Logs where it happened, and the message if it is a constant: one made at run time may quote
/// what must not be logged.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    let message = panic.payload().downcast_ref::<&'static str>().copied();
    let message = message.unwrap_or("a message made at run time");
    tracing::error!(panic.place = place, "a task panicked at {place}: {message}");
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, work: impl FnOnce()) -> Vec<serde_json::Value> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = json(level.parse().unwrap(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, work);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a JSON line"))
            .collect()
    }

    #[test]
    fn a_line_is_one_object_with_a_message_and_dotted_fields() {
        let lines = logged("info", || {
            let span = tracing::info_span!("recommend", request.id = "r1");
            let _inside = span.enter();
            tracing::warn!(redis.wait_ms = 31, "redis did not\nanswer in time");
            tracing::debug!("not at this level");
        });
        let [line] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        assert_eq!(line["message"], "redis did not\nanswer in time");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["redis.wait_ms"], 31);
        assert_eq!(line["span"]["request.id"], "r1");
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn a_secret_in_a_field_stays_redacted() {
        let lines = logged("info", || {
            let key = crate::Secret::new("planted-secret");
            tracing::info!(admin.key = ?key, "starting with an admin key");
        });
        assert_eq!(lines[0]["admin.key"], "Secret(redacted)");
    }

    #[test]
    fn a_level_that_cannot_be_read_is_a_problem_that_names_the_variable() {
        let problems = start(Format::JsonToStderr, "store=loudly").unwrap_err();
        assert!(problems.to_string().contains("REELWAY_LOG"), "{problems}");
    }
}
