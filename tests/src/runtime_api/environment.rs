//! One execution environment as Lambda sees it: who waits for an event, who works on one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::Bytes;
use guard::Clock;
use ops::RealClock;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot, watch};

/// The function's name in full.
pub(super) const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:local";

/// When the event was handed over, what came of it, and when that was.
pub(super) type Outcome = (Duration, Result<Value, Value>, Duration);

/// What the function and its driver share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: RealClock,
    /// How many invocations are at work at once; above one, nothing freezes, and extensions are not
    /// told of invocations, as on Managed Instances.
    pub(super) concurrency: usize,
    state: Mutex<Environment>,
    /// Wakes those who wait for an event.
    arrived: Notify,
    /// Raised by every change that somebody may wait for.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Environment {
    /// When the runtime first asked for an event.
    first_next: Option<Duration>,
    init_failure: Option<String>,
    /// How many of the runtime's workers wait for an event.
    waiting: usize,
    queued: VecDeque<Delivery>,
    /// By request id.
    running: BTreeMap<String, Running>,
    extensions: BTreeMap<String, Extension>,
    answered_at: Duration,
    settled_at: Duration,
}

#[derive(Debug)]
struct Extension {
    name: String,
    waiting: bool,
    queued: Option<Value>,
}

#[derive(Debug)]
struct Running {
    handed: Duration,
    answer: oneshot::Sender<Outcome>,
}

/// An event on its way to the function.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) id: String,
    pub(super) event: Bytes,
    pub(super) deadline_ms: i64,
    answer: Option<oneshot::Sender<Outcome>>,
}

impl Delivery {
    pub(super) fn new(id: String, event: &Value, now_ms: i64, timeout: Duration) -> Self {
        let timeout_ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        let deadline_ms = now_ms.saturating_add(timeout_ms);
        Self {
            id,
            event: event.to_string().into(),
            deadline_ms,
            answer: None,
        }
    }
}

impl Shared {
    pub(super) fn new(clock: RealClock, concurrency: usize) -> Self {
        Self {
            clock,
            concurrency,
            state: Mutex::default(),
            arrived: Notify::new(),
            changes: watch::Sender::new(0),
        }
    }

    /// Queues an event for the runtime and tells the extensions of it.
    pub(super) fn deliver(
        &self,
        mut delivery: Delivery,
    ) -> anyhow::Result<oneshot::Receiver<Outcome>> {
        let (sender, answer) = oneshot::channel();
        {
            let mut state = self.state();
            let most = self.concurrency;
            if state.queued.len() + state.running.len() >= most {
                bail!("an environment runs {most} invocations at a time");
            }
            let told = json!({
                "eventType": "INVOKE",
                "deadlineMs": delivery.deadline_ms,
                "requestId": delivery.id,
                "invokedFunctionArn": ARN,
                "tracing": {"type": "X-Amzn-Trace-Id", "value": trace_id(&delivery.id)},
            });
            if self.concurrency == 1 {
                for extension in state.extensions.values_mut() {
                    extension.queued = Some(told.clone());
                }
            }
            delivery.answer = Some(sender);
            state.queued.push_back(delivery);
        }
        self.arrived.notify_waiters();
        Ok(answer)
    }

    /// Waits for the first question for an event and returns when it came.
    pub(super) async fn initialised(&self) -> anyhow::Result<Duration> {
        let mut changes = self.changes.subscribe();
        loop {
            {
                let state = self.state();
                if let Some(failure) = &state.init_failure {
                    bail!("its start failed: {failure}");
                }
                if let Some(first) = state.first_next {
                    return Ok(first);
                }
            }
            changes.changed().await.context("the runtime api ended")?;
        }
    }

    /// Waits until everybody waits for an event; returns how long after the last answer that was.
    pub(super) async fn settled(&self) -> Duration {
        let mut changes = self.changes.subscribe();
        loop {
            {
                let state = self.state();
                if state.idle(self.concurrency) {
                    return state.settled_at.saturating_sub(state.answered_at);
                }
            }
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }

    pub(super) fn extensions(&self) -> Vec<String> {
        self.state()
            .extensions
            .values()
            .map(|extension| extension.name.clone())
            .collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Environment> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, notes when it settled, and wakes who waits for changes.
    fn change<T>(&self, change: impl FnOnce(&mut Environment, Duration) -> T) -> T {
        let now = self.clock.now().mono;
        let value = {
            let mut state = self.state();
            let was_idle = state.idle(self.concurrency);
            let value = change(&mut state, now);
            if !was_idle && state.idle(self.concurrency) {
                state.settled_at = now;
            }
            value
        };
        self.changes.send_modify(|changes| *changes += 1);
        value
    }

    /// The runtime waits for an event and takes it.
    pub(super) async fn next_event(&self) -> Delivery {
        self.change(|state, now| {
            state.first_next.get_or_insert(now);
            state.waiting += 1;
        });
        self.take(|state, now| {
            let mut delivery = state.queued.pop_front()?;
            state.waiting -= 1;
            let answer = delivery.answer.take()?;
            let running = Running {
                handed: now,
                answer,
            };
            state.running.insert(delivery.id.clone(), running);
            Some(delivery)
        })
        .await
    }

    /// Registers an extension and returns its id.
    pub(super) fn register(&self, name: String) -> String {
        self.change(|state, _| {
            let id = format!("00000000-0000-4000-9000-{:012}", state.extensions.len() + 1);
            let extension = Extension {
                name,
                waiting: false,
                queued: None,
            };
            state.extensions.insert(id.clone(), extension);
            id
        })
    }

    /// An extension waits to be told of an event; `None` when it never registered.
    pub(super) async fn next_told(&self, extension: &str) -> Option<Value> {
        self.change(|state, _| {
            state
                .extensions
                .get_mut(extension)
                .map(|extension| extension.waiting = true)
        })?;
        let told = self.take(|state, _| {
            let extension = state.extensions.get_mut(extension)?;
            let told = extension.queued.take()?;
            extension.waiting = false;
            Some(told)
        });
        Some(told.await)
    }

    /// Waits until there is something to take.
    async fn take<T>(&self, take: impl Fn(&mut Environment, Duration) -> Option<T>) -> T {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            // Listening before looking, so that an event in between is not missed.
            arrived.as_mut().enable();
            if let Some(taken) = self.change(&take) {
                return taken;
            }
            arrived.await;
        }
    }

    /// Notes that the start failed.
    pub(super) fn fail_init(&self, failure: String) {
        self.change(|state, _| state.init_failure = Some(failure));
    }

    /// Ends the running invocation; whether it was this one.
    pub(super) fn finish(&self, id: &str, result: Result<Value, Value>) -> bool {
        self.change(|state, now| {
            let Some(running) = state.running.remove(id) else {
                return false;
            };
            state.answered_at = now;
            // Who gave up waiting does not hear it.
            let _ = running.answer.send((running.handed, result, now));
            true
        })
    }
}

impl Environment {
    fn idle(&self, workers: usize) -> bool {
        self.waiting == workers
            && self.queued.is_empty()
            && self.running.is_empty()
            && self.extensions.values().all(|extension| extension.waiting)
    }
}

/// The trace id that goes with a request id.
pub(super) fn trace_id(request_id: &str) -> String {
    let number = request_id.rsplit('-').next().unwrap_or_default();
    format!("Root=1-00000000-000000000000{number};Parent=0000{number};Sampled=0")
}
