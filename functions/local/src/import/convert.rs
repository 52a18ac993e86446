//! What becomes of a row.

use engine::{Event, Video};

use super::records::Cells;

/// Why a row is malformed; names the column, not the value.
pub(super) type Reason = String;

/// What rows became and nobody has taken yet.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) events: Vec<Event>,
    pub(super) videos: Vec<Video>,
}

impl Out {
    /// Forgets what a row had become before it turned out to be malformed.
    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.videos.clear();
    }
}

/// Makes events or videos of rows, one after the other.
pub(super) trait Converter: Send {
    /// Takes one row, whose cells are in the order the part names its columns.
    fn record(&mut self, cells: &Cells, out: &mut Out) -> Result<(), Reason>;

    /// Hands out what was held back, after the last row.
    fn end(&mut self, _out: &mut Out) {}
}
