//! What an item carries to the client's beacon and back, so that impressions survive the edge.

use engine::{UserId, VideoId};
use smol_str::SmolStr;

use crate::Signer;
use crate::signer::Purpose;
use crate::wire::{Reader, put_text};

/// Longest text of a token.
pub const TOKEN_BYTES_MAX: usize = 800;
const VERSION: u8 = 2;
/// Days after the one it was made on (UTC) on which a token is still good: events may be a day old.
pub const GOOD_DAYS: i64 = 2;
const DAY_MS: i64 = 24 * 3_600_000;

/// For whom the item was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Anybody: the answer named no user and may have come from the edge.
    Shared,
    /// One user, by a keyed hash.
    User(u64),
}

/// One item of one answer, signed; opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemToken {
    /// The key that signed it.
    pub key_id: u8,
    /// The answer; becomes the event's `recommendation_id`.
    pub slate_id: SmolStr,
    /// The item's place in it, from 0.
    pub position: u16,
    /// Hash of the video's id.
    pub video_hash: u64,
    /// Experiments and their arms, `layer=arm` joined by `;`; empty without any.
    pub arms: SmolStr,
    /// For whom.
    pub audience: Audience,
    /// The day it was made on (UTC), counted from 1970. No finer, so that a page's bytes stay the same.
    pub day: u16,
}

/// Why an event may not use a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefusal {
    /// Not ours, changed, or signed with a key that is gone.
    Invalid,
    /// Made too long ago, or on a day to come.
    Expired,
    /// Made for another user.
    OtherUser,
    /// Made for another video.
    OtherVideo,
}

impl TokenRefusal {
    /// The code in `rejected`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Invalid => "token_invalid",
            Self::Expired => "token_expired",
            Self::OtherUser => "token_user",
            Self::OtherVideo => "token_video",
        }
    }
}

impl Audience {
    /// The audience of an answer to this user, or to nobody in particular.
    #[must_use]
    pub fn of(user: Option<&UserId>, signer: &Signer) -> Self {
        user.map_or(Self::Shared, |user| {
            Self::User(signer.pseudonym(user.as_str()))
        })
    }
}

impl ItemToken {
    /// Makes the text for one item; the day of `now_ms` is all of the time that goes in.
    #[must_use]
    pub fn mint(
        signer: &Signer,
        slate_id: &str,
        position: u16,
        video_id: &VideoId,
        arms: &str,
        audience: Audience,
        now_ms: i64,
    ) -> String {
        let mut payload = Vec::with_capacity(22 + slate_id.len() + arms.len());
        payload.extend_from_slice(&day_of(now_ms).to_le_bytes());
        match audience {
            Audience::Shared => payload.push(0),
            Audience::User(pseudonym) => {
                payload.push(1);
                payload.extend_from_slice(&pseudonym.to_le_bytes());
            }
        }
        payload.extend_from_slice(&position.to_le_bytes());
        payload.extend_from_slice(&video_hash(video_id).to_le_bytes());
        put_text(&mut payload, slate_id);
        put_text(&mut payload, arms);
        signer.seal(Purpose::Token, VERSION, &payload)
    }

    /// Checks a token that came back with an event of this user and video.
    ///
    /// # Errors
    /// [`TokenRefusal`] says why the event may not use it.
    pub fn verify(
        text: &str,
        signer: &Signer,
        user_id: &UserId,
        video_id: &VideoId,
        now_ms: i64,
    ) -> Result<Self, TokenRefusal> {
        let token = Self::open(text, signer).ok_or(TokenRefusal::Invalid)?;
        // Another process' clock may have seen midnight first.
        let age_days = i64::from(day_of(now_ms)) - i64::from(token.day);
        if !(-1..=GOOD_DAYS).contains(&age_days) {
            return Err(TokenRefusal::Expired);
        }
        if let Audience::User(pseudonym) = token.audience
            && !signer.is_pseudonym(token.key_id, user_id.as_str(), pseudonym)
        {
            return Err(TokenRefusal::OtherUser);
        }
        if token.video_hash != video_hash(video_id) {
            return Err(TokenRefusal::OtherVideo);
        }
        Ok(token)
    }

    fn open(text: &str, signer: &Signer) -> Option<Self> {
        let (key_id, payload) = signer.open(Purpose::Token, VERSION, text, TOKEN_BYTES_MAX)?;
        let mut reader = Reader(&payload);
        let day = reader.u16()?;
        let audience = match reader.u8()? {
            0 => Audience::Shared,
            1 => Audience::User(reader.u64()?),
            _ => return None,
        };
        let position = reader.u16()?;
        let video_hash = reader.u64()?;
        let slate_id = SmolStr::new(reader.text()?);
        let arms = SmolStr::new(reader.text()?);
        let whole = reader.is_empty();
        whole.then_some(Self {
            key_id,
            slate_id,
            position,
            video_hash,
            arms,
            audience,
            day,
        })
    }
}

