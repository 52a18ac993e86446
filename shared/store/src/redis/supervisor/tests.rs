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

/// A supervisor whose server is not there, and calls that fail.
struct Alone {
    manual: Arc<ManualClock>,
    live: Arc<LiveTuning>,
    supervisor: Supervisor,
}

impl Alone {
    fn new() -> Self {
        let manual = Arc::new(ManualClock::starting_at(1_700_000_000_000));
        let settings = RedisSettings::new(&format!("redis://{}", free_addr()));
        let dialer = Dialer::new(&settings).unwrap();
        let budget = settings.connect_budget;
        let supervisor = Supervisor::new(dialer, budget, manual.clone(), Tasks::new());
        let live = Arc::new(LiveTuning::default());
        supervisor.follow(Arc::clone(&live));
        Self {
            manual,
            live,
            supervisor,
        }
    }

    fn advance_ms(&self, ms: u64) {
        self.manual.advance(Duration::from_millis(ms));
    }

    /// Where the breaker stands after so many calls.
    async fn fail(&self, times: u32) -> BreakerState {
        for _ in 0..times {
            let clock: Arc<dyn Clock> = self.manual.clone();
            let deadline = Deadline::after(clock, Duration::from_secs(2));
            let ping = redis::cmd("PING");
            assert!(self.supervisor.call("", &ping, &deadline).await.is_err());
        }
        self.supervisor.breaker_state()
    }
}

#[tokio::test]
async fn when_redis_is_left_alone_and_for_how_long_says_the_document_in_force() {
    let alone = Alone::new();
    let tune = |document: &str| alone.live.offer(document);
    tune(r#"{"guard":{"redis_breaker":{"consecutive_failures_max":2,"open_ms":5000}}}"#).unwrap();
    assert_eq!(alone.fail(2).await, BreakerState::Closed);
    let state = alone.fail(1).await;
    assert_eq!(state, BreakerState::Open, "five are endured by default");
    alone.advance_ms(4_900);
    let state = alone.fail(1).await;
    assert_eq!(state, BreakerState::Open, "half a second by default");
    assert!(tune(r#"{"guard":{"redis_breaker":{"open_ms":99}}}"#).is_err());
    alone.advance_ms(101);
    assert_eq!(alone.supervisor.breaker_state(), BreakerState::HalfOpen);

    tune(r#"{"guard":{"redis_breaker":{"open_ms":100}}}"#).unwrap();
    assert_eq!(alone.fail(1).await, BreakerState::Open, "a probe failed");
    alone.advance_ms(101);
    assert_eq!(alone.supervisor.breaker_state(), BreakerState::HalfOpen);
}

#[tokio::test]
async fn a_call_that_may_not_dial_yet_is_no_probe() {
    let alone = Alone::new();
    let short = r#"{"guard":{"redis_breaker":{"open_ms":100}}}"#;
    alone.live.offer(short).unwrap();
    // Until the pause between dials is longer than the breaker stays open.
    for _ in 0..10 {
        alone.advance_ms(400);
        alone.fail(1).await;
    }
    assert_eq!(alone.supervisor.breaker_state(), BreakerState::Open);
    alone.advance_ms(101);
    assert_eq!(
        alone.fail(1).await,
        BreakerState::HalfOpen,
        "nothing was tried"
    );
    alone.advance_ms(300);
    assert_eq!(alone.fail(1).await, BreakerState::Open, "a dial failed");
}
