//! A data folder with stores and a folder of input, and what imports make of them.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use clap::Parser;
use embedded::{Durability, EmbeddedObjects, EmbeddedTables};
use engine::{Event, Video};
use guard::{Deadline, ManualClock};
use lake::{Dedupe, Lake};

use crate::import::progress::Lines;
use crate::import::*;

/// A data folder with stores, and a folder of input.
pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
    pub(super) stores: Stores,
}

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tables = folder.path().join("data/tables");
        let tables = EmbeddedTables::open_with(&tables, Durability::Buffered).unwrap();
        let objects = EmbeddedObjects::open(&folder.path().join("data/objects")).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::starting_at(1_780_000_000_000));
        let catalogue = Arc::new(Catalogue::new(Arc::new(tables), Arc::clone(&clock)));
        let stores = Stores {
            catalogue,
            objects: Arc::new(objects),
            clock,
        };
        Self { folder, stores }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(Arc::clone(&self.stores.clock), Duration::from_secs(60))
    }

    pub(super) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Plans `reelway import …`, with `{}` for the folder of input.
    pub(super) fn plan(&self, arguments: &str) -> anyhow::Result<Import> {
        let folder = self.folder.path().to_str().unwrap();
        let line = format!("reelway import {arguments}").replace("{}", folder);
        let parsed = cli::Cli::try_parse_from(line.split(' '))?;
        let Some(cli::Command::Import(args)) = parsed.command else {
            panic!("not an import")
        };
        Import::new(&args)
    }

    pub(super) async fn import(&self, arguments: &str) -> anyhow::Result<Report> {
        let progress = Box::new(Lines::new(std::io::sink()));
        self.plan(arguments)?
            .run(self.data(), &self.stores, progress)
            .await
    }

    pub(super) async fn videos(&self) -> BTreeMap<String, Video> {
        let page = self
            .stores
            .catalogue
            .scan(None, 100, &self.deadline())
            .await
            .unwrap();
        page.videos
            .into_iter()
            .map(|video| (video.video_id.to_string(), video))
            .collect()
    }

    /// The events in the lake, each once, ordered by time.
    pub(super) async fn events(&self) -> Vec<Event> {
        let lake = Lake::new(Arc::clone(&self.stores.objects));
        let (mut dedupe, mut events) = (Dedupe::new(), Vec::new());
        for day in lake.days(&self.deadline()).await.unwrap() {
            for object in lake.files(day, &self.deadline()).await.unwrap() {
                for batch in lake.open(&object.key, &self.deadline()).await.unwrap() {
                    let rows = batch.unwrap().into_iter().filter(|row| dedupe.admit(row));
                    events.extend(rows.map(|row| row.event));
                }
            }
        }
        events.sort_by_key(|event| (event.ts_ms, event.kind));
        events
    }

    pub(super) async fn told(&self) -> Vec<String> {
        let tell = |event: &Event| {
            let (user, video) = (event.user_id.as_str(), event.video_id.as_str());
            format!("{user} {} {video} {}", event.kind.as_str(), event.ts_ms)
        };
        self.events().await.iter().map(tell).collect()
    }

    pub(super) fn kuairand(&self) {
        self.file(
            "video_features_basic_pure.csv",
            "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,\
             server_width,server_height,music_id,music_type,tag\n\
             5,8367059,NORMAL,2022-04-10,Web,0.0,358016.0,960.0,720.0,9148581891,9.0,\"20,43\"\n\
             7,7676925,NORMAL,2022-04-10,LongPicture,1.0,,720.0,1440.0,0,8.0,67\n",
        );
        self.file(
            "history_before_0425_longview.tsv",
            "user_id\tpos\tvideo_id\n1\t1\t7\n1\t0\t5\n2\t0\t5\n",
        );
        self.file(
            "impressions_0425_0430.tsv",
            "user_id\tvideo_id\ttime_ms\tis_click\tis_like\tis_follow\tis_comment\tis_forward\t\
             is_hate\tlong_view\tplay_time_ms\tduration_ms\ttab\n\
             1\t5\t1650812741436\t1\t0\t0\t0\t1\t0\t1\t61802\t49866\t1\n\
             2\t7\t1650985541436\t0\t0\t0\t0\t0\t1\t0\t0\t11933\t4\n",
        );
    }
}
