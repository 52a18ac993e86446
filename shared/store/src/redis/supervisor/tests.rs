use guard::ManualClock;

use super::*;
use crate::redis::RedisSettings;
use crate::redis::server::free_addr;

#[test]
fn a_slot_is_that_of_what_stands_in_braces() {
    // The example of the specification of clusters.
    assert_eq!(slot("123456789"), 0x31c3);
    assert_eq!(slot("rw1:{123456789}:v"), 0x31c3);
    assert_ne!(slot("{}:v"), slot("{}:w"));
}

#[tokio::test]
async fn when_redis_is_left_alone_and_for_how_long_says_the_document_in_force() {
    let manual = Arc::new(ManualClock::starting_at(1_700_000_000_000));
    let clock: Arc<dyn Clock> = manual.clone();
    let settings = RedisSettings::new(&format!("redis://{}", free_addr()));
    let dialer = Dialer::new(&settings).unwrap();
    let budget = settings.connect_budget;
    let supervisor = Supervisor::new(dialer, budget, Arc::clone(&clock), Tasks::new());
    let live = Arc::new(LiveTuning::default());
    supervisor.follow(Arc::clone(&live));
    let tune = |document: &str| live.offer(document).unwrap();
    let fail = async |times| {
        for _ in 0..times {
            let deadline = Deadline::after(Arc::clone(&clock), Duration::from_secs(2));
            let ping = redis::cmd("PING");
            assert!(supervisor.call("", &ping, &deadline).await.is_err());
        }
        supervisor.breaker_state()
    };

    tune(r#"{"guard":{"redis_breaker":{"consecutive_failures_max":2,"open_ms":5000}}}"#);
    assert_eq!(fail(2).await, BreakerState::Closed);
    assert_eq!(
        fail(1).await,
        BreakerState::Open,
        "five are endured by default"
    );
    manual.advance(Duration::from_millis(4_900));
    assert_eq!(
        fail(1).await,
        BreakerState::Open,
        "half a second by default"
    );
    assert!(
        live.offer(r#"{"guard":{"redis_breaker":{"open_ms":99}}}"#)
            .is_err()
    );
    manual.advance(Duration::from_millis(101));
    assert_eq!(supervisor.breaker_state(), BreakerState::HalfOpen);

    tune(r#"{"guard":{"redis_breaker":{"open_ms":100}}}"#);
    assert_eq!(fail(1).await, BreakerState::Open, "a probe failed");
    manual.advance(Duration::from_millis(101));
    assert_eq!(supervisor.breaker_state(), BreakerState::HalfOpen);
}
