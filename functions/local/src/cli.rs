//! The words of the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// A video-recommendation service in one process, and its operator's commands.
#[derive(Debug, Parser)]
#[command(name = "reelway", version, about, max_term_width = 100)]
#[command(after_help = "Without a command: serve. Exit codes: 0 done, 1 failed, 2 wrong usage.")]
pub struct Cli {
    /// What to do; `serve` when left out.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Where everything is kept.
    #[arg(
        long,
        global = true,
        value_name = "FOLDER",
        help = "where everything is kept [default: .reelway, or REELWAY_DATA]"
    )]
    pub data: Option<PathBuf>,

    /// One JSON document on standard output instead of text.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What there is to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer requests; makes a demo catalogue when there is nothing to recommend.
    #[command(
        after_help = "Examples:\n  reelway serve\n  reelway serve --addr 127.0.0.1:8080 --no-demo"
    )]
    Serve(Serve),
    /// Take in a catalogue and what people did.
    #[command(after_help = "Examples:
  reelway import --preset kuairand data/kuairand-pure
  reelway import --preset movietweetings data/movietweetings
  reelway import --preset sessions train.txt
  reelway import views.csv --map user_id=user,video_id=item,ts=time --kind watch
  reelway import views.jsonl --map user_id=u,video_id=v,ts=at,kind=what --videos videos.csv --map-videos id=v,title=name")]
    Import(Import),
    /// Run the T+1 job: profiles and the next generation.
    #[command(after_help = "Examples:\n  reelway profile\n  reelway profile --date 2026-11-21")]
    Profile(Profile),
    /// Fill the shared tier before it is asked.
    #[command(
        after_help = "Example:\n  reelway preload --region eu-west-1 --batch-size 5000 --ttl 7200 --resume"
    )]
    Preload(Preload),
    /// Recommend without a server.
    #[command(
        after_help = "Examples:\n  reelway recommend --user u1\n  reelway recommend --all --out slates.tsv --limit 20"
    )]
    Recommend(Recommend),
    /// Judge the recommendations against simpler ones, on what this store holds.
    #[command(after_help = "Examples:
  reelway evaluate
  reelway evaluate --days 7 --plot evaluation.svg
  reelway evaluate --protocol sessions --json
  reelway evaluate --slates-out split
  reelway evaluate --add EASE=split/ease.tsv

It learns from what lies before the judged part and from nothing else, but for one contender with
sessions, which is kept current and learns from what lies before each moment; what serves is not touched.
Baselines get the parameters that do best on the part before the judged one.")]
    Evaluate(Evaluate),
    /// Look at the event log, or apply a day of it again.
    #[command(
        subcommand,
        after_help = "Examples:
  reelway events tail --follow --kind like
  reelway events stats
  reelway events replay --date 2026-11-21"
    )]
    Events(Events),
    /// Ask a running server what it sees.
    #[command(
        subcommand,
        after_help = "Examples:
  reelway diagnose hot-keys
  reelway diagnose hot-keys --url http://127.0.0.1:8080 --json"
    )]
    Diagnose(Diagnose),
    /// Check or show the tuning document.
    #[command(subcommand)]
    Config(Config),
    /// Print the completions of a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// `reelway serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Where to listen.
    #[arg(
        long,
        help = "where to listen [default: 127.0.0.1:3000, or REELWAY_ADDR]"
    )]
    pub addr: Option<SocketAddr>,
    /// Leave an empty store empty.
    #[arg(long)]
    pub no_demo: bool,
    /// When the T+1 job runs every day, `HH:MM` in UTC, or `off`.
    #[arg(long, default_value = PROFILE_AT, value_name = "HH:MM|off")]
    pub profile_at: String,
}

const PROFILE_AT: &str = "03:00";

impl Default for Serve {
    fn default() -> Self {
        Self {
            addr: None,
            no_demo: false,
            profile_at: PROFILE_AT.to_owned(),
        }
    }
}

/// `reelway import`.
#[derive(Debug, Args)]
pub struct Import {
    /// Files or folders to read.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// A data set whose shape is known.
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,
    /// Columns of the events: `user_id=…,video_id=…[,ts=…][,kind=…][,watch_ms=…][,duration_ms=…]`.
    #[arg(long, value_name = "FIELD=COLUMN,…", conflicts_with = "preset")]
    pub map: Option<String>,
    /// The kind of every event, where no column says it.
    #[arg(long, default_value = "watch", conflicts_with = "preset")]
    pub kind: String,
    /// A catalogue to read as well.
    #[arg(long, value_name = "PATH", conflicts_with = "preset")]
    pub videos: Option<PathBuf>,
    /// Columns of the catalogue: `id=…[,title=…][,creator=…][,categories=…][,tags=…]…`.
    #[arg(long, value_name = "FIELD=COLUMN,…", requires = "videos")]
    pub map_videos: Option<String>,
    /// Share of malformed rows above which nothing is taken in, 0 to 1.
    #[arg(long, default_value_t = 0.01)]
    pub max_bad: f64,
}

