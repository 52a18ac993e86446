//! One event as a client sends it.

use engine::{Event, EventKind, UserId, VideoId};
use serde_json::Value;
use smol_str::{SmolStr, format_smolstr};
use web::token::TOKEN_BYTES_MAX;
use web::{Caller, ItemToken, Params, Problem, Signer};
use xxhash_rust::xxh3::Xxh3;

/// Oldest event that is taken, in milliseconds before now.
pub(crate) const PAST_MS_MAX: i64 = 24 * 60 * 60 * 1000;
/// How far a client's clock may be ahead, in milliseconds; what it says of the future is now.
pub(crate) const FUTURE_MS_MAX: i64 = 5 * 60 * 1000;
/// Longest word that is looked at as a kind.
const KIND_BYTES_MAX: usize = 16;

/// Fields of an event.
pub(crate) const FIELDS: &[&str] = &[
    "event_id",
    "kind",
    "user_id",
    "session_id",
    "video_id",
    "ts",
    "watch_ms",
    "duration_ms",
    "scene",
    "market",
    "creator_id",
    "undo",
    "token",
];

/// Why an event is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: &'static str,
    pub field: Option<SmolStr>,
}

/// What is known about the request an event came with.
pub(crate) struct Context<'a> {
    pub signer: &'a Signer,
    pub caller: &'a Caller,
    /// The viewer's country; empty when not known.
    pub market: SmolStr,
    pub now_ms: i64,
}

impl Refusal {
    fn at(code: &'static str, field: &'static str) -> Self {
        Self {
            code,
            field: Some(SmolStr::new_static(field)),
        }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            code: problem.code(),
            field: problem.field_name().map(SmolStr::new),
        }
    }
}

/// Checks one event and fills in what the client left out.
pub(crate) fn read(value: Value, context: &Context<'_>) -> Result<Event, Refusal> {
    let Value::Object(object) = value else {
        return Err(Refusal {
            code: "not_an_object",
            field: None,
        });
    };
    let params = Params::of_json(object, FIELDS);
    let required = |field: &'static str| move || Refusal::at("missing_field", field);
    let kind = params
        .text("kind", KIND_BYTES_MAX)?
        .ok_or_else(required("kind"))?;
    let kind = client_kind(kind).ok_or_else(|| Refusal::at("invalid_field", "kind"))?;
    let user_id = match params.id::<UserId>("user_id")? {
        Some(user_id) => user_id,
        None => params
            .id::<UserId>("session_id")?
            .ok_or_else(required("user_id"))?,
    };
    if context.caller.may_act_for(&user_id).is_err() {
        return Err(Refusal::at("forbidden", "user_id"));
    }
    let video_id = params
        .id::<VideoId>("video_id")?
        .ok_or_else(required("video_id"))?;
    let ts_ms = params.time_ms("ts")?.ok_or_else(required("ts"))?;
    if !(-PAST_MS_MAX..=FUTURE_MS_MAX).contains(&ts_ms.saturating_sub(context.now_ms)) {
        return Err(Refusal::at("ts_out_of_range", "ts"));
    }
    let undo = params.flag("undo")?.unwrap_or_default();
    let undoable = matches!(kind, EventKind::Like | EventKind::Follow | EventKind::Hide);
    if undo && !undoable {
        return Err(Refusal::at("invalid_field", "undo"));
    }
    let mut event = Event {
        event_id: params.name("event_id")?.unwrap_or_default(),
        kind,
        user_id,
        video_id,
        ts_ms,
        watch_ms: millis(&params, "watch_ms")?,
        duration_ms: millis(&params, "duration_ms")?,
        scene: params.name("scene")?.unwrap_or_default(),
        market: params
            .market("market")?
            .unwrap_or_else(|| context.market.clone()),
        creator_id: params.id("creator_id")?,
        undo,
        recommendation_id: SmolStr::default(),
        slate_position: None,
        arms: SmolStr::default(),
        made: None,
    };
    if let Some(token) = params.text("token", TOKEN_BYTES_MAX)? {
        attribute(&mut event, token, context)?;
    }
    if event.event_id.is_empty() {
        event.event_id = id_of(&event);
    }
    // Nothing happens after it arrives: else it would outlive the deletion of its user. After the id,
    // so that the same event sent again has the same one.
    event.ts_ms = event.ts_ms.min(context.now_ms);
    Ok(event)
}

