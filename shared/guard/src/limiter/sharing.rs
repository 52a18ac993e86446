//! One limit over many processes: what is promised, against a counter that all of them share.

use proptest::prelude::*;

use super::*;
use crate::ManualClock;

const RATE: f64 = 20.0;
const BURST: f64 = 40.0;
const KEY: u64 = 7;

/// Processes that exchange with one counter.
struct Fleet {
    processes: Vec<KeyedLimiter>,
    clock: Arc<ManualClock>,
    total: u64,
    admitted: u32,
}

impl Fleet {
    fn of(processes: usize) -> Self {
        let clock = Arc::new(ManualClock::starting_at(1_700_000_000_000));
        let limiter = |_| KeyedLimiter::new(RATE, BURST, 8, clock.clone());
        Self {
            processes: (0..processes).map(limiter).collect(),
            clock: clock.clone(),
            total: 0,
            admitted: 0,
        }
    }

    fn ask(&mut self, process: usize) {
        self.admitted += u32::from(self.processes[process].take(KEY).is_ok());
    }

    fn exchange(&mut self, process: usize) {
        let limiter = &self.processes[process];
        self.total += u64::from(limiter.say(KEY, 1));
        limiter.hear(KEY, 1, self.total);
    }
}

#[test]
fn four_processes_admit_what_one_would_and_their_bursts() {
    for (processes, every_ms) in [(1, 2_000), (4, 2_000), (4, 100), (16, 2_000)] {
        let mut fleet = Fleet::of(processes);
        const SPAN_MS: u32 = 60_000;
        for ms in 0..SPAN_MS {
            let process = ms as usize % processes;
            fleet.ask(process);
            if ms % every_ms < processes as u32 {
                fleet.exchange((ms % every_ms) as usize);
            }
            fleet.clock.advance(Duration::from_millis(1));
        }
        let (span, every) = (f64::from(SPAN_MS) / 1e3, f64::from(every_ms) / 1e3);
        let whole = RATE * span + BURST;
        let bound = whole + 2.0 * (processes as f64 - 1.0) * (BURST + RATE * every);
        let admitted = f64::from(fleet.admitted);
        assert!(admitted <= bound, "{processes}: {admitted} of {bound}");
        assert!(admitted >= 0.9 * RATE * span, "{processes}: {admitted}");
        println!(
            "shown: user limit 20/s burst 40 over {processes} processes, exchanging every {every} s, asked 1000/s for 60 s: {admitted} admitted, bound {bound}, one process alone {whole}"
        );
    }
}

#[test]
fn a_debt_is_forgiven_after_a_minute() {
    let clock = Arc::new(ManualClock::starting_at(1_700_000_000_000));
    let limiter = KeyedLimiter::new(RATE, BURST, 8, clock.clone());
    assert!(limiter.take(KEY).is_ok());
    let _ = limiter.say(KEY, 1);
    limiter.hear(KEY, 1, 1);
    limiter.hear(KEY, 1, 1_000_000);
    let wait = limiter.take(KEY).unwrap_err();
    assert_eq!(wait, DEBT_MAX + Duration::from_millis(50));
    clock.advance(wait);
    assert_eq!(limiter.take(KEY), Ok(()));
    assert!(limiter.take(KEY).is_err());
}

#[test]
fn a_key_that_is_not_known_says_and_hears_nothing() {
    let clock = Arc::new(ManualClock::default());
    let limiter = KeyedLimiter::new(RATE, BURST, 8, clock);
    assert_eq!(limiter.say(KEY, 1), 0);
    limiter.unsay(KEY, 1, 5);
    limiter.hear(KEY, 1, 1_000);
    assert_eq!(limiter.keys(), 0);
}

#[test]
fn what_could_not_be_said_is_kept_for_the_next_time() {
    let clock = Arc::new(ManualClock::default());
    let limiter = KeyedLimiter::new(RATE, BURST, 8, clock);
    (0..3).for_each(|_| assert!(limiter.take(KEY).is_ok()));
    assert_eq!(limiter.say(KEY, 1), 3);
    limiter.unsay(KEY, 1, 3);
    assert_eq!((limiter.say(KEY, 1), limiter.say(KEY, 1)), (3, 0));
}

#[test]
fn a_reserve_is_for_those_who_may_take_it_all() {
    let clock = Arc::new(ManualClock::default());
    let limiter = Limiter::new(10.0, 20.0, clock.clone());
    let ordinary = || {
        (0..100)
            .filter(|_| limiter.take_leaving(5.0).is_ok())
            .count()
    };
    let vip = || (0..100).filter(|_| limiter.take().is_ok()).count();
    assert_eq!((ordinary(), vip()), (15, 5));
    assert_eq!(limiter.take_leaving(5.0), Err(Duration::from_millis(600)));
    clock.advance(Duration::from_millis(600));
    assert_eq!((ordinary(), vip()), (1, 5));
    // More than there is room for leaves the last token to everybody.
    clock.advance(Duration::from_secs(60));
    assert_eq!(limiter.take_leaving(1e9), Ok(()));
    assert!(limiter.take_leaving(1e9).is_err());
    assert_eq!(limiter.take_leaving(-5.0), Ok(()));

    let keyed = KeyedLimiter::new(10.0, 20.0, 8, clock);
    let passed = |reserve| {
        (0..100)
            .filter(|_| keyed.take_leaving(3, reserve).is_ok())
            .count()
    };
    assert_eq!((passed(5.0), passed(0.0)), (15, 5));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn over_admission_stays_within_its_bound(
        processes in 1_usize..6,
        every_ms in 50_u64..3_000,
        asks in prop::collection::vec((0_usize..6, 0_u64..30), 200..1_500),
    ) {
        let mut fleet = Fleet::of(processes);
        let mut now_ms = 0;
        let mut last = vec![0; processes];
        for (process, pause) in asks {
            let process = process % processes;
            fleet.ask(process);
            // On the way of the request that finds its last exchange too old, as a miss does.
            if now_ms - last[process] >= every_ms {
                fleet.exchange(process);
                last[process] = now_ms;
            }
            fleet.clock.advance(Duration::from_millis(pause));
            now_ms += pause;
        }
        let span = |ms: u64| ms as f64 / 1e3;
        let each = BURST + RATE * span(every_ms);
        let bound = RATE * span(now_ms) + BURST + 2.0 * (processes as f64 - 1.0) * each;
        prop_assert!(f64::from(fleet.admitted) <= bound, "{} of {bound}", fleet.admitted);
    }
}
