//! Bringing a whole import in, as often as it takes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use engine::Video;
use guard::Deadline;

use super::super::progress::Progress;
use super::super::{Recovered, Stores};
use super::{FOLDER, MANIFEST_VERSION, MENTIONED, Manifest, READY, VIDEOS, sync, unusable};

/// Videos stored at a time.
const VIDEOS_MAX: usize = 1_000;
/// How long one batch or object may take.
const STEP_BUDGET: Duration = Duration::from_secs(60);

/// An import that is whole. It can be applied any number of times.
#[derive(Debug)]
pub(in crate::import) struct Ready {
    dir: PathBuf,
    manifest: Manifest,
}

/// Applies what is whole and removes what is not.
pub(in crate::import) async fn recover(data: &Path, stores: &Stores) -> anyhow::Result<Recovered> {
    let folder = data.join(FOLDER);
    let mut recovered = Recovered::default();
    if !folder.exists() {
        return Ok(recovered);
    }
    for entry in fs::read_dir(&folder).with_context(|| unusable(&folder))? {
        let dir = entry?.path();
        match Ready::find(&dir)? {
            Some(ready) => {
                ready.apply(stores, &mut Silent).await?;
                recovered.finished += 1;
            }
            None => {
                remove(&dir)?;
                recovered.forgotten += 1;
            }
        }
    }
    Ok(recovered)
}

impl Ready {
    pub(super) fn new(dir: PathBuf, manifest: Manifest) -> Self {
        Self { dir, manifest }
    }

    fn find(dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = dir.join(READY);
        if !path.is_file() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| unusable(&path))?;
        let manifest: Manifest = serde_json::from_str(&text).with_context(|| unusable(&path))?;
        if manifest.version != MANIFEST_VERSION {
            bail!(
                "{} was made by another version: finish the import with that one, or remove {}",
                path.display(),
                dir.display()
            );
        }
        Ok(Some(Self::new(dir.to_owned(), manifest)))
    }

    /// Writes the catalogue and the lake, then removes the folder. Repeating it changes nothing.
    pub(in crate::import) async fn apply(
        self,
        stores: &Stores,
        progress: &mut dyn Progress,
    ) -> anyhow::Result<()> {
        self.apply_videos(VIDEOS, stores, progress).await?;
        // After the catalogue's own, which know more than an id.
        self.apply_videos(MENTIONED, stores, progress).await?;
        progress.begin("lake", self.manifest.objects.len() as u64);
        for (done, object) in (1..).zip(&self.manifest.objects) {
            let file = self.dir.join(&object.file);
            stores
                .objects
                .put_file(&object.key, &file, &deadline(stores))
                .await?;
            progress.at(done);
        }
        progress.end();
        // Without READY first, a crash while removing would leave a folder that speaks of files
        // that are gone.
        fs::remove_file(self.dir.join(READY)).with_context(|| unusable(&self.dir))?;
        sync(&self.dir)?;
        remove(&self.dir)
    }

    async fn apply_videos(
        &self,
        name: &str,
        stores: &Stores,
        progress: &mut dyn Progress,
    ) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        let file = File::open(&path).with_context(|| unusable(&path))?;
        progress.begin(
            "catalogue",
            file.metadata().with_context(|| unusable(&path))?.len(),
        );
        let mut lines = BufReader::new(file);
        let (mut batch, mut bytes) = (Batch::default(), 0);
        let mut line = String::new();
        loop {
            line.clear();
            let read = lines
                .read_line(&mut line)
                .with_context(|| unusable(&path))?;
            bytes += read as u64;
            if read > 0 {
                batch.add(serde_json::from_str(&line).with_context(|| unusable(&path))?);
            }
            if batch.videos.len() >= VIDEOS_MAX || read == 0 {
                let videos = std::mem::take(&mut batch).videos;
                if name == MENTIONED {
                    stores
                        .catalogue
                        .put_absent(&videos, &deadline(stores))
                        .await?;
                } else {
                    stores.catalogue.put(videos, &deadline(stores)).await?;
                }
                progress.at(bytes);
            }
            if read == 0 {
                break;
            }
        }
        progress.end();
        Ok(())
    }
}

/// Videos to be stored together; of two with one id the later one counts.
#[derive(Default)]
struct Batch {
    videos: Vec<Video>,
    places: HashMap<engine::VideoId, usize>,
}

impl Batch {
    fn add(&mut self, video: Video) {
        let known = self.places.get(&video.video_id).copied();
        match known.and_then(|place| self.videos.get_mut(place)) {
            Some(earlier) => *earlier = video,
            None => {
                self.places
                    .insert(video.video_id.clone(), self.videos.len());
                self.videos.push(video);
            }
        }
    }
}

/// Recovering happens at a start, which has its own words for it.
struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _stage: &str, _total: u64) {}
    fn at(&mut self, _done: u64) {}
    fn say(&mut self, _line: &str) {}
    fn end(&mut self) {}
}

fn deadline(stores: &Stores) -> Deadline {
    Deadline::after(Arc::clone(&stores.clock), STEP_BUDGET)
}

fn remove(dir: &Path) -> anyhow::Result<()> {
    let removed = if dir.is_dir() {
        fs::remove_dir_all(dir)
    } else {
        fs::remove_file(dir)
    };
    removed.with_context(|| unusable(dir))
}
