//! A function's binary under the local Runtime API.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tests::Function;

/// The smallest function there is.
const HELLO: &str = env!("CARGO_BIN_EXE_hello");

#[tokio::test]
async fn a_function_is_spawned_invoked_and_timed() {
    let mut hello = Function::spawn(Path::new(HELLO), &[]).await.unwrap();
    assert!(hello.init() > Duration::ZERO);
    for n in 0..3 {
        let answer = hello.invoke(&json!({"n": n})).await.unwrap();
        assert!(answer.result.is_ok(), "{answer:?}");
        assert!(answer.took > Duration::ZERO);
        hello.settled().await.unwrap();
    }
}

#[tokio::test]
async fn what_ends_before_it_asks_for_an_event_is_told_with_its_last_words() {
    let failed = Function::spawn(Path::new("/bin/ls"), &[])
        .await
        .unwrap_err();
    assert!(format!("{failed:#}").contains("it ended"), "{failed:#}");
}
