use std::fs;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use engine::{EventKind, VideoId};
use parquet::arrow::ArrowWriter;

use super::progress::Lines;
use super::*;
use world::World;

mod world;

#[tokio::test]
async fn kuairand_becomes_a_catalogue_a_history_and_what_happened() {
    let world = World::new();
    world.kuairand();
    let report = world.import("--preset kuairand {}").await.unwrap();
    let counts = (
        report.rows,
        report.events,
        report.videos,
        report.users,
        report.bad,
    );
    assert_eq!(counts, (7, 9, 2, Some(2), 0));
    assert_eq!(report.rejected, None);
    let told = [
        "1 watch 5 1650736800000",
        "1 watch 7 1650758400000",
        "2 watch 5 1650758400000",
        "1 impression 5 1650812741436",
        "1 click 5 1650812741436",
        "1 watch 5 1650812741436",
        "1 share 5 1650812741436",
        "2 impression 7 1650985541436",
        "2 hide 7 1650985541436",
    ];
    assert_eq!(world.told().await, told);
    let events = world.events().await;
    assert!(
        events[0].is_long_view(engine::event::LONG_VIEW_MS),
        "history is of long views"
    );
    let watch = &events[5];
    assert_eq!(
        (watch.watch_ms, watch.duration_ms),
        (Some(61_802), Some(49_866))
    );
    assert_eq!(watch.scene, "tab_1");

    let videos = world.videos().await;
    let video = &videos["5"];
    assert_eq!(video.categories, ["20", "43"]);
    assert_eq!(video.tags, ["music-9148581891"]);
    assert_eq!(video.creator.as_ref().unwrap().as_str(), "8367059");
    assert_eq!(
        (video.duration_ms, video.published_at),
        (358_016, 1_649_548_800_000)
    );
    assert!(!video.hidden && videos["7"].hidden && videos["7"].tags.is_empty());
}

#[tokio::test]
async fn importing_again_changes_nothing() {
    let world = World::new();
    world.kuairand();
    world.import("--preset kuairand {}").await.unwrap();
    let list = || async {
        world
            .stores
            .objects
            .list("lake/", &world.deadline())
            .await
            .unwrap()
    };
    let (objects, told) = (list().await, world.told().await);
    assert_eq!(objects.len(), 3, "one object for each day");
    world.import("--preset kuairand {}").await.unwrap();
    assert_eq!(list().await, objects);
    // The same rows in another file are other objects and the same events.
    let rows = fs::read_to_string(world.folder.path().join("impressions_0425_0430.tsv")).unwrap();
    world.file("impressions_more.tsv", &rows);
    world.import("--preset kuairand {}").await.unwrap();
    assert!(list().await.len() > objects.len());
    assert_eq!(world.told().await, told);
}

#[tokio::test]
async fn too_many_malformed_rows_stop_the_import_before_anything_is_touched() {
    let world = World::new();
    let rows: String = (0..99)
        .map(|n| format!("u{n}\tv\t{}\n", 1_600_000_000 + n))
        .collect();
    let head = "SessionId\tItemId\tTime\n";
    world.file("one.txt", &format!("{head}{rows}u\tv\tnever\n"));
    world.file(
        "two.txt",
        &format!("{head}{rows}u\tv\tnever\nu v\tv\t1600000000\n"),
    );

    let refused = world
        .import("--preset sessions {}/one.txt {}/two.txt")
        .await
        .unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.contains("2 of 101 rows of two.txt are malformed"),
        "{refused}"
    );
    assert!(world.told().await.is_empty() && world.videos().await.is_empty());
    assert_eq!(
        recover(&world.data(), &world.stores).await.unwrap(),
        Recovered::default()
    );
    let rejected = fs::read_to_string(world.data().join("import.rejected.tsv")).unwrap();
    let expected = "file\trow\treason\tcontent\n\
        one.txt\t101\tTime: not a time from 1970 on\tu\tv\tnever\n\
        two.txt\t101\tTime: not a time from 1970 on\tu\tv\tnever\n\
        two.txt\t102\tSessionId: an id is 1 to 64 of the characters A-Z a-z 0-9 _ -\t\
        u v\tv\t1600000000\n";
    assert_eq!(rejected, expected);

    let report = world.import("--preset sessions {}/one.txt").await.unwrap();
    assert_eq!((report.events, report.bad), (99, 1));
    assert!(report.rejected.is_some());
    let report = world
        .import("--preset sessions {}/one.txt {}/two.txt --max-bad 0.02")
        .await;
    assert_eq!(report.unwrap().bad, 3);
}

