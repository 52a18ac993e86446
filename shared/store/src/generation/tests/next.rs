//! Generations that wait for caches to be filled before the pointer moves.

use super::*;

impl House {
    async fn announce(&self, generation: &str) -> Manifest {
        let file = self.folder.path().join("staged");
        std::fs::write(&file, built(generation)).unwrap();
        let generations = self.generations();
        let staged = generations.stage(generation, &file, &self.deadline);
        let staged = staged.await.unwrap();
        generations.announce(&staged, &self.deadline).await.unwrap();
        staged
    }

    async fn next(&self) -> Option<String> {
        let next = self.generations().next(&self.deadline).await.unwrap();
        next.map(|next| next.generation.to_string())
    }

    async fn current(&self) -> Option<String> {
        let current = self.generations().pointer(&self.deadline).await.unwrap();
        current.map(|current| current.generation.to_string())
    }
}

#[tokio::test]
async fn what_is_announced_becomes_current_once_and_is_then_forgotten() {
    let house = House::new();
    house.publish("2026-01-01.1").await.unwrap();
    assert_eq!(house.next().await, None);
    house.announce("2026-01-02.1").await;
    assert_eq!(house.next().await.as_deref(), Some("2026-01-02.1"));
    assert_eq!(house.current().await.as_deref(), Some("2026-01-01.1"));
    let generations = house.generations();
    for moved in [true, false] {
        let pointed = generations.point_to_next(&house.deadline).await.unwrap();
        assert_eq!(pointed, moved);
        assert_eq!(house.current().await.as_deref(), Some("2026-01-02.1"));
    }
    // Whoever goes back is not sent forward again.
    let back = generations
        .manifest("2026-01-01.1", &house.deadline)
        .await
        .unwrap();
    generations.point(&back, &house.deadline).await.unwrap();
    assert_eq!(house.next().await, None);
}

#[tokio::test]
async fn what_was_overtaken_is_never_pointed_to() {
    let house = House::new();
    house.publish("2026-01-01.1").await.unwrap();
    house.announce("2026-01-02.1").await;
    house.publish("2026-01-03.1").await.unwrap();
    assert_eq!(house.next().await, None);
    let generations = house.generations();
    assert!(!generations.point_to_next(&house.deadline).await.unwrap());
    assert_eq!(house.current().await.as_deref(), Some("2026-01-03.1"));
}

#[tokio::test]
async fn a_damaged_announcement_costs_only_itself() {
    let house = House::new();
    house.publish("2026-01-01.1").await.unwrap();
    house.announce("2026-01-02.1").await;
    house.damage("index/next.json", |bytes| bytes.truncate(7));
    let unreadable = house.generations().next(&house.deadline).await;
    assert_eq!(unreadable.unwrap_err().kind, ErrorKind::Corrupt);
    house.publish("2026-01-03.1").await.unwrap();
    assert_eq!(house.next().await, None);
    assert_eq!(house.current().await.as_deref(), Some("2026-01-03.1"));
}
