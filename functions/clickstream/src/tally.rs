//! What a batch adds to the counters, kept apart by row until it is written.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine::EventKind;
use guard::Deadline;
use store::counters::{Place, VideoCounts};
use store::intake::Placed;
use store::{Error, Row, Tables};

use crate::rows;

/// The records of one batch, by the row that counts them, in the order of the shard.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rows: BTreeMap<String, Vec<Counted>>,
}

#[derive(Debug)]
struct Counted {
    place: Place,
    kind: EventKind,
    hour: Option<i64>,
}

impl Tally {
    /// Notes one event; `popular` where it is its user's first of the kind for the video that hour.
    pub fn note(&mut self, placed: &Placed, popular: bool) {
        let Placed {
            event,
            position,
            index,
            ..
        } = placed;
        let place = Place {
            sequence: position.sequence.clone(),
            index: *index,
        };
        let hour = popular.then(|| hour(event.ts_ms));
        let id = VideoCounts::row_id(&event.video_id, &position.shard);
        self.rows.entry(id).or_default().push(Counted {
            place,
            kind: event.kind,
            hour,
        });
    }

    /// Writes every counter, value and last position in one conditional write each.
    ///
    /// # Errors
    /// The store's; some counters may be written then, which the next attempt sees by their position.
    pub async fn write(
        &self,
        tables: &dyn Tables,
        expires_at_s: i64,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let ids: Vec<String> = self.rows.keys().cloned().collect();
        let loaded = rows::load(tables, &ids, deadline).await?;
        rows::rewrite(tables, loaded, expires_at_s, deadline, |id, row| {
            self.fold(id, row)
        })
        .await
    }

    fn fold(&self, id: &str, row: Option<&Row>) -> Result<Option<Bytes>, Error> {
        let mut counts = rows::readable(row, VideoCounts::decode)?;
        let mut changed = false;
        for one in self.rows.get(id).into_iter().flatten() {
            changed |= counts.count(one.place.clone(), one.kind, one.hour);
        }
        if changed {
            counts.encode().map(Some)
        } else {
            Ok(None)
        }
    }
}

/// Unix time in hours.
pub(crate) fn hour(ts_ms: i64) -> i64 {
    ts_ms.div_euclid(3_600_000)
}
