use super::*;

#[test]
fn of_a_part_of_a_history_each_videos_last_liking_in_it_counts() {
    let user = Reader {
        id: UserId::parse("u").unwrap(),
        impressions: 0,
        long_views: 0,
        start: 0,
        end: 0,
    };
    let liked = [(1, 10), (2, 20), (1, 30), (3, 40)].map(|(item, ts_ms)| Liked {
        item,
        market: 0,
        ts_ms,
        watched: 1.0,
        last: false,
    });
    let mut history = History::default();
    history.push(&user, &liked);
    let part = history.liked(&history.users[0])[..2].to_vec();
    history.push(&user, &part);
    let told = |user: &Reader| -> Vec<(u32, i64)> {
        let newest_first = history.distinct(user);
        newest_first.map(|one| (one.item, one.ts_ms)).collect()
    };
    assert_eq!(told(&history.users[0]), [(3, 40), (1, 30), (2, 20)]);
    assert_eq!(told(&history.users[1]), [(2, 20), (1, 10)]);
}
