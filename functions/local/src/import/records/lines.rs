//! Lines of a file, bounded in length.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

use super::ROW_BYTES_MAX;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end, and its number from 1.
    Whole(u64, Vec<u8>),
    /// A line longer than [`ROW_BYTES_MAX`], of which only the beginning is kept.
    TooLong(u64, Vec<u8>),
    End,
}

/// Reads lines and takes some back.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    number: u64,
    bytes: u64,
    returned: VecDeque<Line>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            number: 0,
            bytes: 0,
            returned: VecDeque::new(),
        }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes
    }

    pub(super) fn next(&mut self) -> io::Result<Line> {
        if let Some(line) = self.returned.pop_front() {
            return Ok(line);
        }
        let mut line = Vec::new();
        let limit = ROW_BYTES_MAX as u64 + 1;
        let read = (&mut self.source)
            .take(limit)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(Line::End);
        }
        self.bytes += read as u64;
        self.number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > ROW_BYTES_MAX {
            self.skip_line()?;
            return Ok(Line::TooLong(self.number, line));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if self.number == 1 && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        Ok(Line::Whole(self.number, line))
    }

    /// Takes back the lines that were handed out last, to be handed out again.
    pub(super) fn give_back(&mut self, lines: Vec<Line>) {
        lines
            .into_iter()
            .rev()
            .for_each(|line| self.returned.push_front(line));
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffered = self.source.fill_buf()?;
            let end = buffered.iter().position(|byte| *byte == b'\n');
            let skipped = end.map_or(buffered.len(), |end| end + 1);
            let last = end.is_some() || buffered.is_empty();
            self.source.consume(skipped);
            self.bytes += skipped as u64;
            if last {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_numbered_and_freed_of_their_ends() {
        let long = "x".repeat(ROW_BYTES_MAX + 5);
        let text = format!("\u{feff}a\r\n\n{long}\nb");
        let mut lines = Lines::new(text.as_bytes());
        assert_eq!(lines.next().unwrap(), Line::Whole(1, b"a".to_vec()));
        assert_eq!(lines.next().unwrap(), Line::Whole(2, Vec::new()));
        assert!(
            matches!(lines.next().unwrap(), Line::TooLong(3, kept) if kept.len() <= ROW_BYTES_MAX + 1)
        );
        let again = || [2, 3].map(|number| Line::Whole(number, b"again".to_vec()));
        lines.give_back(again().to_vec());
        assert_eq!([lines.next().unwrap(), lines.next().unwrap()], again());
        assert_eq!(lines.next().unwrap(), Line::Whole(4, b"b".to_vec()));
        assert_eq!(lines.next().unwrap(), Line::End);
        assert_eq!(lines.bytes_read(), text.len() as u64);
    }
}
