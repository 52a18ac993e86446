//! What is whole behind damaged bytes.

use std::io;

use super::super::frame::{FrameReader, Next, encode_gap, find};

/// The end of a segment without its damaged bytes.
#[derive(Debug, Default)]
pub(super) struct Salvaged {
    /// Whole frames, with a gap where records are lost.
    pub(super) frames: Vec<u8>,
    /// The sequence that comes next.
    pub(super) next: u64,
    pub(super) lost_bytes: usize,
    pub(super) lost_records: u64,
}

impl Salvaged {
    /// Reads what follows the last whole frame, where the sequence `next` is expected; nothing when
    /// no whole frame is in it.
    pub(super) fn from(tail: &[u8], next: u64) -> io::Result<Option<Self>> {
        let (mut rest, mut salvaged) = (
            tail,
            Self {
                next,
                ..Self::default()
            },
        );
        while let Some((lost_bytes, frame)) = find(rest, salvaged.next..u64::MAX) {
            // A gap that was kept stands for what was lost before it, too.
            if frame.sequence > salvaged.next && !frame.is_gap() {
                encode_gap(
                    &mut salvaged.frames,
                    frame.arrived_ms,
                    frame.sequence - 1,
                    true,
                );
            }
            salvaged.lost_records += frame.sequence - salvaged.next;
            salvaged.lost_bytes += lost_bytes;
            rest = rest.split_at(lost_bytes).1;
            salvaged.next = frame.sequence;
            rest = salvaged.keep_whole(rest)?;
        }
        salvaged.lost_bytes += rest.len();
        Ok((!salvaged.frames.is_empty()).then_some(salvaged))
    }

    /// Keeps the whole frames that `rest` begins with; answers what follows them.
    fn keep_whole<'a>(&mut self, rest: &'a [u8]) -> io::Result<&'a [u8]> {
        let mut frames = FrameReader::new(rest, 0);
        let mut whole = 0;
        while let Next::Frame(frame) = frames.next()? {
            if !frame.follows(self.next) {
                break;
            }
            self.next = frame.sequence + 1;
            whole = frames.offset() as usize;
        }
        let (kept, rest) = rest.split_at(whole);
        self.frames.extend_from_slice(kept);
        Ok(rest)
    }
}
