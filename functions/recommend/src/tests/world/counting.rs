//! Tables that are watched.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use embedded::EmbeddedTables;
use guard::Deadline;
use store::{Error, Read, Row, ScanPage, Table, Tables, Write, Written};

/// Tables that count how often they are asked, and stall when told to.
pub struct Counting {
    inner: EmbeddedTables,
    pub calls: AtomicUsize,
    /// Those of them that read users.
    pub user_reads: AtomicUsize,
    pub stalled: AtomicBool,
    /// Calls that stalled, and those that nobody has given up yet.
    pub waited: AtomicUsize,
    pub waiting: AtomicUsize,
}

/// A call that stalls.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counting {
    pub fn over(inner: EmbeddedTables) -> Self {
        Self {
            inner,
            calls: AtomicUsize::new(0),
            user_reads: AtomicUsize::new(0),
            stalled: AtomicBool::new(false),
            waited: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    async fn ask(&self, deadline: &Deadline) -> Result<(), Error> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if !self.stalled.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.waited.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        let never = deadline.limit(std::future::pending()).await;
        never.map_err(|elapsed| Error::elapsed(elapsed, "ask a stalled table"))
    }
}

#[async_trait]
impl Tables for Counting {
    async fn load(
        &self,
        table: Table,
        ids: &[String],
        read: Read,
        deadline: &Deadline,
    ) -> Result<Vec<Option<Row>>, Error> {
        let of_users = usize::from(table == Table::Users);
        self.user_reads.fetch_add(of_users, Ordering::Relaxed);
        self.ask(deadline).await?;
        self.inner.load(table, ids, read, deadline).await
    }

    async fn write(
        &self,
        table: Table,
        writes: Vec<Write>,
        deadline: &Deadline,
    ) -> Result<Vec<Result<Written, Error>>, Error> {
        self.ask(deadline).await?;
        self.inner.write(table, writes, deadline).await
    }

    async fn scan(
        &self,
        table: Table,
        after: Option<String>,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<ScanPage, Error> {
        self.ask(deadline).await?;
        self.inner.scan(table, after, limit, deadline).await
    }
}
