//! What the origin feels of a Redis that goes and comes back empty.

use super::shared::Fleet;
use super::world::Process;
use super::*;

/// Away, each process reads each user once; back, one of them reads, and the others find what it made.
#[tokio::test]
async fn while_redis_is_away_and_when_it_is_back_empty_nobody_storms_the_origin() {
    const USERS: usize = 10;
    let mut fleet = Fleet::new().await;
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(fleet.process().await);
    }
    for number in 0..USERS {
        let name = format!("u{number}");
        fleet.world.watched(&name, &[number, number + 3]).await;
        for process in &processes {
            fleet.ask(process, by(&name)).await;
        }
    }
    fleet.server.kill();
    let away = storm(&fleet, &processes, USERS).await;
    assert_eq!(away, processes.len() * USERS);

    fleet.server.restart().await;
    for process in &processes {
        used_again(&fleet, process).await;
    }
    let back = storm(&fleet, &processes, USERS).await;
    println!(
        "shown: Redis away: {away} reads of {USERS} users by 3 processes; back and empty: {back}"
    );
    assert!((USERS..away).contains(&back), "{back} reads");
}

/// How often users are read when everything held has to be confirmed and 32 ask for each, one process
/// after the other.
async fn storm(fleet: &Fleet, processes: &[Process], users: usize) -> usize {
    fleet.pass_ms(2_000);
    let before = fleet.world.user_reads();
    for process in processes {
        let asks =
            (0..32 * users).map(|n| process.ask(by(&format!("u{}", n % users)), &fleet.world));
        for answer in join_all(asks).await {
            assert_eq!(answer.slate.rung, Rung::Personal);
        }
        process.settle().await;
    }
    fleet.world.user_reads() - before
}

/// Asks until what this process makes arrives in Redis, and empties that.
async fn used_again(fleet: &Fleet, process: &Process) {
    let mut tries = 0;
    while fleet.keys().await.is_empty() {
        tries += 1;
        assert!(tries < 100, "not used within two seconds");
        let name = format!("again{tries}");
        fleet.world.watched(&name, &[0, 3]).await;
        fleet.ask(process, by(&name)).await;
        pass(20).await;
    }
    let mut client = fleet.server.client().await;
    let _: () = redis::cmd("FLUSHALL")
        .query_async(&mut client)
        .await
        .unwrap();
}