#[tokio::test]
async fn what_has_not_happened_yet_is_malformed() {
    let world = World::new();
    let text = "SessionId\tItemId\tTime\nu\tv\t4000000000\nu\tv\t1600000000\n";
    world.file("one.txt", text);
    let report = world
        .import("--preset sessions {}/one.txt --max-bad 0.5")
        .await
        .unwrap();
    assert_eq!((report.events, report.bad), (1, 1));
}

#[tokio::test]
async fn what_was_ready_is_finished_and_what_was_not_is_forgotten() {
    let world = World::new();
    world.kuairand();
    let import = world.plan("--preset kuairand {}").unwrap();
    let progress = Box::new(Lines::new(std::io::sink()));
    // The process dies right after the import was decided …
    drop(import.stage(&world.data(), i64::MAX, progress).unwrap());
    // … and another one had died while reading.
    let unready = world.data().join("import/0123456789abcdef");
    fs::create_dir_all(&unready).unwrap();
    fs::write(unready.join("videos.jsonl"), "{\"id\":\"half").unwrap();
    assert!(world.told().await.is_empty() && world.videos().await.is_empty());

    let recovered = recover(&world.data(), &world.stores).await.unwrap();
    assert_eq!(
        recovered,
        Recovered {
            finished: 1,
            forgotten: 1
        }
    );
    assert_eq!(
        (world.told().await.len(), world.videos().await.len()),
        (9, 2)
    );
    let again = recover(&world.data(), &world.stores).await.unwrap();
    assert_eq!(again, Recovered::default());
}

#[tokio::test]
async fn film_ratings_say_what_was_watched_and_liked() {
    let world = World::new();
    world.file(
        "movies.dat",
        "0002844::Fantômas (1971)::Crime|Drama\n1::Untitled::\n",
    );
    world.file(
        "ratings.dat",
        "1::0002844::5::100\n1::1::6::200\n2::1::8::300\n",
    );
    world.import("--preset movietweetings {}").await.unwrap();
    let told = [
        "1 skip 0002844 100000",
        "1 watch 1 200000",
        "2 watch 1 300000",
        "2 like 1 300000",
    ];
    assert_eq!(world.told().await, told);
    let film = &world.videos().await["0002844"];
    assert_eq!(
        (film.title.as_str(), film.published_at),
        ("Fantômas (1971)", 365 * 86_400_000)
    );
    assert_eq!(film.categories, ["Crime", "Drama"]);

    let other = World::new();
    other.file(
        "movies.csv",
        "movieId,title,genres\n1,\"American, The (1995)\",(no genres listed)\n",
    );
    other.file(
        "ratings.csv",
        "userId,movieId,rating,timestamp\n1,1,4.0,300\n1,1,2.5,400\n",
    );
    other.import("--preset movielens {}").await.unwrap();
    assert_eq!(
        other.told().await,
        ["1 watch 1 300000", "1 like 1 300000", "1 skip 1 400000"]
    );
    assert_eq!(other.videos().await["1"].title, "American, The (1995)");
}

#[tokio::test]
async fn gorse_exports_are_read() {
    let world = World::new();
    world.file(
        "items.csv",
        "ItemId,IsHidden,Categories,Timestamp,Labels,Comment\n\
         v1,false,a|b,2022-04-10 00:00:00 +0000 UTC,x|y,A title\n",
    );
    world.file(
        "feedback.csv",
        "FeedbackType,UserId,ItemId,Timestamp\nread,u,v1,1970-01-01T00:00:01Z\nstar,u,v1,2\n",
    );
    world.import("--preset gorse {}").await.unwrap();
    assert_eq!(
        world.told().await,
        ["u impression v1 1000", "u like v1 2000"]
    );
    let video = &world.videos().await["v1"];
    assert_eq!(
        (
            video.title.as_str(),
            video.categories.len(),
            video.tags.len()
        ),
        ("A title", 2, 2)
    );
}

