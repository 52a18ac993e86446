//! Everything that answers questions for slates, put together over the three ports.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::VideoId;
use engine::source::trending_now::TrendingNowSource;
use guard::breaker::Breaker;
use guard::{Clock, Deadline, Tasks};
use ops::settings::Reader;

use crate::{
    Catalogue, Error, ErrorKind, GenerationReader, LiveTuning, Objects, Origin, OriginParts,
    Outbox, Realtime, RedisSettings, Shared, Stream, Tables, Tiered, TieredParts, TuningFile,
    Upkeep, Users,
};

/// What the tier in the process may weigh, in MiB, when nothing is said.
const LOCAL_TIER_MIB: u64 = 256;

/// The three ports.
#[derive(Clone)]
pub struct Ports {
    /// Rows.
    pub tables: Arc<dyn Tables>,
    /// Events on their way.
    pub stream: Arc<dyn Stream>,
    /// Files.
    pub objects: Arc<dyn Objects>,
}

/// What serving is set to.
#[derive(Debug, Clone)]
pub struct ServingSettings {
    /// `REELWAY_INDEX_DIR`: where generations are kept and mapped; must hold two of them.
    pub index_dir: PathBuf,
    /// `REELWAY_TUNING`: the tuning document, read again when it changes.
    pub tuning: Option<PathBuf>,
    /// `REELWAY_LOCAL_TIER_MIB`: what the tier in this process may weigh.
    pub local_tier_mib: u64,
    /// `REELWAY_BUILTIN`: a file of video ids, one a line, best first: shown when there is nothing
    /// else; the list inside the binary otherwise.
    pub builtin: Option<PathBuf>,
    /// The shared tier, when there is one.
    pub redis: Option<RedisSettings>,
}

impl ServingSettings {
    /// Reads the settings; problems stay with the reader.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            index_dir: PathBuf::from(reader.text("REELWAY_INDEX_DIR", "/tmp/reelway")),
            tuning: TuningFile::read_path(reader),
            local_tier_mib: reader.parse("REELWAY_LOCAL_TIER_MIB", LOCAL_TIER_MIB),
            builtin: reader.optional("REELWAY_BUILTIN").map(PathBuf::from),
            redis: RedisSettings::read(reader),
        }
    }
}

/// The parts that serve.
pub struct Serving {
    /// User states.
    pub users: Users,
    /// The videos.
    pub catalogue: Arc<Catalogue>,
    /// The mapped generation.
    pub generations: Arc<GenerationReader>,
    /// The hot document.
    pub tuning: Arc<LiveTuning>,
    /// What happens to videos now.
    pub realtime: Arc<Realtime>,
    /// Keeps generation, tuning and realtime table fresh.
    pub upkeep: Upkeep,
    /// Redis, when there is one.
    pub shared: Option<Shared>,
    /// Guards the reading of user states.
    pub breaker: Breaker,
    /// Slates.
    pub tiered: Tiered,
    /// `served` events on their way.
    pub outbox: Arc<Outbox>,
}

impl Serving {
    /// Puts the parts together, maps the current generation and connects to Redis, as far as the
    /// deadline allows: what is not there by then comes while requests pass. Slates are made in
    /// `loads`, everything else that runs on its own in `tasks`.
    ///
    /// # Errors
    /// `Invalid` when the settings can never work.
    pub async fn open(
        ports: Ports,
        settings: &ServingSettings,
        clock: &Arc<dyn Clock>,
        tasks: &Tasks,
        loads: &Tasks,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let users = Users::new(Arc::clone(&ports.tables));
        let catalogue = Catalogue::new(Arc::clone(&ports.tables), Arc::clone(clock));
        let catalogue = Arc::new(catalogue);
        let index_dir = settings.index_dir.clone();
        let generations = Arc::new(GenerationReader::new(
            ports.objects,
            index_dir,
            Arc::clone(clock),
        ));
        let (tuning, file) = TuningFile::follow(settings.tuning.clone(), clock);
        let realtime = Arc::new(Realtime::new(
            ports.tables,
            Arc::clone(&generations),
            Arc::clone(clock),
        ));
        let mut pipeline = engine::Pipeline::standard();
        let trending = TrendingNowSource::new(Arc::clone(realtime.table()));
        pipeline.set_source(Box::new(trending));
        let upkeep = Upkeep::new(
            Arc::clone(&generations),
            Arc::clone(&tuning),
            file,
            Arc::clone(&realtime),
            Arc::clone(clock),
            tasks.clone(),
        );
        let ((), shared) = tokio::join!(
            upkeep.start(deadline),
            connect(settings.redis.as_ref(), clock, tasks, deadline)
        );
        let shared = shared?;
        if let Some(shared) = &shared {
            shared.follow(Arc::clone(&tuning));
        }
        let breaker = tuning.snapshot().guard.breaker;
        let breaker = Breaker::new("users", breaker, Arc::clone(clock));
        let origin = Origin::new(OriginParts {
            users: users.clone(),
            catalogue: Arc::clone(&catalogue),
            generations: Arc::clone(&generations),
            pipeline: Arc::new(pipeline),
            breaker: breaker.clone(),
            clock: Arc::clone(clock),
            builtin: builtin(settings.builtin.as_deref()).await?,
        });
        let tiered = Tiered::new(TieredParts {
            origin,
            shared: shared.clone(),
            tuning: Arc::clone(&tuning),
            clock: Arc::clone(clock),
            tasks: loads.clone(),
            local_bytes_max: settings.local_tier_mib << 20,
        });
        let outbox = Arc::new(Outbox::new(ports.stream, Arc::clone(clock)));
        Ok(Self {
            users,
            catalogue,
            generations,
            tuning,
            realtime,
            upkeep,
            shared,
            breaker,
            tiered,
            outbox,
        })
    }
}

/// The last rung: the file's list, or the one inside the binary.
async fn builtin(file: Option<&Path>) -> Result<Vec<VideoId>, Error> {
    let Some(file) = file else {
        return Ok(engine::builtin::packaged());
    };
    let text = tokio::fs::read_to_string(file).await;
    let text = text.map_err(|e| Error::because(ErrorKind::Invalid, "read the built-in list", e))?;
    let listed = engine::builtin::listed(&text);
    if listed.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "no id in the built-in list"));
    }
    Ok(listed)
}

/// Connects to Redis, where there is one.
///
/// # Errors
/// `Invalid` when the settings can never work.
pub async fn connect(
    settings: Option<&RedisSettings>,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
    deadline: &Deadline,
) -> Result<Option<Shared>, Error> {
    match settings {
        Some(redis) => {
            let shared = Shared::connect(redis, Arc::clone(clock), tasks.clone(), deadline);
            shared.await.map(Some)
        }
        None => Ok(None),
    }
}
