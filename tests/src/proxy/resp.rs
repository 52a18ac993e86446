//! How many commands a Redis client has sent.

/// Counts whole commands in a stream of bytes (RESP: arrays of bulk strings).
#[derive(Debug, Default)]
pub(super) struct Commands {
    rest: Vec<u8>,
}

impl Commands {
    /// Takes what was read and answers how many commands became whole by it.
    pub fn whole(&mut self, bytes: &[u8]) -> usize {
        self.rest.extend_from_slice(bytes);
        let mut whole = 0;
        while let Some(left) = after_command(&self.rest) {
            self.rest = left.to_vec();
            whole += 1;
        }
        whole
    }
}

/// What comes after the first command; `None` while it is not whole.
fn after_command(bytes: &[u8]) -> Option<&[u8]> {
    let (parts, mut rest) = number(bytes, b'*')?;
    for _ in 0..parts {
        let (length, text) = number(rest, b'$')?;
        rest = text.get(length + 2..)?;
    }
    Some(rest)
}

/// A line of one number behind its mark.
fn number(bytes: &[u8], mark: u8) -> Option<(usize, &[u8])> {
    let line = bytes.strip_prefix(&[mark])?;
    let end = line.windows(2).position(|pair| pair == b"\r\n")?;
    let digits = std::str::from_utf8(line.get(..end)?).ok()?;
    Some((digits.parse().ok()?, line.get(end + 2..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_counted_however_they_are_cut() {
        let sent = b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$3\r\n\r\n*\r\n".as_slice();
        for at in 0..=sent.len() {
            let mut commands = Commands::default();
            let (first, second) = sent.split_at(at);
            assert_eq!(commands.whole(first) + commands.whole(second), 2, "{at}");
            assert_eq!(commands.whole(sent), 2);
        }
    }
}
