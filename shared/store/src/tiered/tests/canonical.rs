//! Questions that name what there is not.

use super::shared::Fleet;
use super::*;

/// Fifty questions that differ in what the index knows nothing of.
fn made_up(change: impl Fn(&mut Ask, String)) -> Vec<Ask> {
    let one = |number: usize| {
        let mut ask = anyone();
        change(&mut ask, format!("made-up-{number}"));
        ask
    };
    (0..50).map(one).collect()
}

#[tokio::test(start_paused = true)]
async fn a_scene_market_or_cohort_that_there_is_not_is_no_slate_of_its_own() {
    let world = World::new().await;
    let process = world.process(None).await;
    let plain = process.ask(anyone(), &world).await;
    let cohorts = (1_000..1_050).map(|number| anyone().for_whom(Who::Cohort(Cohort::new(number))));
    let asks = made_up(|ask, name| ask.scene = name.into())
        .into_iter()
        .chain(made_up(|ask, name| ask.market = name.into()))
        .chain(cohorts);
    for ask in asks {
        let answer = process.ask(ask.clone(), &world).await;
        assert_eq!(answer.slate.slate_id, plain.slate.slate_id, "{ask:?}");
    }
    assert_eq!(process.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_tuned_or_known_to_the_index_keeps_its_own_key() {
    let document = r#"{"engine":{"scenes":{"home":{},"next":{}}}}"#;
    let world = World::new().await;
    let process = world.process_tuned(None, document).await;
    let tuning = process.tiered.inner.tuning.snapshot();
    let next = Ask {
        scene: "next".into(),
        categories: vec!["nobody".into()],
        ..anyone().for_whom(Who::Cohort(Cohort::new(0)))
    };
    assert_eq!(process.tiered.canonical(next.clone(), &tuning), next);
    let empty = World::without_index().process(None).await;
    let odd = Ask {
        market: "XX".into(),
        ..next
    };
    assert_eq!(empty.tiered.canonical(odd.clone(), &tuning), odd);
}

#[tokio::test]
async fn what_is_made_for_what_nobody_knows_stays_here_and_briefly() {
    let fleet = Fleet::new().await;
    let process = fleet.process().await;
    let unknown = [
        made_up(|ask, name| ask.kind = Kind::Similar(name.parse().unwrap())),
        made_up(|ask, name| ask.categories = vec![name.into()]),
        made_up(|ask, name| ask.categories = vec!["c1".into(), name.into()]),
    ];
    for ask in unknown.concat() {
        process.ask(ask, &fleet.world).await;
    }
    process.settle().await;
    assert_eq!(fleet.keys().await, Vec::<String>::new());
    let again = unknown[1][0].clone();
    let held = process.tiered.inner.local.get(again.key()).unwrap();
    assert_eq!(held.life.hard, Duration::from_secs(5));
    assert_eq!(
        process.ask(again, &fleet.world).await.outcome,
        TierOutcome::LocalHit
    );
    let known = Ask {
        categories: vec!["c1".into()],
        ..Ask::new(Who::Anyone, Kind::Similar(v(1)))
    };
    process.ask(known, &fleet.world).await;
    process.settle().await;
    assert_eq!(fleet.keys().await.len(), 1);
}
