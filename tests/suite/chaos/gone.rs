//! A client that goes away takes what works for it along.

use std::time::Duration;

use guard::Clock;
use tests::{Call, Fault, Mode, Rule};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::row::{Matrix, ms};
use super::world::World;

const TRIES: usize = 5;
/// Budgets that outlast the test: what ends before them was not ended by them.
const PATIENT: &str = r#"{"engine":{"budgets":{"request_ms":10000}},
    "store":{"budgets":{"tables_ms":10000}}, "guard":{"breaker":{"open_ms":100}}}"#;
/// How long the client is there; the call is in the air all the time.
const THERE: Duration = Duration::from_millis(300);
/// A call that its budget had to end would take ten seconds.
const ABORTED_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn client(world: &World, matrix: &mut Matrix) {
    let (stub, _) = world.aws.as_ref().unwrap();
    world.redis_proxy.set(Mode::Pass).await.unwrap();
    world.retune(PATIENT).await;
    let mut took = Vec::new();
    for user in 0..TRIES {
        // Nobody else asks for this row: what stalls is this client's call.
        let user = format!("u{}", 5 + user);
        stub.plant(Rule::on(Call::GetItem, Fault::Stall).for_key(user.as_str()));
        took.push(leave(world, &user).await);
        stub.heal();
    }
    world.retune("{}").await;
    took.sort_unstable();
    let all: Vec<_> = took
        .iter()
        .map(|took| format!("{:.1}", ms(*took)))
        .collect();
    matrix.note(format!(
        "client gone after {} ms, budgets of 10 s: its call to the table was in the air until then and aborted {} ms later ({TRIES} tries)",
        THERE.as_millis(),
        all.join(", ")
    ));
}

/// Asks for a row that stalls and goes away; answers how long the call outlives that.
async fn leave(world: &World, user: &str) -> Duration {
    let (stub, _) = world.aws.as_ref().unwrap();
    let before = stub.faults(Call::GetItem);
    let mut client = TcpStream::connect(world.node.addr()).await.unwrap();
    let ask = format!("GET /users/{user}/history HTTP/1.1\r\nhost: x\r\n\r\n");
    client.write_all(ask.as_bytes()).await.unwrap();
    let asked = tokio::time::timeout(ABORTED_WITHIN, async {
        while stub.faults(Call::GetItem) == before {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    });
    asked.await.expect("the table is asked");
    let before = stub.given_up();
    tokio::time::sleep(THERE).await;
    assert_eq!(stub.given_up(), before, "it waits while its client does");
    drop(client);
    let clock = ops::RealClock::new();
    let gone = clock.now().mono;
    let aborted = tokio::time::timeout(ABORTED_WITHIN, async {
        while stub.given_up() == before {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    });
    aborted.await.expect("the call to the table is aborted");
    clock.now().mono - gone
}
