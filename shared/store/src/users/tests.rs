use std::sync::atomic::Ordering;

use bytes::Bytes;
use engine::EventKind;

use super::*;
use crate::testing::{MemoryTables, NOW_MS, clock, deadline, event, user};

fn users() -> (Arc<MemoryTables>, Users) {
    let tables = Arc::new(MemoryTables::default());
    (tables.clone(), Users::new(tables))
}

fn click(video: &str) -> impl FnMut(&mut UserState) -> bool + Send {
    let event = event(EventKind::Click, "u1", video, NOW_MS);
    move |state| apply_event(state, &event)
}

#[tokio::test]
async fn an_update_is_stored_and_its_version_is_the_rows() {
    let (tables, users) = users();
    let deadline = deadline(&clock());
    assert_eq!(
        users
            .update(&user("u1"), &deadline, |_| false)
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        tables.writes.load(Ordering::SeqCst),
        0,
        "nothing changed, nothing is written"
    );
    assert_eq!(
        users
            .update(&user("u1"), &deadline, click("v1"))
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        users
            .update(&user("u1"), &deadline, click("v2"))
            .await
            .unwrap(),
        2
    );
    assert_eq!(
        users
            .update(&user("u1"), &deadline, click("v2"))
            .await
            .unwrap(),
        2,
        "a repetition"
    );
    let loaded = users
        .load(&[user("u2"), user("u1")], Read::Eventual, &deadline)
        .await
        .unwrap();
    assert!(loaded[0].is_none());
    let state = loaded[1].as_ref().unwrap();
    assert_eq!((state.version, state.recent.len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_tried_again_and_not_for_ever() {
    let (tables, users) = users();
    let deadline = deadline(&clock());
    tables
        .conflicts
        .store(UPDATE_ATTEMPTS_MAX - 1, Ordering::SeqCst);
    assert_eq!(
        users
            .update(&user("u1"), &deadline, click("v1"))
            .await
            .unwrap(),
        1
    );
    tables.conflicts.store(u32::MAX, Ordering::SeqCst);
    let error = users
        .update(&user("u1"), &deadline, click("v2"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(
        tables.writes.load(Ordering::SeqCst),
        2 * UPDATE_ATTEMPTS_MAX as usize
    );
}

#[tokio::test(start_paused = true)]
async fn many_users_take_one_load_and_one_write_and_only_conflicts_come_again() {
    let (tables, users) = users();
    let deadline = deadline(&clock());
    let ids: Vec<UserId> = (0..50).map(|i| user(&format!("u{i}"))).collect();
    tables.conflicts.store(3, Ordering::SeqCst);
    let mut called = vec![0; ids.len()];
    let versions = users.update_many(&ids, &deadline, |at, state| {
        called[at] += 1;
        apply_event(
            state,
            &event(EventKind::Click, "u", &format!("v{at}"), NOW_MS),
        )
    });
    let versions: Vec<u64> = versions
        .await
        .unwrap()
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(versions, vec![1; 50]);
    assert_eq!(called, [vec![2; 3], vec![1; 47]].concat());
    assert_eq!(tables.loads.load(Ordering::SeqCst), 2);
    let loaded = users.load(&ids, Read::Consistent, &deadline).await.unwrap();
    for (at, state) in loaded.into_iter().enumerate() {
        assert_eq!(state.unwrap().recent[0].video_id.as_str(), format!("v{at}"));
    }
    let twice = [user("u1"), user("u1")];
    let error = users
        .update_many(&twice, &deadline, |_, _| true)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn an_unreadable_row_costs_its_user_alone_and_is_never_written_over() {
    let (tables, users) = users();
    let deadline = deadline(&clock());
    users
        .update(&user("u1"), &deadline, click("v1"))
        .await
        .unwrap();
    tables.insert(Table::Users, "damaged", Bytes::from_static(b"\x01nonsense"));
    tables.insert(
        Table::Users,
        "newer",
        crate::sealed::seal(9, b"of the future"),
    );
    let ids = [user("damaged"), user("u1"), user("newer")];
    let loaded = users.load(&ids, Read::Eventual, &deadline).await.unwrap();
    assert_eq!(
        loaded.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, true, false]
    );
    let kinds = users
        .update_many(&ids, &deadline, |_, s| click("v2")(s))
        .await
        .unwrap();
    let kinds: Vec<_> = kinds
        .into_iter()
        .map(|done| done.map_err(|error| error.kind))
        .collect();
    assert_eq!(
        kinds,
        [Err(ErrorKind::Corrupt), Ok(2), Err(ErrorKind::Invalid)]
    );
    assert_eq!(tables.row(Table::Users, "newer").unwrap().version, 1);
}

#[tokio::test]
async fn forgetting_leaves_a_tombstone_that_older_events_do_not_pass() {
    let (tables, users) = users();
    let deadline = deadline(&clock());
    users
        .update(&user("u1"), &deadline, click("v1"))
        .await
        .unwrap();
    assert_eq!(
        users.forget(&user("u1"), NOW_MS, &deadline).await.unwrap(),
        2
    );
    assert_eq!(
        users
            .forget(&user("u1"), NOW_MS - 5, &deadline)
            .await
            .unwrap(),
        3,
        "again is harmless"
    );
    assert_eq!(
        users
            .update(&user("u1"), &deadline, click("v2"))
            .await
            .unwrap(),
        3
    );
    let loaded = users
        .load(&[user("u1")], Read::Consistent, &deadline)
        .await
        .unwrap();
    let expected = UserState {
        version: 3,
        tombstone_ms: Some(NOW_MS),
        ..UserState::default()
    };
    assert_eq!(loaded, [Some(expected)]);
    tables.insert(Table::Users, "damaged", Bytes::from_static(b"nonsense"));
    users
        .forget(&user("damaged"), NOW_MS, &deadline)
        .await
        .unwrap();
    let page = users.scan(None, 10, &deadline).await.unwrap();
    assert_eq!(page, UserPage::default(), "the deleted are not walked");
}

#[tokio::test]
async fn a_walk_meets_every_user_once() {
    let (_, users) = users();
    let deadline = deadline(&clock());
    for i in 0..7 {
        users
            .update(&user(&format!("u{i}")), &deadline, click("v1"))
            .await
            .unwrap();
    }
    let (mut met, mut after) = (Vec::new(), None);
    loop {
        let page = users.scan(after, 3, &deadline).await.unwrap();
        met.extend(page.users.into_iter().map(|(id, _)| id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    met.sort();
    assert_eq!(
        met,
        (0..7).map(|i| user(&format!("u{i}"))).collect::<Vec<_>>()
    );
}
