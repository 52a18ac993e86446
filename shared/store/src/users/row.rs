//! The row of one user: a sealed protobuf message of at most [`USER_BYTES_MAX`].

use bytes::Bytes;
use engine::{CreatorId, EventKind, Interaction, Profile, Times, Undone, UserState, VideoId};
use prost::Message;
use smol_str::SmolStr;

use crate::sealed::{self, HEADER_BYTES};
use crate::{Error, ErrorKind};

/// Largest row: with its key and attribute names one DynamoDB item of 4 KB, half a read unit.
pub const USER_BYTES_MAX: usize = 4_096 - 128;

/// The version that is written; raised only by a change that an older reader must not guess at.
pub(super) const USER_SCHEMA: u8 = 1;

/// The bytes of a row. What does not fit is left out: oldest first, and what is missed least first.
pub(super) fn encode(state: &UserState) -> Bytes {
    let mut message = UserMessage::from(state);
    message.fit();
    sealed::seal(USER_SCHEMA, &message.encode_to_vec())
}

/// Reads a row, skipping fields that a newer writer added. The version is the row's, not here.
pub(super) fn decode(bytes: &[u8]) -> Result<UserState, Error> {
    let body = sealed::open(USER_SCHEMA, bytes, "decode a user")?;
    UserMessage::decode(body)
        .map_err(|e| Error::because(ErrorKind::Corrupt, "decode a user", e))?
        .into_state()
}

/// The stored form. Numbers are never reused.
#[derive(Clone, PartialEq, Message)]
struct UserMessage {
    #[prost(int64, tag = "1")]
    updated_ms: i64,
    #[prost(message, repeated, tag = "2")]
    recent: Vec<RecentMessage>,
    #[prost(fixed32, repeated, tag = "3")]
    seen: Vec<u32>,
    /// The first, then differences.
    #[prost(sint32, repeated, tag = "4")]
    seen_min: Vec<i32>,
    #[prost(message, repeated, tag = "5")]
    hidden_videos: Vec<HiddenMessage>,
    #[prost(message, repeated, tag = "6")]
    hidden_creators: Vec<HiddenMessage>,
    #[prost(message, optional, tag = "7")]
    profile: Option<ProfileMessage>,
    #[prost(int64, optional, tag = "8")]
    tombstone_ms: Option<i64>,
    #[prost(message, repeated, tag = "9")]
    undone: Vec<UndoneMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct RecentMessage {
    #[prost(string, tag = "1")]
    video_id: String,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(int64, tag = "3")]
    ts_ms: i64,
    #[prost(float, tag = "4")]
    watch_ratio: f32,
}

#[derive(Clone, PartialEq, Message)]
struct HiddenMessage {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(int64, tag = "2")]
    ts_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ProfileMessage {
    #[prost(uint32, tag = "1")]
    cohort: u32,
    #[prost(string, repeated, tag = "2")]
    categories: Vec<String>,
    #[prost(float, repeated, tag = "3")]
    category_weights: Vec<f32>,
    #[prost(string, repeated, tag = "4")]
    long_term: Vec<String>,
    #[prost(float, tag = "5")]
    long_view_rate: f32,
}

#[derive(Clone, PartialEq, Message)]
struct UndoneMessage {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(fixed32, tag = "2")]
    target: u32,
    #[prost(int64, tag = "3")]
    ts_ms: i64,
}

impl UserMessage {
    /// Leaves out the oldest of each list, down to a floor, in the order in which they are missed
    /// least; then the same without floors. Long ids are rare: almost always a few `seen` go.
    fn fit(&mut self) {
        for [seen, undone, long_term, recent, hidden] in [[100, 20, 20, 20, 10], [0; 5]] {
            self.shorten(|m| m.cut_seen(seen));
            self.shorten(|m| drop_first(&mut m.undone, undone));
            self.shorten(|m| {
                m.profile
                    .as_mut()
                    .is_some_and(|p| drop_first(&mut p.long_term, long_term))
            });
            self.shorten(|m| m.profile.as_mut().is_some_and(|p| p.cut_categories(hidden)));
            self.shorten(|m| drop_first(&mut m.recent, recent));
            self.shorten(|m| drop_first(&mut m.hidden_creators, hidden));
            self.shorten(|m| drop_first(&mut m.hidden_videos, hidden));
        }
    }

