//! Limits at their three levels, by themselves; over HTTP see `tests/limits.rs`.

use std::sync::atomic::{AtomicBool, Ordering};

use guard::{ConcurrencyTuning, ManualClock};

use super::*;

struct Desk {
    limits: Limits,
    tuning: Arc<Tuning>,
    alone: Arc<AtomicBool>,
    clock: Arc<ManualClock>,
}

fn desk(interface: f64, region: f64, user: f64) -> Desk {
    let rate = |burst| Rate {
        per_second: 0.5,
        burst,
    };
    let guard = GuardTuning {
        limits: Rates {
            interface: rate(interface),
            region: rate(region),
            user: rate(user),
            vip_share: 0.0,
            ..Rates::default()
        },
        ..GuardTuning::default()
    };
    let tuning = Arc::new(Tuning {
        guard,
        ..Tuning::default()
    });
    let clock = Arc::new(ManualClock::starting_at(1_700_000_000_000));
    let shared: Arc<dyn Clock> = clock.clone();
    let user = tuning.guard.limits.user;
    let user = KeyedLimiter::new(user.per_second, user.burst, 100, clock.clone());
    let alone = Arc::new(AtomicBool::new(false));
    let is_alone = Arc::clone(&alone);
    let is_alone = Box::new(move || is_alone.load(Ordering::Relaxed));
    let limits = Limits::of(&tuning, Arc::new(user), is_alone, &shared);
    Desk {
        limits,
        tuning,
        alone,
        clock,
    }
}

impl Desk {
    /// A changed document, in force at once.
    fn guard(&mut self) -> &mut GuardTuning {
        &mut Arc::make_mut(&mut self.tuning).guard
    }

    fn take(&self, user: &str) -> Result<(), &'static str> {
        self.take_from(7, user)
    }

    fn take_from(&self, network: u64, user: &str) -> Result<(), &'static str> {
        let (network, user) = (Some(Prefix(network)), UserId::parse(user).unwrap());
        let taken = self
            .limits
            .take(self.clock.now(), &self.tuning, network, Some(&user));
        taken.map_err(|problem| problem.code())
    }

    fn passed(&self, user: &str) -> usize {
        (0..100).filter(|_| self.take(user).is_ok()).count()
    }
}

#[test]
fn the_narrowest_limit_that_is_empty_answers_with_its_wait() {
    let desk = desk(3.0, 2.0, 1.0);
    assert_eq!(desk.take("a"), Ok(()));
    assert_eq!(desk.take("a"), Err("user_limit"));
    assert_eq!(desk.take("b"), Ok(()));
    assert_eq!(desk.take("c"), Err("region_limit"));
    let elsewhere = || desk.take_from(8, "d");
    assert_eq!((elsewhere(), elsewhere()), (Ok(()), Err("user_limit")));
    assert_eq!(desk.take_from(8, "e"), Err("interface_limit"));
}

#[test]
fn a_refused_request_costs_nobody_elses_bucket() {
    let desk = desk(9.0, 4.0, 3.0);
    assert_eq!(desk.passed("a"), 3, "then 97 are refused");
    assert_eq!(desk.passed("b"), 1, "what is left to their network");
    let rest = |n: u64| desk.take_from(n, &format!("u{n}")).is_ok();
    assert_eq!((10..30).filter(|n| rest(*n)).count(), 5, "of everybody's");
}

#[test]
fn what_a_wider_limit_refuses_does_not_count_as_the_users_or_their_networks() {
    let desk = desk(1.0, 3.0, 2.0);
    assert_eq!(desk.take_from(8, "x"), Ok(()));
    for _ in 0..5 {
        assert_eq!(desk.take("a"), Err("interface_limit"));
    }
    let hash = UserState::user_hash(&UserId::parse("a").unwrap());
    assert_eq!(desk.limits.user.say(hash, 0), 0, "told to other processes");
}

#[test]
fn changed_rates_hold_for_the_next_request() {
    let mut desk = desk(9.0, 9.0, 9.0);
    desk.guard().limits.interface.burst = 1.0;
    let take = || desk.limits.take(desk.clock.now(), &desk.tuning, None, None);
    assert!(take().is_ok());
    let refused = take().unwrap_err();
    assert_eq!(
        (refused.status().as_u16(), refused.code()),
        (429, "interface_limit")
    );
}

#[test]
fn a_document_is_looked_into_once_and_not_by_every_request() {
    let mut desk = desk(99.0, 99.0, 99.0);
    let in_force = |desk: &Desk| desk.limits.applied.load_full();
    let at_first = in_force(&desk);
    for user in ["a", "b"] {
        assert_eq!(desk.take(user), Ok(()));
        assert!(Arc::ptr_eq(&in_force(&desk), &at_first));
    }
    desk.alone.store(true, Ordering::Relaxed);
    assert_eq!(desk.take("a"), Ok(()));
    let alone = in_force(&desk);
    assert!(!Arc::ptr_eq(&alone, &at_first) && alone.alone);
    desk.guard().limits.vip = vec!["vip".into()];
    assert_eq!(desk.take("a"), Ok(()));
    assert_eq!(in_force(&desk).vip.len(), 1);
}

#[test]
fn without_the_others_a_share_of_the_limit_is_admitted_neither_nothing_nor_everything() {
    let mut desk = desk(1_000.0, 1_000.0, 10.0);
    desk.guard().limits.user_share_alone = 0.3;
    desk.alone.store(true, Ordering::Relaxed);
    assert_eq!((desk.passed("a"), desk.passed("b")), (3, 3));
    desk.alone.store(false, Ordering::Relaxed);
    assert_eq!(desk.passed("a"), 0, "no new burst");
    assert_eq!(desk.passed("c"), 10);
    desk.clock.advance(Duration::from_secs(20));
    assert_eq!(desk.passed("a"), 10);
}

#[test]
fn a_share_of_the_wider_limits_is_kept_for_those_who_are_named() {
    let mut desk = desk(1_000.0, 20.0, 100.0);
    desk.guard().limits.vip_share = 0.25;
    desk.guard().limits.vip = vec!["vip".into(), "not an id!".into()];
    assert_eq!((desk.passed("a"), desk.passed("b")), (15, 0));
    assert_eq!(desk.passed("vip"), 5);
}

#[tokio::test(start_paused = true)]
async fn more_than_may_be_at_work_is_refused_at_once_and_a_changed_limit_holds() {
    let mut desk = desk(9.0, 9.0, 9.0);
    let deadline = Deadline::after(desk.clock.clone(), Duration::from_secs(1));
    desk.guard().concurrency = ConcurrencyTuning {
        limit: 1,
        ..ConcurrencyTuning::default()
    };
    let at_work = desk
        .limits
        .enter(&desk.tuning.guard, &deadline)
        .await
        .unwrap();
    let refused = desk.limits.enter(&desk.tuning.guard, &deadline).await;
    let refused = refused.err().unwrap();
    assert_eq!(
        (refused.status().as_u16(), refused.code()),
        (503, "overloaded")
    );
    Arc::make_mut(&mut desk.tuning).guard.concurrency.limit = 2;
    assert!(
        desk.limits
            .enter(&desk.tuning.guard, &deadline)
            .await
            .is_ok()
    );
    at_work.done();
}
