//! Sessions of clicks: `SessionId`, `ItemId` and `Time`, separated by tabs.
//!
//! A session is a user of its own, as everybody without an account is here. Every row is a
//! `click`; no catalogue comes with it.

use std::path::Path;

use engine::EventKind;

use super::convert::{Converter, Out, Reason};
use super::event::{bare, identified};
use super::plan::{Part, required};
use super::records::{Cells, Layout, Separator};
use super::value;

const CLICK: [&str; 3] = ["SessionId", "ItemId", "Time"];
const TABS: Layout = Layout::Text {
    separator: Separator::Tab,
    header: true,
};

/// The one part a file of sessions is.
pub(super) fn parts(file: &Path) -> anyhow::Result<Vec<Part>> {
    Ok(vec![Part::new(
        file.to_owned(),
        "sessions 1",
        TABS,
        required(&CLICK),
        Clicks,
    )?])
}

struct Clicks;

impl Converter for Clicks {
    fn record(&mut self, cells: &Cells, out: &mut Out) -> Result<(), Reason> {
        let [session, item, time] = cells.array();
        let session = value::user("SessionId", session)?;
        let item = value::video("ItemId", item)?;
        let ts_ms = value::time("Time", time)?;
        out.events
            .push(identified(bare(EventKind::Click, &session, &item, ts_ms)));
        Ok(())
    }
}