    /// Repeats `cut` while there is a surplus and it finds something to leave out.
    fn shorten(&mut self, cut: impl Fn(&mut Self) -> bool) {
        while self.surplus_bytes() > 0 && cut(self) {}
    }

    fn surplus_bytes(&self) -> usize {
        (HEADER_BYTES + self.encoded_len()).saturating_sub(USER_BYTES_MAX)
    }

    /// A met video takes 5 to 9 bytes, so a tenth of the surplus may go at once.
    fn cut_seen(&mut self, floor: usize) -> bool {
        let room = self.seen.len().saturating_sub(floor);
        let cut = (self.surplus_bytes() / 10).max(1).min(room);
        self.seen.drain(..cut);
        let first: i32 = self
            .seen_min
            .iter()
            .take(cut + 1)
            .fold(0, |a, b| a.wrapping_add(*b));
        self.seen_min.drain(..cut.min(self.seen_min.len()));
        if let Some(kept) = self.seen_min.first_mut() {
            *kept = first;
        }
        cut > 0
    }
}

impl ProfileMessage {
    /// Leaves out the weakest category.
    fn cut_categories(&mut self, floor: usize) -> bool {
        let cut = self.categories.len() > floor;
        if cut {
            self.categories.pop();
            self.category_weights.truncate(self.categories.len());
        }
        cut
    }
}

fn drop_first<T>(list: &mut Vec<T>, floor: usize) -> bool {
    let room = list.len() > floor;
    if room {
        list.remove(0);
    }
    room
}

impl From<&UserState> for UserMessage {
    fn from(state: &UserState) -> Self {
        let times = &state.times;
        let mut last = 0_u32;
        let at = |met: Option<&u32>| met.copied().unwrap_or(0);
        let minutes = (0..state.seen.len()).map(|i| at(times.seen_min.get(i)));
        let seen_min = minutes.map(|minute| {
            let difference = minute.wrapping_sub(last) as i32;
            last = minute;
            difference
        });
        Self {
            updated_ms: state.updated_ms,
            recent: state.recent.iter().map(RecentMessage::from).collect(),
            seen: state.seen.clone(),
            seen_min: seen_min.collect(),
            hidden_videos: hidden_messages(&state.hidden_videos, &times.hidden_videos_ms),
            hidden_creators: hidden_messages(&state.hidden_creators, &times.hidden_creators_ms),
            profile: state.profile.as_ref().map(ProfileMessage::from),
            tombstone_ms: state.tombstone_ms,
            undone: times.undone.iter().map(UndoneMessage::from).collect(),
        }
    }
}

impl From<&Interaction> for RecentMessage {
    fn from(recent: &Interaction) -> Self {
        Self {
            video_id: recent.video_id.to_string(),
            kind: u32::from(recent.kind.number()),
            ts_ms: recent.ts_ms,
            watch_ratio: recent.watch_ratio,
        }
    }
}

impl From<&Profile> for ProfileMessage {
    fn from(profile: &Profile) -> Self {
        Self {
            cohort: profile.cohort,
            categories: profile
                .categories
                .iter()
                .map(|(name, _)| name.to_string())
                .collect(),
            category_weights: profile
                .categories
                .iter()
                .map(|(_, weight)| *weight)
                .collect(),
            long_term: profile.long_term.iter().map(ToString::to_string).collect(),
            long_view_rate: profile.long_view_rate,
        }
    }
}

impl From<&Undone> for UndoneMessage {
    fn from(undone: &Undone) -> Self {
        Self {
            kind: u32::from(undone.kind.number()),
            target: undone.target,
            ts_ms: undone.ts_ms,
        }
    }
}