/// Data sets whose shape is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// KuaiRand-Pure: a folder with impressions, history and video features.
    Kuairand,
    /// MovieLens: a folder with `ratings` and `movies`.
    Movielens,
    /// MovieTweetings: a folder with `ratings.dat` and `movies.dat`.
    Movietweetings,
    /// An export of gorse: `items.csv`, `feedback.csv`.
    Gorse,
    /// Click sessions: `SessionId ItemId Time`, separated by tabs.
    Sessions,
}

/// `reelway profile`.
#[derive(Debug, Args)]
pub struct Profile {
    /// The last day to learn from (UTC); the newest day there is when left out.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub date: Option<jiff::civil::Date>,
    /// Publish also from a day with far fewer events than the day before.
    #[arg(long)]
    pub force: bool,
}

/// `reelway preload`.
#[derive(Debug, Args)]
pub struct Preload {
    /// The region whose tier is filled; names the lease and the checkpoint.
    #[arg(long, default_value = "local")]
    pub region: String,
    /// Slates per batch.
    #[arg(long, default_value_t = 5000)]
    pub batch_size: usize,
    /// Life of what is written, in seconds.
    #[arg(long, default_value_t = 7200)]
    pub ttl: u32,
    /// Go on where an interrupted run stopped.
    #[arg(long)]
    pub resume: bool,
}

/// `reelway recommend`.
#[derive(Debug, Args)]
pub struct Recommend {
    /// For this user.
    #[arg(long, conflicts_with = "all", required_unless_present = "all")]
    pub user: Option<String>,
    /// For every known user.
    #[arg(long, requires = "out")]
    pub all: bool,
    /// Where to write: a header, then user, rank and item separated by tabs.
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    pub out: Option<PathBuf>,
    /// Videos per user, 1 to 200; for --user 1 to 50, as the API has it.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub limit: u16,
    /// The place in the product.
    #[arg(long, default_value = "home")]
    pub scene: String,
}

/// `reelway evaluate`.
#[derive(Debug, Args)]
pub struct Evaluate {
    /// What is asked.
    #[arg(long, value_enum, default_value = "time")]
    pub protocol: Judged,
    /// Days at the end that are judged, with `time` and `sessions`.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub days: u16,
    /// Hours by which days begin before those of UTC.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(i8).range(-14..=14))]
    pub utc_offset: i8,
    /// Users that are asked, at most; which ones is decided by a hash of their ids.
    #[arg(long, default_value_t = 20_000)]
    pub users_max: usize,
    /// Judge these slates as well: `user`, `rank` and `item`, separated by tabs.
    #[arg(long, value_name = "NAME=FILE")]
    pub add: Vec<String>,
    /// Write the split and every contender's slates into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub slates_out: Option<PathBuf>,
    /// Write accuracy over coverage and every source's share as an SVG.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// The randomness of the intervals.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// What an evaluation asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Judged {
    /// What each user liked in the last days, from everything before them.
    Time,
    /// Each user's last liked video, from everything else.
    LastOut,
    /// Each next video of the sessions of the last days, from those before it.
    Sessions,
}

/// `reelway diagnose`.
#[derive(Debug, Subcommand)]
pub enum Diagnose {
    /// List what is asked for all the time: such slates are kept longer and refreshed early.
    HotKeys(HotKeys),
}

/// `reelway diagnose hot-keys`.
#[derive(Debug, Args)]
pub struct HotKeys {
    /// The server; the one on this machine by default. Its admin key is `REELWAY_ADMIN_KEY`.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// `reelway events`.
#[derive(Debug, Subcommand)]
pub enum Events {
    /// Print the newest events as JSON lines, also while a server runs.
    Tail(Tail),
    /// Say what the log holds and how far its consumers are.
    Stats,
    /// Apply again what arrived on a day; what was applied before changes nothing, and what the
    /// consumer has not come to is left to it. User states and counters know for eight days what they
    /// have applied: older days are refused. Needs the folder for itself: stop the server first.
    Replay(Replay),
}

/// `reelway events tail`.
#[derive(Debug, Args)]
pub struct Tail {
    /// How many to begin with.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
    /// Go on as they arrive.
    #[arg(long, short)]
    pub follow: bool,
    /// Only this kind: `impression`, `click`, `watch` ….
    #[arg(long)]
    pub kind: Option<String>,
    /// Only of this user.
    #[arg(long)]
    pub user: Option<String>,
}

/// `reelway events replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The day (UTC) on which the log took them.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub date: jiff::civil::Date,
    /// Who gets them.
    #[arg(long, value_enum, default_value = "clickstream")]
    pub to: Replayed,
}

/// Who a replay is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Replayed {
    /// User states and counters.
    Clickstream,
    /// The lake: files are named by the batches that made them, and where those were cut otherwise
    /// there will be further files, whose rows the night knows by their position and drops.
    Archive,
}

/// `reelway config`.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Say what is wrong with a tuning document, if anything.
    Validate {
        /// The document.
        file: PathBuf,
    },
    /// Print the tuning document with every default.
    Show,
    /// Print its JSON Schema.
    Schema,
}
