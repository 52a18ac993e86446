//! What a function costs beside one that does nothing. Shown, not judged: these are debug builds.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tests::Function;

use super::http::{By, event};
use super::stack::Stack;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
/// Invocations that are timed, after the first.
const INVOCATIONS: usize = 300;

/// One function's times.
struct Pace {
    init: Duration,
    first: Duration,
    /// Sorted.
    steady: Vec<Duration>,
}

/// Times `recommend` and a function that says hello, with the same event, and shows both.
pub(super) async fn compare(stack: &Stack) {
    let question = event("GET", "/recommend", None, By::Anybody);
    let hello = Function::spawn(Path::new(HELLO), &[]).await.unwrap();
    let (hello, _) = Pace::of(hello, &question).await;
    let recommend = stack.function("recommend").await;
    let (recommend, answers) = Pace::of(recommend, &question).await;
    let same = |answer: &Value| (answer["statusCode"] == 200).then(|| answer["body"].clone());
    let first = same(&answers[0]);
    assert!(first.is_some(), "{}", answers[0]);
    let hits = answers.iter().filter(|answer| same(answer) == first);
    assert_eq!(
        hits.count(),
        answers.len(),
        "the slate stays in the process"
    );
    hello.show("hello");
    recommend.show("recommend, shared slate in its own memory");
}

impl Pace {
    async fn of(mut function: Function, question: &Value) -> (Self, Vec<Value>) {
        let (mut took, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..=INVOCATIONS {
            let answer = function.invoke(question).await.unwrap();
            took.push(answer.took);
            answers.push(answer.result.unwrap());
        }
        let mut steady = took.split_off(1);
        steady.sort_unstable();
        let pace = Self {
            init: function.init(),
            first: took[0],
            steady,
        };
        (pace, answers)
    }

    fn show(&self, name: &str) {
        let share = |share: usize| self.steady[(self.steady.len() - 1) * share / 100];
        let ms = |span: Duration| span.as_secs_f64() * 1_000.0;
        println!(
            "shown: lambda (debug build) {name}: init {:.0} ms, first answer {:.1} ms, then p50 {:.2} ms, p99 {:.2} ms of {}",
            ms(self.init),
            ms(self.first),
            ms(share(50)),
            ms(share(99)),
            self.steady.len(),
        );
    }
}