impl UserMessage {
    fn into_state(self) -> Result<UserState, Error> {
        if self.seen.len() != self.seen_min.len() {
            return Err(corrupt("times of what was met are missing"));
        }
        let mut minute = 0_u32;
        let seen_min = self.seen_min.iter().map(|difference| {
            minute = minute.wrapping_add(*difference as u32);
            minute
        });
        let seen_min = seen_min.collect();
        let (hidden_videos, hidden_videos_ms) = listed(self.hidden_videos, VideoId::parse)?;
        let (hidden_creators, hidden_creators_ms) = listed(self.hidden_creators, CreatorId::parse)?;
        let undone = self
            .undone
            .iter()
            .filter_map(UndoneMessage::known)
            .collect();
        Ok(UserState {
            version: 0,
            updated_ms: self.updated_ms,
            recent: self
                .recent
                .into_iter()
                .filter_map(RecentMessage::known)
                .collect::<Result<_, _>>()?,
            seen: self.seen,
            hidden_videos,
            hidden_creators,
            profile: self.profile.map(ProfileMessage::into_profile).transpose()?,
            tombstone_ms: self.tombstone_ms,
            times: Times {
                seen_min,
                hidden_videos_ms,
                hidden_creators_ms,
                undone,
            },
        })
    }
}

impl RecentMessage {
    /// `None` for a kind that only a newer version knows.
    fn known(self) -> Option<Result<Interaction, Error>> {
        let kind = known_kind(self.kind)?;
        Some(match VideoId::parse(&self.video_id) {
            Ok(video_id) => {
                let ratio = self.watch_ratio;
                let watch_ratio = if ratio.is_finite() {
                    ratio.clamp(0.0, 1.0)
                } else {
                    0.0
                };
                Ok(Interaction {
                    video_id,
                    kind,
                    ts_ms: self.ts_ms,
                    watch_ratio,
                })
            }
            Err(_) => Err(corrupt("an id is none")),
        })
    }
}

impl UndoneMessage {
    fn known(&self) -> Option<Undone> {
        let kind = known_kind(self.kind)?;
        Some(Undone {
            kind,
            target: self.target,
            ts_ms: self.ts_ms,
        })
    }
}

impl ProfileMessage {
    fn into_profile(self) -> Result<Profile, Error> {
        if self.categories.len() != self.category_weights.len() {
            return Err(corrupt("weights of categories are missing"));
        }
        let names = self.categories.into_iter().map(SmolStr::new);
        let long_term = self.long_term.iter().map(|id| VideoId::parse(id));
        Ok(Profile {
            cohort: self.cohort,
            categories: names.zip(self.category_weights).collect(),
            long_term: long_term
                .collect::<Result<_, _>>()
                .map_err(|_| corrupt("an id is none"))?,
            long_view_rate: self.long_view_rate,
        })
    }
}

fn known_kind(number: u32) -> Option<EventKind> {
    u8::try_from(number).ok().and_then(EventKind::from_number)
}

fn hidden_messages<T: ToString>(ids: &[T], times_ms: &[i64]) -> Vec<HiddenMessage> {
    let times_ms = times_ms.iter().copied().chain(std::iter::repeat(0));
    ids.iter()
        .zip(times_ms)
        .map(|(id, ts_ms)| HiddenMessage {
            id: id.to_string(),
            ts_ms,
        })
        .collect()
}

fn listed<T, E>(
    messages: Vec<HiddenMessage>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<(Vec<T>, Vec<i64>), Error> {
    let (mut ids, mut times_ms) = (Vec::new(), Vec::new());
    for message in messages {
        ids.push(parse(&message.id).map_err(|_| corrupt("an id is none"))?);
        times_ms.push(message.ts_ms);
    }
    Ok((ids, times_ms))
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("decode a user: {what}"))
}

#[cfg(test)]
mod tests;
