//! What RELIABILITY.md promises of the limiter, with its numbers, and a model.

use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::ManualClock;

const MS: Duration = Duration::from_millis(1);

fn limiter(rate: f64, burst: f64) -> (Limiter, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::starting_at(1_700_000_000_000));
    (Limiter::new(rate, burst, clock.clone()), clock)
}

/// Offers once every millisecond and returns how many pass.
fn offer_every_ms(limiter: &Limiter, clock: &ManualClock, ms: u32) -> u32 {
    let mut passed = 0;
    for _ in 0..ms {
        passed += u32::from(limiter.take().is_ok());
        clock.advance(MS);
    }
    passed
}

#[test]
fn of_sixty_at_once_fifty_pass_and_a_refusal_names_five_milliseconds() {
    let (limiter, _) = limiter(200.0, 50.0);
    let answers: Vec<_> = (0..60).map(|_| limiter.take()).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 50);
    assert_eq!(answers.last(), Some(&Err(5 * MS)));
}

#[test]
fn a_thousand_a_second_for_ten_seconds_pass_at_the_rate_plus_the_burst() {
    let (limiter, clock) = limiter(200.0, 50.0);
    let passed = offer_every_ms(&limiter, &clock, 10_000);
    assert!((2_049..=2_051).contains(&passed), "{passed}");
}

#[test]
fn a_change_while_empty_brings_no_new_burst() {
    let (limiter, clock) = limiter(200.0, 50.0);
    let mut passed = 0;
    let mut allowed = 50.0;
    for (rate, burst) in [(200.0, 50.0), (100.0, 100.0), (400.0, 400.0)] {
        limiter.reconfigure(rate, burst);
        let at_once = (0..200).filter(|_| limiter.take().is_ok()).count();
        assert!(
            passed == 0 || at_once <= 1,
            "{at_once} passed at once after a change"
        );
        passed += u32::try_from(at_once).unwrap() + offer_every_ms(&limiter, &clock, 1_000);
        allowed += rate;
        assert!(
            f64::from(passed) <= allowed,
            "{passed} passed, {allowed} allowed"
        );
    }
    assert!(
        f64::from(passed) >= allowed - 3.0,
        "{passed} passed, {allowed} allowed"
    );
}

#[test]
fn a_smaller_burst_takes_what_is_above_it() {
    let (limiter, _) = limiter(1.0, 50.0);
    limiter.reconfigure(1.0, 5.0);
    limiter.reconfigure(1.0, 50.0);
    assert_eq!((0..60).filter(|_| limiter.take().is_ok()).count(), 5);
}

#[test]
fn a_clock_that_steps_back_gives_nothing_also_not_on_its_way_forward_again() {
    #[derive(Debug)]
    struct Any(Mutex<Now>);
    impl Clock for Any {
        fn now(&self) -> Now {
            *self.0.lock().unwrap()
        }
    }
    let at = |s: u64| Now {
        mono: Duration::from_secs(s),
        wall_ms: s as i64 * 1_000,
    };
    let clock = Arc::new(Any(Mutex::new(at(1_000))));
    let limiter = Limiter::new(10.0, 20.0, clock.clone());
    let take_all = |s| {
        *clock.0.lock().unwrap() = at(s);
        (0..100).filter(|_| limiter.take().is_ok()).count()
    };
    for (s, expected) in [
        (1_000, 20),
        (900, 0),
        (1_000, 0),
        (1, 0),
        (1_000, 0),
        (1_001, 10),
    ] {
        assert_eq!(take_all(s), expected, "at {s} s");
    }
}

#[test]
fn a_freeze_is_time() {
    let (limiter, clock) = limiter(10.0, 20.0);
    while limiter.take().is_ok() {}
    clock.step_wall_ms(600_000);
    assert_eq!((0..100).filter(|_| limiter.take().is_ok()).count(), 20);
}

#[test]
fn a_wall_clock_set_forward_is_taken_for_a_freeze_once_and_one_that_is_slewed_is_not() {
    let (limiter, clock) = limiter(10.0, 20.0);
    let passed = |by_ms| {
        clock.step_wall_ms(by_ms);
        (0..100).filter(|_| limiter.take().is_ok()).count()
    };
    assert_eq!(passed(0), 20);
    assert_eq!(passed(900), 0, "slewed");
    assert_eq!(passed(1_500), 15, "as in a freeze of that time");
    assert_eq!(passed(3_600_000), 20, "a burst, whatever it is set by");
    assert_eq!(passed(-3_600_000), 0);
    assert_eq!(passed(3_600_000), 0, "not a second time");
}

#[test]
fn values_no_arithmetic_can_bear_are_cut_to_the_bounds() {
    for (rate, burst) in [
        (f64::NAN, f64::NAN),
        (-1.0, -1.0),
        (0.0, 0.0),
        (f64::INFINITY, 0.5),
    ] {
        let (limiter, _) = limiter(rate, burst);
        assert_eq!(limiter.take(), Ok(()));
        let wait = limiter.take().unwrap_err();
        assert!(
            wait > Duration::ZERO && wait <= Duration::from_secs(100),
            "{wait:?}"
        );
    }
}

fn keyed(rate: f64, burst: f64, keys_max: usize) -> (KeyedLimiter, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::starting_at(1_700_000_000_000));
    (
        KeyedLimiter::new(rate, burst, keys_max, clock.clone()),
        clock,
    )
}

#[test]
fn keys_do_not_share_tokens() {
    let (limiter, _) = keyed(20.0, 40.0, 1_000);
    for key in 0..100 {
        assert_eq!(
            (0..60).filter(|_| limiter.take(key).is_ok()).count(),
            40,
            "key {key}"
        );
        assert_eq!(limiter.take(key), Err(50 * MS));
    }
}

