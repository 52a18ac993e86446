//! `reelway diagnose`: asks a running server what it sees.

use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::cli;
use crate::output::Output;
use crate::settings::Settings;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A question that is asked all the time, as `GET /admin/hot-keys` lists it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HotQuestion {
    /// The kept slate's key: a hash.
    pub key: String,
    /// What kind of question it is; names nobody.
    pub about: String,
    /// How often it was asked lately: what is a second old counts half.
    pub asks: u32,
}

/// Asks the server and prints what it says.
///
/// # Errors
/// When no server answers, or it does not let us in.
pub(crate) fn run(settings: &Settings, command: &cli::Diagnose, out: Output) -> anyhow::Result<()> {
    let cli::Diagnose::HotKeys(args) = command;
    let url = args.url.as_deref().map(|url| url.trim_end_matches('/'));
    let url = match url {
        Some(url) => url.to_owned(),
        None => format!("http://{}", settings.addr),
    };
    let key = settings.admin_key.as_ref().map(ops::Secret::expose);
    let hot = hot_keys(&url, key).with_context(|| format!("asking {url}"))?;
    let mut text = format!("{:>8}  question\n", "asks");
    for question in &hot {
        text.push_str(&format!("{:>8}  {}\n", question.asks, question.about));
    }
    if hot.is_empty() {
        text = "nothing is asked for all the time".to_owned();
    }
    Ok(out.result(&hot, &text)?)
}

fn hot_keys(url: &str, key: Option<&str>) -> anyhow::Result<Vec<HotQuestion>> {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .build()
        .new_agent();
    let mut request = agent.get(format!("{url}/admin/hot-keys"));
    if let Some(key) = key {
        request = request.header("x-admin-key", key);
    }
    let mut answer = request.call()?;
    match answer.status().as_u16() {
        200 => Ok(answer.body_mut().read_json()?),
        401 => bail!("it wants the admin key: set REELWAY_ADMIN_KEY"),
        403 => bail!("it answers this only on its own machine, or with an admin key"),
        status => bail!("it answered {status}"),
    }
}
