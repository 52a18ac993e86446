//! Trees, and who is better: what a position adds, what a duel can tell, what growing promises.

use engine::ranker::chance;
use learn::train::{POSITION_UNKNOWN, Rows, TrainOptions, duel, grow, judge};
use proptest::prelude::*;

use super::mixed;

/// Rows whose answer depends on the first feature and on the first place, which the better ones
/// have more often. In odds, the feature is worth 1.4 and the place 1.2.
fn rows(count: usize, told: bool) -> Rows {
    let mut rows = Rows::default();
    for n in 0..count as u64 {
        let value = mixed(n) % 100;
        let first = mixed(n + 7_000_000) % 100 < if value > 50 { 60 } else { 10 };
        let mut vector = [f32::NAN; engine::feature::COUNT];
        vector[0] = value as f32;
        let odds = -1.4 + 1.4 * f32::from(u8::from(value > 50)) + 1.2 * f32::from(u8::from(first));
        let draw = (mixed(n + 9_000_000) % 10_000) as f32 / 10_000.0;
        let right = draw < chance(odds);
        rows.vectors.push(vector);
        rows.right.push(right);
        rows.clicked.push(right);
        rows.positions.push(if told {
            u16::from(!first)
        } else {
            POSITION_UNKNOWN
        });
        rows.users.push((n / 20) as u32);
        rows.items.push(0);
    }
    rows
}

#[test]
fn what_a_position_adds_is_not_learned_as_the_videos_own() {
    let worth = |rows: &Rows| {
        let forest = grow(rows, None, 150, &TrainOptions::default()).unwrap();
        let mut low = [f32::NAN; engine::feature::COUNT];
        let mut high = low;
        (low[0], high[0]) = (10.0, 90.0);
        let mut odds = Vec::new();
        forest.odds(&[low, high], &mut odds);
        odds[1] - odds[0]
    };
    let (told, untold) = (worth(&rows(20_000, true)), worth(&rows(20_000, false)));
    assert!((1.1..1.65).contains(&told), "{told}");
    assert!(untold > told + 0.3, "{untold} against {told}");
}

#[test]
fn a_duel_knows_who_is_better_and_when_it_cannot_tell() {
    let rows = rows(4_000, false);
    let good: Vec<f32> = rows.vectors.iter().map(|v| v[0].max(0.0)).collect();
    let noise: Vec<f32> = (0..rows.len() as u64).map(|n| mixed(n) as f32).collect();
    let won = duel(&rows, &good, &noise, 1);
    assert!(
        won.auc.low > 0.0 && won.gauc.low > 0.0 && !won.is_lost(),
        "{won:?}"
    );
    assert!(duel(&rows, &noise, &good, 1).is_lost());
    let same = duel(&rows, &good, &good, 1);
    assert_eq!((same.auc.low, same.auc.high), (0.0, 0.0));
    let auc = |marks: &[f32]| judge(&rows, marks).unwrap().auc;
    assert!((won.auc.mean - (auc(&good) - auc(&noise))).abs() < 1e-9);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_forest_is_sound_whatever_it_is_grown_on(
        values in proptest::collection::vec((any::<f32>(), any::<bool>(), 0u16..40), 2..200),
        depth in 1usize..5,
    ) {
        let mut rows = Rows::default();
        for (n, (value, right, position)) in values.iter().enumerate() {
            let mut vector = [*value; engine::feature::COUNT];
            vector[1] = n as f32;
            rows.vectors.push(vector);
            rows.right.push(*right);
            rows.clicked.push(*right);
            rows.positions.push(*position);
            rows.users.push(n as u32);
            rows.items.push(0);
        }
        let options = TrainOptions { depth, child_weight_min: 0.1, ..TrainOptions::default() };
        let one = grow(&rows, None, 5, &options);
        let mixed = rows.right.contains(&true) && rows.right.contains(&false);
        prop_assert_eq!(one.is_some(), mixed);
        if let Some(forest) = one {
            let mut odds = Vec::new();
            forest.odds(&rows.vectors, &mut odds);
            prop_assert!(odds.iter().all(|odds| odds.is_finite()));
        }
    }
}
