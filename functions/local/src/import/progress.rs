//! Showing how far a long command is.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far a long command is.
pub trait Progress: Send {
    /// Begins a stage of so many units; 0 when nobody knows.
    fn begin(&mut self, stage: &str, total: u64);
    /// So many units of the stage are done.
    fn at(&mut self, done: u64);
    /// Says something that stays.
    fn say(&mut self, line: &str);
    /// Ends the stage.
    fn end(&mut self);
}

/// A bar where somebody looks at standard error, plain lines where it goes elsewhere.
#[must_use]
pub fn choose() -> Box<dyn Progress> {
    let error = std::io::stderr();
    if error.is_terminal() {
        Box::new(Bar::default())
    } else {
        Box::new(Lines::new(error))
    }
}

/// A bar, for terminals.
#[derive(Debug, Default)]
pub struct Bar(Option<ProgressBar>);

impl Progress for Bar {
    fn begin(&mut self, stage: &str, total: u64) {
        let bar = if total == 0 {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::new(total)
        };
        let form = match total {
            0 => "{spinner} {msg} {elapsed}",
            _ => "{msg:32} {wide_bar} {percent:>3} % {eta}",
        };
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        bar.set_message(stage.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        self.0 = Some(bar);
    }

    fn at(&mut self, done: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(done);
        }
    }

    fn say(&mut self, line: &str) {
        match &self.0 {
            Some(bar) => bar.println(line),
            None => {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

/// Plain lines, for logs: one per stage and tenth of it.
#[derive(Debug)]
pub struct Lines<W> {
    to: W,
    stage: String,
    total: u64,
    tenths: u64,
}

impl<W: Write + Send> Lines<W> {
    /// Lines written to `to`. What cannot be written is left out.
    pub fn new(to: W) -> Self {
        Self {
            to,
            stage: String::new(),
            total: 0,
            tenths: 0,
        }
    }
}

impl<W: Write + Send> Progress for Lines<W> {
    fn begin(&mut self, stage: &str, total: u64) {
        (self.stage, self.total, self.tenths) = (stage.to_owned(), total, 0);
        let _ = writeln!(self.to, "{stage}");
    }

    fn at(&mut self, done: u64) {
        let tenths = done.saturating_mul(10).checked_div(self.total).unwrap_or(0);
        if tenths > self.tenths {
            self.tenths = tenths;
            let _ = writeln!(self.to, "{} {} %", self.stage, tenths * 10);
        }
    }

    fn say(&mut self, line: &str) {
        let _ = writeln!(self.to, "{line}");
    }

    fn end(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_say_each_tenth_once() {
        let mut lines = Lines::new(Vec::new());
        lines.begin("reading", 1_000);
        for done in [0, 50, 100, 150, 399, 1_000] {
            lines.at(done);
        }
        lines.begin("writing", 0);
        lines.at(7);
        lines.end();
        let said = String::from_utf8(lines.to).unwrap();
        assert_eq!(
            said,
            "reading\nreading 10 %\nreading 30 %\nreading 100 %\nwriting\n"
        );
    }
}
