use std::sync::atomic::Ordering;

use super::*;
use crate::testing::{MemoryTables, clock, deadline};

const TTL: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_lease_has_one_holder_until_it_expires() {
    let (tables, clock) = (Arc::new(MemoryTables::default()), clock());
    let control = Control::new(tables, clock.clone());
    let d = &deadline(&clock);
    let a = control
        .acquire("preload", "a", TTL, d)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(control.acquire("preload", "b", TTL, d).await.unwrap(), None);
    assert!(
        control
            .acquire("profile", "b", TTL, d)
            .await
            .unwrap()
            .is_some(),
        "another lease"
    );
    let a = control.renew(&a, TTL, d).await.unwrap().unwrap();
    clock.step_wall_ms(59_999);
    assert_eq!(control.acquire("preload", "b", TTL, d).await.unwrap(), None);
    clock.step_wall_ms(1);
    let b = control
        .acquire("preload", "b", TTL, d)
        .await
        .unwrap()
        .unwrap();
    assert!(b.token > a.token, "the token only rises");
    assert_eq!(control.renew(&a, TTL, d).await.unwrap(), None, "lost");
    control.release(a, d).await.unwrap();
    assert_eq!(
        control.acquire("preload", "c", TTL, d).await.unwrap(),
        None,
        "b still holds it"
    );
    control.release(b.clone(), d).await.unwrap();
    let c = control
        .acquire("preload", "c", TTL, d)
        .await
        .unwrap()
        .unwrap();
    assert!(c.token > b.token, "also after a release");
    assert!(
        control
            .acquire("preload", "c", TTL, d)
            .await
            .unwrap()
            .is_some(),
        "its own again"
    );
}

#[tokio::test]
async fn of_two_who_ask_at_once_one_gets_it() {
    let (tables, clock) = (Arc::new(MemoryTables::default()), clock());
    let control = Control::new(tables.clone(), clock.clone());
    tables.conflicts.store(1, Ordering::SeqCst);
    assert_eq!(
        control
            .acquire("x", "a", TTL, &deadline(&clock))
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn a_checkpoint_comes_back_or_the_work_starts_anew() {
    let (tables, clock) = (Arc::new(MemoryTables::default()), clock());
    let control = Control::new(tables.clone(), clock.clone());
    let d = &deadline(&clock);
    assert_eq!(control.checkpoint("preload", d).await.unwrap(), None);
    control
        .save_checkpoint("preload", b"37 %", d)
        .await
        .unwrap();
    control
        .save_checkpoint("preload", b"38 %", d)
        .await
        .unwrap();
    assert_eq!(
        control.checkpoint("preload", d).await.unwrap().unwrap(),
        "38 %"
    );
    tables.insert(
        Table::Control,
        "checkpoint/preload",
        Bytes::from_static(b"\x0138 %"),
    );
    assert_eq!(
        control.checkpoint("preload", d).await.unwrap(),
        None,
        "damaged"
    );
    control
        .save_checkpoint("preload", b"40 %", d)
        .await
        .unwrap();
    control.clear_checkpoint("preload", d).await.unwrap();
    assert_eq!(
        control.checkpoint("preload", d).await.unwrap(),
        None,
        "done"
    );
    let large = vec![0; CHECKPOINT_BYTES_MAX + 1];
    let error = control
        .save_checkpoint("preload", &large, d)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert_eq!(
        control.checkpoint("", d).await.unwrap_err().kind,
        ErrorKind::Invalid
    );
}
