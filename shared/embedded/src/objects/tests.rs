use std::collections::BTreeMap;
use std::time::Duration;

use guard::ManualClock;
use proptest::prelude::*;

use super::*;

fn deadline() -> Deadline {
    Deadline::after(
        Arc::new(ManualClock::starting_at(0)),
        Duration::from_secs(60),
    )
}

fn folder() -> (tempfile::TempDir, EmbeddedObjects) {
    let dir = tempfile::tempdir().unwrap();
    let objects = EmbeddedObjects::open(dir.path()).unwrap();
    (dir, objects)
}

#[tokio::test]
async fn objects_come_back_whole_and_listed_in_order() {
    let (dir, objects) = folder();
    let keys = ["b", "a/2", "a/1", "a-b/1", "a=1/x/y.z"];
    for key in keys {
        objects
            .put(key, Bytes::from(key), &deadline())
            .await
            .unwrap();
    }
    for key in keys {
        assert_eq!(objects.get(key, 10, &deadline()).await.unwrap(), key);
    }
    let listed = objects.list("a", &deadline()).await.unwrap();
    let listed: Vec<&str> = listed.iter().map(|meta| meta.key.as_str()).collect();
    assert_eq!(listed, ["a-b/1", "a/1", "a/2", "a=1/x/y.z"]);
    assert_eq!(objects.list("a/", &deadline()).await.unwrap().len(), 2);
    assert_eq!(objects.list("none/at/all", &deadline()).await.unwrap(), []);

    drop(objects);
    let again = EmbeddedObjects::open(dir.path()).unwrap();
    assert_eq!(again.list("", &deadline()).await.unwrap().len(), 5);
}

#[tokio::test]
async fn what_is_missing_too_large_or_in_the_way_is_said() {
    let (_dir, objects) = folder();
    objects
        .put("a/b", Bytes::from_static(b"12345"), &deadline())
        .await
        .unwrap();
    let kind = |result: Result<Bytes, Error>| result.unwrap_err().kind;
    assert_eq!(
        kind(objects.get("x", 9, &deadline()).await),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(objects.get("a", 9, &deadline()).await),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(objects.get("a/b/c", 9, &deadline()).await),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(objects.get("a/b", 4, &deadline()).await),
        ErrorKind::Invalid
    );
    assert_eq!(objects.get("a/b", 5, &deadline()).await.unwrap().len(), 5);
    for key in ["a", "a/b/c"] {
        let refused = objects
            .put(key, Bytes::new(), &deadline())
            .await
            .unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Invalid, "{key}");
    }
    let keys = ["a/b", "a/b", "never", "a"].map(str::to_owned);
    objects.delete(&keys, &deadline()).await.unwrap();
    assert_eq!(objects.list("", &deadline()).await.unwrap(), []);
}

#[tokio::test]
async fn files_go_in_and_out_and_unfinished_ones_are_swept() {
    let (dir, objects) = folder();
    let (source, target) = (dir.path().join(".source"), dir.path().join(".target"));
    fs::write(&source, b"generation").unwrap();
    objects
        .put_file("index/1", &source, &deadline())
        .await
        .unwrap();
    objects
        .fetch("index/1", &target, &deadline())
        .await
        .unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"generation");
    let missing = objects
        .put_file("index/2", &dir.path().join(".none"), &deadline())
        .await;
    assert_eq!(missing.unwrap_err().kind, ErrorKind::NotFound);

    fs::write(dir.path().join(TEMPORARY).join("77"), b"half").unwrap();
    let again = EmbeddedObjects::open(dir.path()).unwrap();
    assert_eq!(again.list("", &deadline()).await.unwrap().len(), 1);
    assert_eq!(fs::read_dir(dir.path().join(TEMPORARY)).unwrap().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_folder_is_a_map(
        steps in prop::collection::vec(("[ab](/[cd=]{1,2}\\.x){0,2}", prop::option::of(0u8..9)), 0..24),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (_dir, objects) = folder();
        let mut model = BTreeMap::new();
        runtime.block_on(async {
            for (key, change) in steps {
                // A file system cannot hold `a` and `a/b` both; keys of one depth never clash.
                let key = format!("{key}/end");
                match change {
                    Some(byte) => {
                        let bytes = Bytes::from(vec![byte; usize::from(byte)]);
                        objects.put(&key, bytes.clone(), &deadline()).await.unwrap();
                        model.insert(key, bytes);
                    }
                    None => {
                        objects.delete(std::slice::from_ref(&key), &deadline()).await.unwrap();
                        model.remove(&key);
                    }
                }
            }
            for prefix in ["", "a", "a/", "b/c", "b/d=.x/"] {
                let listed = objects.list(prefix, &deadline()).await.unwrap();
                let expected: Vec<_> = model
                    .iter()
                    .filter(|(key, _)| key.starts_with(prefix))
                    .map(|(key, bytes)| ObjectMeta { key: key.clone(), bytes: bytes.len() as u64 })
                    .collect();
                assert_eq!(listed, expected);
            }
        });
    }
}
