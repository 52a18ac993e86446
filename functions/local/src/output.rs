//! What commands say, for people or for machines.

use std::io::{self, Write as _};

use serde::Serialize;

/// Where a command's result goes: text on standard output, or one JSON document.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Text, or JSON.
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a result; `text` is what people read.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn result(self, result: &impl Serialize, text: &str) -> io::Result<()> {
        if self.json {
            let json = serde_json::to_string(result).map_err(io::Error::other)?;
            return Self::line(&json);
        }
        Self::line(text)
    }

    /// Prints a line to standard output, whatever the form.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn line(text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", text.trim_end_matches('\n'))?;
        out.flush()
    }
}