fn day_of(now_ms: i64) -> u16 {
    u16::try_from(now_ms.div_euclid(DAY_MS)).unwrap_or(0)
}

fn video_hash(video_id: &VideoId) -> u64 {
    xxhash_rust::xxh3::xxh3_64(video_id.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: i64 = 1_760_000_000_000;
    const OLD: &str = "an old secret of enough bytes";
    const NEW: &str = "a new secret of enough bytes";

    fn user(text: &str) -> UserId {
        UserId::parse(text).unwrap()
    }

    fn video(text: &str) -> VideoId {
        VideoId::parse(text).unwrap()
    }

    fn mint(signer: &Signer, for_user: Option<&UserId>) -> String {
        let audience = Audience::of(for_user, signer);
        let video = video("v1");
        ItemToken::mint(
            signer,
            "slate-1",
            3,
            &video,
            "home_rank=b",
            audience,
            NOW_MS,
        )
    }

    #[test]
    fn a_token_is_only_for_its_user_and_video() {
        let signer = Signer::from_secret(NEW).unwrap();
        let (mine, shared) = (mint(&signer, Some(&user("u1"))), mint(&signer, None));
        let verify = |text: &str, u: &str, v: &str| {
            ItemToken::verify(text, &signer, &user(u), &video(v), NOW_MS)
                .map(|token| token.position)
        };
        assert_eq!(verify(&mine, "u1", "v1"), Ok(3));
        assert_eq!(verify(&mine, "u2", "v1"), Err(TokenRefusal::OtherUser));
        assert_eq!(verify(&mine, "u1", "v2"), Err(TokenRefusal::OtherVideo));
        assert_eq!(verify(&shared, "u2", "v1"), Ok(3));
        assert_eq!(verify("AQ", "u1", "v1"), Err(TokenRefusal::Invalid));
    }

    #[test]
    fn a_token_is_good_for_two_more_days_and_the_same_all_day() {
        let signer = Signer::from_secret(NEW).unwrap();
        let midnight_ms = NOW_MS.div_euclid(DAY_MS) * DAY_MS;
        let mint = |now_ms| {
            let video = video("v1");
            ItemToken::mint(&signer, "s", 0, &video, "", Audience::Shared, now_ms)
        };
        let text = mint(midnight_ms);
        assert_eq!(mint(midnight_ms + DAY_MS - 1), text);
        for (now_ms, good) in [
            (midnight_ms - 1, true),
            (midnight_ms - DAY_MS - 1, false),
            (midnight_ms + 3 * DAY_MS - 1, true),
            (midnight_ms + 3 * DAY_MS, false),
        ] {
            let verified = ItemToken::verify(&text, &signer, &user("u"), &video("v1"), now_ms);
            assert_eq!(verified.is_ok(), good, "{now_ms}");
            assert!(good || verified == Err(TokenRefusal::Expired));
        }
    }

    #[test]
    fn a_token_of_the_previous_key_still_knows_its_user() {
        let text = mint(&Signer::from_secret(OLD).unwrap(), Some(&user("u1")));
        let both = Signer::from_secret(&format!("{NEW},{OLD}")).unwrap();
        assert!(ItemToken::verify(&text, &both, &user("u1"), &video("v1"), NOW_MS).is_ok());
        let foreign = ItemToken::verify(&text, &both, &user("u2"), &video("v1"), NOW_MS);
        assert_eq!(foreign, Err(TokenRefusal::OtherUser));
    }

    #[test]
    fn it_brings_back_what_was_put_in() {
        let signer = Signer::from_secret(NEW).unwrap();
        let text = mint(&signer, None);
        let token = ItemToken::verify(&text, &signer, &user("u1"), &video("v1"), NOW_MS).unwrap();
        assert_eq!(
            (token.slate_id.as_str(), token.arms.as_str()),
            ("slate-1", "home_rank=b")
        );
        assert!(text.len() < 100, "compact: {}", text.len());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[A-Za-z0-9_-]{0,120}") {
            let signer = Signer::ephemeral(1);
            let refused = ItemToken::verify(&text, &signer, &user("u"), &video("v"), NOW_MS);
            prop_assert_eq!(refused, Err(TokenRefusal::Invalid));
        }
    }
}