#[tokio::test]
async fn files_of_any_shape_are_read_by_naming_their_columns() {
    let world = World::new();
    world.file(
        "e.csv",
        "who,what,at,did,secs\nu,v,1,Like,\nu,v,2,watch,1.5\n",
    );
    world.file(
        "v.jsonl",
        "{\"v\":\"v\",\"name\":\"N\",\"topics\":[\"a\",\"b\"],\"len\":2.5}\n",
    );
    let arguments = "{}/e.csv --map user_id=who,video_id=what,ts=at,kind=did,watch_s=secs \
                     --videos {}/v.jsonl --map-videos id=v,title=name,categories=topics,duration_s=len";
    world.import(arguments).await.unwrap();
    assert_eq!(world.told().await, ["u like v 1000", "u watch v 2000"]);
    assert_eq!(world.events().await[1].watch_ms, Some(1_500));
    let video = &world.videos().await["v"];
    assert_eq!((video.title.as_str(), video.duration_ms), ("N", 2_500));
    assert_eq!(video.categories, ["a", "b"]);

    let other = World::new();
    other.file("e.tsv", "who\twhat\nu\tv\nu\tw\n");
    other
        .import("{}/e.tsv --map user_id=who,video_id=what,kind=click")
        .await
        .unwrap();
    assert_eq!(
        other.told().await,
        ["u click v 1577836800000", "u click w 1577836801000"]
    );
}

#[test]
fn what_cannot_be_planned_is_said_before_anything_is_read() {
    let world = World::new();
    world.file("e.csv", "who,what\nu,v\n");
    world.file("e.doc", "");
    let cases = [
        ("--preset kuairand {}", "no impressions_*.tsv"),
        ("--preset kuairand {}/none", "not a folder"),
        ("--preset sessions {}/none.txt", "is not there"),
        ("--preset movietweetings {}", "has no movies.dat"),
        ("{}/e.csv", "which column is user_id"),
        (
            "{}/e.csv --map user_id=who,video_id=item",
            "has no column item; it has: who, what",
        ),
        (
            "{}/e.csv --map user_id=who,size=what",
            "`size=what`: the fields are",
        ),
        (
            "{}/e.csv --map user_id=who,video_id=what --kind dance",
            "--kind is one of impression",
        ),
        (
            "{}/e.doc --map user_id=who,video_id=what",
            "does not end in .csv",
        ),
        (
            "{}/e.csv --map user_id=who,video_id=what --max-bad 2",
            "between 0 and 1",
        ),
    ];
    for (arguments, why) in cases {
        let refused = format!("{:#}", world.plan(arguments).err().unwrap());
        assert!(refused.contains(why), "{arguments}: {refused}");
    }
    let id = VideoId::parse("v").unwrap();
    let user = engine::UserId::parse("u").unwrap();
    assert_eq!(event::bare(EventKind::Click, &user, &id, 1).event_id, "");
}

#[tokio::test]
async fn parquet_is_mapped_as_text_is_and_its_bad_rows_are_set_aside() {
    let world = World::new();
    let columns: [(&str, ArrayRef); 3] = [
        ("who", Arc::new(StringArray::from(vec!["a", "b", "c d"]))),
        ("what", Arc::new(Int64Array::from(vec![5, 7, 5]))),
        ("at", Arc::new(Int64Array::from(vec![1_650_000_000_000; 3]))),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(world.folder.path().join("e.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let line = "{}/e.parquet --map user_id=who,video_id=what,ts=at --kind watch";

    let refused = world.import(line).await.unwrap_err().to_string();
    assert!(refused.contains("1 of 3 rows of e.parquet"), "{refused}");
    assert!(world.told().await.is_empty());
    let report = world.import(&format!("{line} --max-bad 0.5")).await;
    let report = report.unwrap();
    assert_eq!((report.events, report.bad), (2, 1));
    let told = ["a watch 5 1650000000000", "b watch 7 1650000000000"];
    assert_eq!(world.told().await, told);
}
