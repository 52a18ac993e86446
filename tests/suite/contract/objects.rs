//! Whole objects by key.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use store::{ErrorKind, Objects};

use super::{Backend, kind, soon, within};

over_every_backend! {
    an_object_comes_back_as_it_was_put,
    readers_see_the_old_or_the_new_whole,
    what_is_not_there_is_not_found,
    a_larger_object_than_wanted_is_refused,
    a_prefix_is_listed_in_order_of_keys,
    more_than_one_page_is_listed,
    deleting_is_idempotent_and_leaves_neighbours,
    files_stream_in_and_out,
    keys_are_plain_relative_paths,
    a_deadline_that_has_passed_ends_every_call,
}

const LARGE: u64 = 1 << 30;

async fn put(objects: &dyn Objects, key: &str, text: &'static str) {
    objects
        .put(key, Bytes::from_static(text.as_bytes()), &soon())
        .await
        .unwrap();
}

async fn get(objects: &dyn Objects, key: &str) -> Bytes {
    objects.get(key, LARGE, &soon()).await.unwrap()
}

async fn keys(objects: &dyn Objects, prefix: &str) -> Vec<String> {
    let listed = objects.list(prefix, &soon()).await.unwrap();
    listed.into_iter().map(|object| object.key).collect()
}

async fn an_object_comes_back_as_it_was_put(backend: Backend) {
    let objects = &*backend.objects;
    let bytes: Bytes = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    objects
        .put("index/1/binary", bytes.clone(), &soon())
        .await
        .unwrap();
    assert_eq!(get(objects, "index/1/binary").await, bytes);
    put(objects, "empty", "").await;
    assert!(get(objects, "empty").await.is_empty());
}

async fn readers_see_the_old_or_the_new_whole(backend: Backend) {
    const BYTES: usize = 256 * 1024;
    let objects = &*backend.objects;
    let of = |letter: u8| Bytes::from(vec![letter; BYTES]);
    objects.put("pointer", of(b'a'), &soon()).await.unwrap();
    let writer = async {
        for letter in b'b'..=b'p' {
            objects.put("pointer", of(letter), &soon()).await.unwrap();
        }
    };
    let reader = async {
        let mut last = b'a';
        for _ in 0..30 {
            let seen = get(objects, "pointer").await;
            assert_eq!(seen.len(), BYTES);
            assert!(
                seen.iter().all(|byte| *byte == seen[0]),
                "one version, whole"
            );
            assert!(seen[0] >= last, "never an older one again");
            last = seen[0];
        }
    };
    futures_util::join!(writer, reader);
    assert_eq!(get(objects, "pointer").await, of(b'p'));
}

async fn what_is_not_there_is_not_found(backend: Backend) {
    let objects = &*backend.objects;
    put(objects, "a/b", "x").await;
    for key in ["nothing", "a", "a/b/c"] {
        let absent = objects.get(key, LARGE, &soon()).await;
        assert_eq!(kind(absent), Some(ErrorKind::NotFound), "{key}");
        let absent = objects
            .fetch(key, &backend.path().join("file"), &soon())
            .await;
        assert_eq!(kind(absent), Some(ErrorKind::NotFound), "{key}");
    }
}

async fn a_larger_object_than_wanted_is_refused(backend: Backend) {
    let objects = &*backend.objects;
    put(objects, "ten", "0123456789").await;
    for (bytes_max, refused) in [(0, true), (9, true), (10, false), (11, false)] {
        let answer = objects.get("ten", bytes_max, &soon()).await;
        let expected = refused.then_some(ErrorKind::Invalid);
        assert_eq!(kind(answer), expected, "at most {bytes_max}");
    }
}

async fn a_prefix_is_listed_in_order_of_keys(backend: Backend) {
    let objects = &*backend.objects;
    let lake = [
        "lake/dt=2026-11-02/b",
        "lake/dt=2026-11-02/a",
        "lake/dt=2026-11-1/z",
        "lake/x-1",
    ];
    for key in lake.into_iter().chain(["lake2/a", "other"]) {
        put(objects, key, "four").await;
    }
    for (prefix, expected) in [
        (
            "lake/dt=2026-11-02/",
            &["lake/dt=2026-11-02/a", "lake/dt=2026-11-02/b"][..],
        ),
        (
            "lake/dt=2026-11-",
            &[
                "lake/dt=2026-11-02/a",
                "lake/dt=2026-11-02/b",
                "lake/dt=2026-11-1/z",
            ],
        ),
        ("lake2", &["lake2/a"]),
        ("lake/x", &["lake/x-1"]),
        ("nothing/", &[]),
    ] {
        assert_eq!(keys(objects, prefix).await, expected, "{prefix}");
    }
    let mut all = keys(objects, "").await;
    assert_eq!(all.len(), 6);
    assert!(all.is_sorted());
    all.retain(|key| key.starts_with("lake"));
    assert_eq!(keys(objects, "lake").await, all);
    let listed = objects.list("other", &soon()).await.unwrap();
    assert_eq!(listed[0].bytes, 4);
}

