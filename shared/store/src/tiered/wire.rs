//! A slate's bytes in the shared tier: protocol buffers, names of sources written once.
//!
//! Readers skip fields they do not know. A slate that breaks a rule of the domain is no slate.

use bytes::Bytes;
use engine::slate::SLATE_ITEMS_MAX;
use engine::{Item, Reason, ReasonKind, Rung, Slate, VideoId};
use prost::Message;
use smol_str::SmolStr;

/// Raised when old readers would misunderstand what is written.
const SCHEMA: u32 = 1;
/// Most sources and most causes of one slate.
const NAMES_MAX: usize = 64;
/// Most videos behind one reason.
const BECAUSE_MAX: usize = 3;

#[derive(Clone, PartialEq, Message)]
struct SlateWire {
    #[prost(uint32, tag = "1")]
    schema: u32,
    #[prost(string, tag = "2")]
    slate_id: String,
    #[prost(string, tag = "3")]
    generation: String,
    #[prost(uint64, tag = "4")]
    user_version: u64,
    #[prost(uint32, tag = "5")]
    rung: u32,
    #[prost(string, optional, tag = "6")]
    cohort: Option<String>,
    #[prost(string, repeated, tag = "7")]
    degraded: Vec<String>,
    #[prost(string, repeated, tag = "8")]
    sources: Vec<String>,
    #[prost(message, repeated, tag = "9")]
    items: Vec<ItemWire>,
}

#[derive(Clone, PartialEq, Message)]
struct ItemWire {
    #[prost(string, tag = "1")]
    video_id: String,
    #[prost(float, tag = "2")]
    score: f32,
    /// Places in the slate's `sources`.
    #[prost(uint32, repeated, tag = "3")]
    sources: Vec<u32>,
    #[prost(uint32, tag = "4")]
    reason: u32,
    #[prost(string, repeated, tag = "5")]
    because: Vec<String>,
    /// Left out where nothing was random.
    #[prost(float, optional, tag = "6")]
    propensity: Option<f32>,
}