/// The kinds that clients may send; the others are ours.
fn client_kind(word: &str) -> Option<EventKind> {
    let ours = |kind: &EventKind| matches!(kind, EventKind::Served | EventKind::Exposure);
    let kind = EventKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == word);
    kind.filter(|kind| !ours(kind))
}

fn millis(params: &Params, field: &'static str) -> Result<Option<u32>, Problem> {
    let millis = params.integer(field, 0..=u64::from(u32::MAX))?;
    Ok(millis.and_then(|millis| u32::try_from(millis).ok()))
}

fn attribute(event: &mut Event, token: &str, context: &Context<'_>) -> Result<(), Refusal> {
    let (user, video) = (&event.user_id, &event.video_id);
    let token = ItemToken::verify(token, context.signer, user, video, context.now_ms)
        .map_err(|refusal| Refusal::at(refusal.code(), "token"))?;
    event.recommendation_id = token.slate_id;
    event.slate_position = Some(token.position);
    event.arms = token.arms;
    Ok(())
}

/// An id that follows from the content: the same event sent twice is one event.
fn id_of(event: &Event) -> SmolStr {
    let mut hash = Xxh3::new();
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    let number = |number: Option<u32>| number.map_or(u64::MAX, u64::from).to_le_bytes();
    part(&[event.kind.number(), u8::from(event.undo)]);
    part(event.user_id.as_str().as_bytes());
    part(event.video_id.as_str().as_bytes());
    part(&event.ts_ms.to_le_bytes());
    part(&number(event.watch_ms));
    part(&number(event.duration_ms));
    part(event.scene.as_bytes());
    part(
        event
            .creator_id
            .as_ref()
            .map_or("", |id| id.as_str())
            .as_bytes(),
    );
    part(event.recommendation_id.as_bytes());
    part(&number(event.slate_position.map(u32::from)));
    format_smolstr!("{:032x}", hash.digest128())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use web::Audience;

    use super::*;

    const NOW_MS: i64 = 1_760_000_000_000;

    fn read_with(value: Value, subject: Option<&str>) -> Result<Event, Refusal> {
        let caller = Caller {
            subject: subject.map(SmolStr::new),
            admin: false,
        };
        let signer = Signer::ephemeral(1);
        let market = SmolStr::new("DE");
        read(
            value,
            &Context {
                signer: &signer,
                caller: &caller,
                market,
                now_ms: NOW_MS,
            },
        )
    }

    fn good() -> Value {
        json!({"kind": "watch", "user_id": "u1", "video_id": "v1", "ts": NOW_MS, "watch_ms": 8120})
    }

    fn with(field: &str, value: Value) -> Value {
        let mut event = good();
        event[field] = value;
        event
    }

    #[test]
    fn a_good_event_is_taken_as_it_is() {
        let mut sent = with("event_id", json!("e1"));
        sent["ts"] = json!("2025-10-09T08:53:20Z");
        sent["session_id"] = json!("s1");
        let event = read_with(sent, Some("u1")).unwrap();
        assert_eq!(
            (event.event_id.as_str(), event.user_id.as_str()),
            ("e1", "u1")
        );
        assert_eq!(
            (event.ts_ms, event.watch_ms, event.market.as_str()),
            (NOW_MS, Some(8120), "DE")
        );
        let session = json!({"kind": "click", "session_id": "s1", "video_id": "v1", "ts": NOW_MS});
        assert_eq!(read_with(session, None).unwrap().user_id.as_str(), "s1");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (json!(7), "not_an_object", None),
            (json!({}), "missing_field", Some("kind")),
            (with("kind", json!("dance")), "invalid_field", Some("kind")),
            (with("kind", json!("served")), "invalid_field", Some("kind")),
            (
                with("user_id", Value::Null),
                "missing_field",
                Some("user_id"),
            ),
            (
                with("user_id", json!("a b")),
                "invalid_field",
                Some("user_id"),
            ),
            (
                with("video_id", json!("")),
                "invalid_field",
                Some("video_id"),
            ),
            (with("ts", Value::Null), "missing_field", Some("ts")),
            (with("ts", json!("yesterday")), "invalid_field", Some("ts")),
            (
                with("ts", json!(NOW_MS - PAST_MS_MAX - 1)),
                "ts_out_of_range",
                Some("ts"),
            ),
            (
                with("ts", json!(NOW_MS + FUTURE_MS_MAX + 1)),
                "ts_out_of_range",
                Some("ts"),
            ),
            (
                with("watch_ms", json!(-1)),
                "invalid_field",
                Some("watch_ms"),
            ),
            (
                with("watch_ms", json!(1_u64 << 32)),
                "invalid_field",
                Some("watch_ms"),
            ),
            (with("undo", json!(true)), "invalid_field", Some("undo")),
            (with("scene", json!("a/b")), "invalid_field", Some("scene")),
            (
                with("event_id", json!("x".repeat(65))),
                "invalid_field",
                Some("event_id"),
            ),
            (with("token", json!("AAAA")), "token_invalid", Some("token")),
        ];
        for (value, code, field) in cases {
            let refusal = read_with(value.clone(), None).unwrap_err();
            assert_eq!(
                (refusal.code, refusal.field.as_deref()),
                (code, field),
                "{value}"
            );
        }
        assert_eq!(read_with(good(), Some("u2")).unwrap_err().code, "forbidden");
        for edge in [NOW_MS - PAST_MS_MAX, NOW_MS + FUTURE_MS_MAX] {
            assert!(read_with(with("ts", json!(edge)), None).is_ok());
        }
    }

    #[test]
    fn an_id_follows_from_the_content() {
        let id = |value| read_with(value, None).unwrap().event_id;
        assert_eq!(id(good()), id(good()));
        assert_eq!(id(good()).len(), 32);
        for (field, value) in [
            ("kind", json!("click")),
            ("user_id", json!("u2")),
            ("video_id", json!("v2")),
            ("ts", json!(NOW_MS + 1)),
            ("watch_ms", json!(8121)),
            ("duration_ms", json!(0)),
            ("scene", json!("home")),
            ("creator_id", json!("c")),
        ] {
            assert_ne!(id(with(field, value)), id(good()), "{field}");
        }
    }

    #[test]
    fn nothing_happens_after_it_arrives() {
        let time = |ts_ms: i64| read_with(with("ts", json!(ts_ms)), None).unwrap();
        let early = time(NOW_MS + FUTURE_MS_MAX);
        assert_eq!(early.ts_ms, NOW_MS, "a deletion in this moment covers it");
        assert_ne!(
            early.event_id,
            time(NOW_MS).event_id,
            "the id is of what was sent"
        );
        assert_eq!(time(NOW_MS - 1).ts_ms, NOW_MS - 1);
    }

    #[test]
    fn a_token_attributes_the_event_to_its_recommendation() {
        let signer = Signer::ephemeral(1);
        let (user, video) = (UserId::parse("u1").unwrap(), VideoId::parse("v1").unwrap());
        let audience = Audience::of(Some(&user), &signer);
        let token = ItemToken::mint(&signer, "slate-9", 4, &video, "home=b", audience, NOW_MS);
        let event = read_with(with("token", json!(token)), None).unwrap();
        assert_eq!(
            (event.recommendation_id.as_str(), event.slate_position),
            ("slate-9", Some(4))
        );
        assert_eq!(event.arms, "home=b");

        let mut foreign = with("token", json!(token));
        foreign["user_id"] = json!("u2");
        assert_eq!(read_with(foreign, None).unwrap_err().code, "token_user");
    }

    proptest! {
        #[test]
        fn what_is_taken_can_be_read_back_from_the_stream(
            kind in prop::sample::select(vec!["click", "watch", "hide", "follow"]),
            watch in prop::option::of(any::<u32>()),
            scene in "[a-z_]{1,64}",
            ago in 0..PAST_MS_MAX,
        ) {
            let mut sent = with("kind", json!(kind));
            sent["watch_ms"] = json!(watch);
            sent["scene"] = json!(scene);
            sent["ts"] = json!(NOW_MS - ago);
            let event = read_with(sent, None).unwrap();
            let decoded = store::events::decode(&store::events::encode(&event)).unwrap();
            prop_assert_eq!(decoded, event);
        }
    }
}
