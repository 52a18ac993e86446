use proptest::prelude::*;

use super::*;

fn item(key: &str, data: &str) -> (String, Bytes) {
    (key.to_owned(), Bytes::copy_from_slice(data.as_bytes()))
}

fn sealed(body: &[u8]) -> Bytes {
    [&MAGIC[..], body, &Md5::digest(body)[..]].concat().into()
}

#[test]
fn the_bytes_are_the_producer_librarys() {
    let records = pack(vec![item("k", "one"), item("k", "two")]);
    let body = b"\x0a\x01k\x1a\x07\x08\x00\x1a\x03one\x1a\x07\x08\x00\x1a\x03two";
    assert_eq!(
        records,
        [Record {
            partition_key: "k".to_owned(),
            data: sealed(body)
        }]
    );
}

#[test]
fn aggregates_of_other_producers_are_read() {
    // Two keys, explicit hash keys, tags and a field of the future.
    let body =
        b"\x0a\x01a\x0a\x01b\x12\x010\x1a\x0f\x08\x01\x10\x00\x1a\x01x\x22\x06\x0a\x01t\x12\x01v\
        \x1a\x05\x08\x00\x1a\x01y\x28\x07";
    let items = unpack(&sealed(body)).unwrap();
    assert_eq!(
        items,
        [
            ("b".into(), Bytes::from("x")),
            ("a".into(), Bytes::from("y"))
        ]
    );
}

#[test]
fn a_plain_record_is_its_own_only_payload() {
    for plain in ["", "{}", "\u{1}\n"] {
        let data = Bytes::from(plain);
        assert_eq!(unpack(&data).unwrap(), [("".into(), data)]);
    }
}

#[test]
fn what_only_looks_like_an_aggregate_is_corrupt() {
    let many = b"\x1a\x05\x08\x00\x1a\x01y".repeat(ITEMS_MAX + 1);
    let cases: [(&str, Bytes); 8] = [
        ("magic alone", MAGIC.to_vec().into()),
        (
            "digest of something else",
            [&MAGIC[..], b"\x0a\x01k", &[0; 16]].concat().into(),
        ),
        ("key missing", sealed(b"\x1a\x05\x08\x03\x1a\x01y")),
        ("data missing", sealed(b"\x0a\x01k\x1a\x02\x08\x00")),
        ("length past the end", sealed(b"\x0a\x7fk")),
        ("wire type 3", sealed(b"\x0b")),
        (
            "too many items",
            sealed(&[b"\x0a\x01k", &many[..]].concat()),
        ),
        ("too large", vec![0; RECORD_BYTES_MAX + 1].into()),
    ];
    for (name, data) in cases {
        assert_eq!(
            unpack(&data).unwrap_err().kind,
            ErrorKind::Corrupt,
            "{name}"
        );
    }
}

#[test]
fn an_aggregate_is_closed_before_it_grows_too_large() {
    let items: Vec<_> = (0..3_000)
        .map(|i| item(&format!("k{}", i % 3), &"x".repeat(120)))
        .collect();
    let packed = pack_items(items);
    assert!(
        packed
            .iter()
            .all(|p| p.record.data.len() <= AGGREGATE_BYTES_MAX)
    );
    assert_eq!(packed.len(), 9, "3 keys of 127 KB each");
    let alone = pack(vec![
        item("k", &"x".repeat(AGGREGATE_BYTES_MAX)),
        item("k", "y"),
    ]);
    assert_eq!(
        alone.len(),
        2,
        "what is too large for company travels alone"
    );
}

proptest! {
    #[test]
    fn packing_loses_nothing_and_keeps_the_order_within_a_key(
        items in prop::collection::vec(("[a-c]", prop::collection::vec(any::<u8>(), 0..200)), 0..200),
    ) {
        let items: Vec<(String, Bytes)> = items.into_iter().map(|(k, d)| (k, d.into())).collect();
        let mut seen = 0;
        for packed in pack_items(items.clone()) {
            let parts = unpack(&packed.record.data).unwrap();
            prop_assert_eq!(parts.len(), packed.items.len());
            prop_assert!(packed.items.is_sorted());
            for ((key, data), at) in parts.into_iter().zip(packed.items) {
                prop_assert_eq!(&items[at], &(key.to_string(), data));
                prop_assert_eq!(&packed.record.partition_key, &key);
                seen += 1;
            }
        }
        prop_assert_eq!(seen, items.len());
    }

    #[test]
    fn hostile_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = unpack(&sealed(&body));
        let _ = unpack(&body.into());
    }

    #[test]
    fn a_mutated_aggregate_is_never_read_as_another(at in any::<prop::sample::Index>(), bit in 0..8) {
        let data = pack(vec![item("key", "payload")]).remove(0).data;
        let mut bytes = data.to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        let damaged = Bytes::from(bytes);
        match unpack(&damaged) {
            Err(error) => prop_assert_eq!(error.kind, ErrorKind::Corrupt),
            Ok(items) => prop_assert_eq!(&items[0].1, &damaged, "only a broken magic reads as plain"),
        }
    }
}