/// Writes a slate.
pub(crate) fn encode(slate: &Slate) -> Bytes {
    let mut sources: Vec<String> = Vec::new();
    let mut place_of = |name: &SmolStr| {
        let found = sources.iter().position(|known| known == name.as_str());
        let place = found.unwrap_or_else(|| {
            sources.push(name.to_string());
            sources.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    };
    let items = slate.items.iter().map(|item| ItemWire {
        video_id: item.video_id.to_string(),
        score: item.score,
        sources: item.sources.iter().map(&mut place_of).collect(),
        reason: reason_number(item.reason.kind),
        because: item
            .reason
            .because
            .iter()
            .map(ToString::to_string)
            .collect(),
        propensity: Some(item.propensity).filter(|chance| *chance < 1.0),
    });
    let items = items.collect();
    let wire = SlateWire {
        schema: SCHEMA,
        slate_id: slate.slate_id.to_string(),
        generation: slate.generation.to_string(),
        user_version: slate.user_version,
        rung: rung_number(slate.rung),
        cohort: slate.cohort.as_ref().map(ToString::to_string),
        degraded: slate.degraded.iter().map(ToString::to_string).collect(),
        sources,
        items,
    };
    wire.encode_to_vec().into()
}

/// Reads a slate; `None` when the bytes are not one that this version understands.
pub(crate) fn decode(bytes: &Bytes) -> Option<Slate> {
    let wire = SlateWire::decode(bytes.clone()).ok()?;
    let bounded = wire.items.len() <= SLATE_ITEMS_MAX
        && wire.sources.len() <= NAMES_MAX
        && wire.degraded.len() <= NAMES_MAX;
    if wire.schema != SCHEMA || !bounded {
        return None;
    }
    let names: Vec<SmolStr> = wire.sources.into_iter().map(SmolStr::from).collect();
    let items: Option<Vec<Item>> = wire
        .items
        .into_iter()
        .map(|item| decode_item(item, &names))
        .collect();
    Some(Slate {
        slate_id: wire.slate_id.into(),
        generation: wire.generation.into(),
        user_version: wire.user_version,
        rung: rung(wire.rung)?,
        cohort: wire.cohort.map(SmolStr::from),
        degraded: wire.degraded.into_iter().map(SmolStr::from).collect(),
        items: items?.into(),
    })
}

fn decode_item(item: ItemWire, names: &[SmolStr]) -> Option<Item> {
    if item.sources.len() > NAMES_MAX || item.because.len() > BECAUSE_MAX {
        return None;
    }
    let name = |place: u32| names.get(usize::try_from(place).ok()?).cloned();
    let sources: Option<_> = item.sources.into_iter().map(name).collect();
    let because: Option<_> = item
        .because
        .iter()
        .map(|id| VideoId::parse(id).ok())
        .collect();
    Some(Item {
        video_id: VideoId::parse(&item.video_id).ok()?,
        score: if item.score.is_finite() {
            item.score
        } else {
            return None;
        },
        sources: sources?,
        reason: Reason {
            kind: reason(item.reason)?,
            because: because?,
        },
        propensity: match item.propensity.unwrap_or(1.0) {
            chance if chance > 0.0 && chance <= 1.0 => chance,
            _ => return None,
        },
    })
}

fn rung_number(rung: Rung) -> u32 {
    match rung {
        Rung::Personal => 1,
        Rung::Stale => 2,
        Rung::Cohort => 3,
        Rung::Trending => 4,
        Rung::Builtin => 5,
    }
}

fn rung(number: u32) -> Option<Rung> {
    let all = [
        Rung::Personal,
        Rung::Stale,
        Rung::Cohort,
        Rung::Trending,
        Rung::Builtin,
    ];
    all.into_iter().find(|rung| rung_number(*rung) == number)
}

fn reason_number(kind: ReasonKind) -> u32 {
    match kind {
        ReasonKind::WatchedTogether => 1,
        ReasonKind::SimilarContent => 2,
        ReasonKind::Trending => 3,
        ReasonKind::Latest => 4,
        ReasonKind::Cohort => 5,
        ReasonKind::Popular => 6,
        ReasonKind::Builtin => 7,
    }
}

fn reason(number: u32) -> Option<ReasonKind> {
    let all = [
        ReasonKind::WatchedTogether,
        ReasonKind::SimilarContent,
        ReasonKind::Trending,
        ReasonKind::Latest,
        ReasonKind::Cohort,
        ReasonKind::Popular,
        ReasonKind::Builtin,
    ];
    all.into_iter().find(|kind| reason_number(*kind) == number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slates() -> impl Strategy<Value = Slate> {
        let id = || "[A-Za-z0-9_-]{1,64}".prop_map(|id| VideoId::parse(&id).unwrap());
        let names = proptest::collection::vec("[a-z]{1,8}".prop_map(SmolStr::from), 0..4);
        let reason =
            (1u32..=7, proptest::collection::vec(id(), 0..=3)).prop_map(|(kind, because)| Reason {
                kind: super::reason(kind).unwrap(),
                because,
            });
        // A range that begins at a tiny number trips an assertion of proptest's own now and then.
        let chance = (1u32..=1_000_000).prop_map(|millionths| millionths as f32 / 1e6);
        let item = (id(), -1e6f32..1e6, names, reason, chance).prop_map(
            |(video_id, score, sources, reason, propensity)| Item {
                video_id,
                score,
                sources,
                reason,
                propensity,
            },
        );
        let items = proptest::collection::vec(item, 0..12);
        let head = ("[0-9a-f]{1,16}", "[0-9.-]{0,16}", any::<u64>(), 1u32..=5);
        let cohort = proptest::option::of("c[0-9]{1,5}".prop_map(SmolStr::from));
        (
            head,
            cohort,
            proptest::collection::vec("[a-z_]{1,12}".prop_map(SmolStr::from), 0..4),
            items,
        )
            .prop_map(
                |((slate_id, generation, user_version, step), cohort, degraded, items)| Slate {
                    slate_id: slate_id.into(),
                    generation: generation.into(),
                    user_version,
                    rung: rung(step).unwrap(),
                    cohort,
                    degraded,
                    items: items.into(),
                },
            )
    }

    type Change = fn(&mut SlateWire);

    #[test]
    fn a_slate_that_breaks_a_rule_is_no_slate() {
        let good = || SlateWire {
            schema: SCHEMA,
            rung: 1,
            items: vec![ItemWire {
                video_id: "v1".into(),
                reason: 1,
                ..Default::default()
            }],
            ..Default::default()
        };
        let decoded = |wire: SlateWire| decode(&wire.encode_to_vec().into());
        assert!(decoded(good()).is_some());
        let cases: [(&str, Change); 8] = [
            ("another schema", |s| s.schema += 1),
            ("no such rung", |s| s.rung = 9),
            ("too long", |s| {
                s.items = vec![s.items[0].clone(); SLATE_ITEMS_MAX + 1];
            }),
            ("not an id", |s| s.items[0].video_id = "../x".into()),
            ("not a number", |s| s.items[0].score = f32::NAN),
            ("no chance", |s| s.items[0].propensity = Some(0.0)),
            ("an unnamed source", |s| s.items[0].sources = vec![0]),
            ("no such reason", |s| s.items[0].reason = 0),
        ];
        for (what, change) in cases {
            let mut wire = good();
            change(&mut wire);
            assert_eq!(decoded(wire), None, "{what}");
        }
    }

    #[test]
    fn a_field_of_a_newer_writer_is_skipped() {
        let wire = SlateWire {
            schema: SCHEMA,
            rung: 3,
            ..Default::default()
        };
        let mut bytes = wire.encode_to_vec();
        bytes.extend_from_slice(&[0xf8, 0x01, 0x07]);
        assert_eq!(decode(&bytes.into()).unwrap().rung, Rung::Cohort);
    }

    proptest! {
        #[test]
        fn a_slate_comes_back_as_it_was(slate in slates()) {
            prop_assert_eq!(decode(&encode(&slate)), Some(slate));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = decode(&bytes.into());
        }

        #[test]
        fn mutated_slates_never_panic(slate in slates(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = encode(&slate).to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let _ = decode(&bytes.into());
        }
    }
}