async fn more_than_one_page_is_listed(backend: Backend) {
    const COUNT: usize = 1_003;
    let objects = &*backend.objects;
    let names: Vec<String> = (0..COUNT).map(|n| format!("many/{n:04}")).collect();
    stream::iter(&names)
        .for_each_concurrent(32, |key| async move { put(objects, key, "").await })
        .await;
    assert_eq!(keys(objects, "many/").await, names);
    objects.delete(&names, &soon()).await.unwrap();
    assert!(keys(objects, "many/").await.is_empty());
}

async fn deleting_is_idempotent_and_leaves_neighbours(backend: Backend) {
    let objects = &*backend.objects;
    for key in ["a/1", "a/2", "a/3"] {
        put(objects, key, "x").await;
    }
    let gone = ["a/1", "a/never", "a/3"].map(str::to_owned);
    for _ in 0..2 {
        objects.delete(&gone, &soon()).await.unwrap();
        assert_eq!(keys(objects, "a/").await, ["a/2"]);
    }
    objects.delete(&[], &soon()).await.unwrap();
}

async fn files_stream_in_and_out(backend: Backend) {
    let objects = &*backend.objects;
    let bytes: Vec<u8> = (0..8 * 1024 * 1024_u32)
        .map(|n| (n.wrapping_mul(31) >> 3) as u8)
        .collect();
    let (source, target) = (backend.path().join("source"), backend.path().join("target"));
    std::fs::write(&source, &bytes).unwrap();
    objects
        .put_file("index/g1/index", &source, &soon())
        .await
        .unwrap();
    objects
        .fetch("index/g1/index", &target, &soon())
        .await
        .unwrap();
    assert!(std::fs::read(&target).unwrap() == bytes, "the same 8 MiB");
    let listed = objects.list("index/", &soon()).await.unwrap();
    assert_eq!(listed[0].bytes, bytes.len() as u64);

    let missing = backend.path().join("missing");
    assert!(
        objects
            .put_file("index/g2", &missing, &soon())
            .await
            .is_err()
    );
    assert_eq!(keys(objects, "index/g2").await.len(), 0);
}

async fn keys_are_plain_relative_paths(backend: Backend) {
    let objects = &*backend.objects;
    let too_long = "k".repeat(600);
    for key in [
        "", "/a", "a/", "a//b", "../a", "a/./b", ".hidden", "a b", "ä", &too_long,
    ] {
        let put = objects.put(key, Bytes::new(), &soon()).await;
        assert_eq!(kind(put), Some(ErrorKind::Invalid), "put {key:?}");
        let get = objects.get(key, LARGE, &soon()).await;
        assert_eq!(kind(get), Some(ErrorKind::Invalid), "get {key:?}");
        let delete = objects.delete(&[key.to_owned()], &soon()).await;
        assert_eq!(kind(delete), Some(ErrorKind::Invalid), "delete {key:?}");
    }
    for prefix in ["/", "../", "a//", "a/..", "a b"] {
        let list = objects.list(prefix, &soon()).await;
        assert_eq!(kind(list), Some(ErrorKind::Invalid), "list {prefix:?}");
    }
}

async fn a_deadline_that_has_passed_ends_every_call(backend: Backend) {
    let objects = &*backend.objects;
    put(objects, "a", "x").await;
    let file = backend.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    let passed = within(Duration::ZERO);
    let timeout = Some(ErrorKind::Timeout);
    assert_eq!(kind(objects.put("a", Bytes::new(), &passed).await), timeout);
    assert_eq!(kind(objects.put_file("a", &file, &passed).await), timeout);
    assert_eq!(kind(objects.get("a", LARGE, &passed).await), timeout);
    assert_eq!(kind(objects.fetch("a", &file, &passed).await), timeout);
    assert_eq!(kind(objects.list("", &passed).await), timeout);
    assert_eq!(
        kind(objects.delete(&["a".to_owned()], &passed).await),
        timeout
    );
    assert_eq!(get(objects, "a").await, "x");
}
