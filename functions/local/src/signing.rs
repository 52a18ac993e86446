//! The key that signs cursors and item tokens.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::Context;
use rand::TryRng as _;
use rand::rngs::SysRng;
use web::Signer;

use crate::settings::Settings;

const FILE: &str = "token.key";

/// The signer of `REELWAY_TOKEN_KEY`, or of a key that is made once and kept in the data folder, so
/// that cursors and tokens survive a restart.
///
/// # Errors
/// When the key is unfit, or the folder cannot be written.
pub fn signer(settings: &Settings) -> anyhow::Result<Signer> {
    if let Some(key) = &settings.token_key {
        return Signer::from_secret(key.expose()).context("REELWAY_TOKEN_KEY cannot be used");
    }
    let path = settings.folder(FILE);
    let kept = fs::read_to_string(&path)
        .ok()
        .filter(|key| !key.trim().is_empty());
    let key = match kept {
        Some(key) => key,
        None => {
            let key = random_key().context("the operating system gives no randomness")?;
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)
                .with_context(|| format!("{} cannot be written", path.display()))?;
            file.write_all(key.as_bytes())?;
            file.sync_all()?;
            key
        }
    };
    Signer::from_secret(key.trim()).with_context(|| format!("{} holds no key", path.display()))
}

/// 256 bits in hexadecimal.
fn random_key() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 32];
    SysRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
