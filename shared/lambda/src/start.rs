//! The first lines of every function.

use ops::settings::{Environment, Problems, Reader};
use ops::telemetry::{self, Format};

/// What the runtime's own crates may log at most: below, they write whole events, bodies and all.
const RUNTIME_LEVELS: &str = "lambda_runtime=info,lambda_extension=info";

/// Reads the settings of a function from the environment and starts its telemetry.
///
/// # Errors
/// All problems of all settings together; that this is not Lambda is one of them.
pub fn start<T>(read: impl FnOnce(&mut Reader<'_>) -> T) -> Result<T, Problems> {
    let mut reader = Reader::new(&Environment);
    // Without it the runtime would panic.
    reader.required("AWS_LAMBDA_RUNTIME_API");
    let level = reader.text("REELWAY_LOG", "info");
    let settings = read(&mut reader);
    reader.finish()?;
    telemetry::start(Format::Json, &format!("{level},{RUNTIME_LEVELS}"))?;
    Ok(settings)
}
