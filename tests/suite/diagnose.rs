//! `reelway diagnose` beside a server that is asked for the same thing all the time.

use std::process::{Command, Output};

use serde_json::Value;
use tests::runtime_api::binary;
use tests::{Client, Reelway};

/// More than enough to be hot, whatever is forgotten meanwhile.
const ASKS: usize = 2_000;
const KEY: &str = "an admin key for this test alone";

fn hot_keys(url: &str, key: Option<&str>) -> Output {
    let mut command = Command::new(binary("reelway").unwrap());
    command.args(["--json", "diagnose", "hot-keys", "--url", url]);
    command.env_remove("REELWAY_ADMIN_KEY");
    command.envs(key.map(|key| ("REELWAY_ADMIN_KEY", key)));
    command.output().unwrap()
}

#[tokio::test]
async fn what_is_asked_for_all_the_time_is_listed_for_who_knows_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("REELWAY_DATA", folder.path().display().to_string()),
        ("REELWAY_ADMIN_KEY", KEY.to_owned()),
        ("REELWAY_LOG", "error".to_owned()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    let node = Reelway::start(&binary("reelway").unwrap(), &environment)
        .await
        .unwrap();
    let (url, client) = (format!("http://{}", node.addr()), Client::new(node.addr()));
    for _ in 0..ASKS {
        let reply = client.get("/trending?limit=5").await.unwrap();
        assert_eq!(reply.status, 200);
    }

    let listed = hot_keys(&url, Some(KEY));
    let said = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(listed.status.success(), "{said}");
    let hot: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let about = hot[0]["about"].as_str().unwrap();
    assert!(
        about.starts_with("trending ") && about.ends_with("for=anyone"),
        "{hot}"
    );
    assert!(hot[0]["asks"].as_u64().unwrap() >= 100, "{hot}");

    let stranger = hot_keys(&url, None);
    let said = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert_eq!(stranger.status.code(), Some(1));
    assert!(said.contains("REELWAY_ADMIN_KEY"), "{said}");
    drop(node);
    let gone = hot_keys(&url, Some(KEY));
    assert_eq!(gone.status.code(), Some(1), "nobody answers any more");
}