#[test]
fn what_is_put_back_can_be_taken_again_and_no_more() {
    let (one, _) = limiter(1.0, 2.0);
    let (many, _) = keyed(1.0, 2.0, 8);
    assert!(one.take().is_ok() && many.take(7).is_ok());
    for _ in 0..3 {
        one.put_back();
        many.put_back(7);
    }
    assert_eq!((0..9).filter(|_| one.take().is_ok()).count(), 2);
    assert_eq!((0..9).filter(|_| many.take(7).is_ok()).count(), 2);
}

#[test]
fn other_processes_do_not_hear_of_what_was_put_back() {
    let (limiter, _) = keyed(20.0, 40.0, 8);
    for _ in 0..3 {
        assert!(limiter.take(7).is_ok());
    }
    limiter.put_back(7);
    assert_eq!(limiter.say(7, 1), 2);
}

#[test]
fn the_table_is_bounded_whatever_asks() {
    let (limiter, _) = keyed(20.0, 40.0, 1_000);
    for key in 0..100_000 {
        let _ = limiter.take(key);
    }
    assert_eq!(limiter.keys(), 1_000);
}

#[test]
fn a_crowd_of_new_keys_displaces_each_other_and_not_the_one_that_is_limited() {
    let (limiter, _) = keyed(20.0, 40.0, 8);
    while limiter.take(7).is_ok() {}
    for key in 100..10_000 {
        assert!(limiter.take(key).is_ok());
    }
    assert!(limiter.take(7).is_err());
}

#[test]
fn a_change_of_the_rate_reaches_every_key_and_gives_none_a_burst() {
    let (limiter, clock) = keyed(20.0, 40.0, 64);
    for key in 0..64 {
        while limiter.take(key).is_ok() {}
    }
    clock.advance(Duration::from_secs(1));
    limiter.reconfigure(1.0, 100.0);
    for key in 0..64 {
        assert_eq!(
            (0..200).filter(|_| limiter.take(key).is_ok()).count(),
            20,
            "key {key}"
        );
    }
}

/// A bucket in whole numbers: a token is 10⁹ units, and a nanosecond at 1/s brings one.
struct Reference {
    rate: u64,
    burst: u64,
    units: u64,
}

const TOKEN: u64 = 1_000_000_000;

impl Reference {
    fn advance(&mut self, ms: u64) {
        self.units = (self.units + ms * 1_000_000 * self.rate).min(self.burst * TOKEN);
    }

    fn take(&mut self) -> Result<(), Duration> {
        if self.units >= TOKEN {
            self.units -= TOKEN;
            Ok(())
        } else {
            Err(Duration::from_nanos(
                (TOKEN - self.units).div_ceil(self.rate),
            ))
        }
    }

    fn reconfigure(&mut self, rate: u64, burst: u64) {
        (self.rate, self.burst) = (rate, burst);
        self.advance(0);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Take(u8),
    AdvanceMs(u64),
    FreezeMs(u64),
    Reconfigure(u64, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1_u8..20).prop_map(Step::Take),
        6 => (0_u64..100).prop_map(Step::AdvanceMs),
        1 => (2_000_u64..5_000).prop_map(Step::FreezeMs),
        1 => (1_u64..1_000, 1_u64..100).prop_map(|(rate, burst)| Step::Reconfigure(rate, burst)),
    ];
    prop::collection::vec(step, 1..100)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn it_does_what_a_bucket_of_whole_numbers_does(
        rate in 1_u64..1_000,
        burst in 1_u64..100,
        steps in steps(),
    ) {
        let (limiter, clock) = limiter(rate as f64, burst as f64);
        let (table, table_clock) = keyed(rate as f64, burst as f64, 8);
        let mut reference = Reference { rate, burst, units: burst * TOKEN };
        // A key that nobody has seen starts with the burst of that moment.
        let first = (limiter.take(), table.take(1), reference.take());
        prop_assert_eq!(first, (Ok(()), Ok(()), Ok(())));
        for step in steps {
            match step {
                Step::Take(times) => for _ in 0..times {
                    let (ours, keyed, theirs) = (limiter.take(), table.take(1), reference.take());
                    prop_assert_eq!(ours, keyed);
                    prop_assert_eq!(ours.is_ok(), theirs.is_ok());
                    if let (Err(ours), Err(theirs)) = (ours, theirs) {
                        prop_assert!(ours.abs_diff(theirs) <= Duration::from_micros(1));
                    }
                },
                Step::AdvanceMs(ms) => {
                    clock.advance(Duration::from_millis(ms));
                    table_clock.advance(Duration::from_millis(ms));
                    reference.advance(ms);
                }
                Step::FreezeMs(ms) => {
                    clock.step_wall_ms(ms.try_into().expect("small"));
                    table_clock.step_wall_ms(ms.try_into().expect("small"));
                    reference.advance(ms);
                }
                Step::Reconfigure(rate, burst) => {
                    limiter.reconfigure(rate as f64, burst as f64);
                    table.reconfigure(rate as f64, burst as f64);
                    reference.reconfigure(rate, burst);
                }
            }
        }
    }

    #[test]
    fn waiting_as_long_as_a_refusal_says_is_enough(rate in 0.01_f64..1e6, used in 0_u32..50) {
        let (limiter, clock) = limiter(rate, 20.0);
        for _ in 0..used {
            let _ = limiter.take();
        }
        while let Ok(()) = limiter.take() {}
        let wait = limiter.take().unwrap_err();
        clock.advance(wait);
        prop_assert_eq!(limiter.take(), Ok(()));
    }
}
