//! Somebody hides a video while somebody else shows it: afterwards the overlay agrees with the row.

use std::sync::Mutex;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::*;
use crate::ports::ScanPage;

type Moment = (&'static str, Table);

/// Tables where something else happens just before a call.
struct Interrupted {
    inner: Arc<MemoryTables>,
    before: Mutex<Option<(Moment, BoxFuture<'static, ()>)>>,
}

impl Interrupted {
    async fn interrupt(&self, moment: Moment) {
        let due = |(known, _): &mut (Moment, BoxFuture<'static, ()>)| *known == moment;
        let work = self.before.lock().unwrap().take_if(due);
        if let Some((_, work)) = work {
            work.await;
        }
    }
}

#[async_trait]
impl Tables for Interrupted {
    async fn load(
        &self,
        table: Table,
        ids: &[String],
        read: Read,
        deadline: &Deadline,
    ) -> Result<Vec<Option<Row>>, Error> {
        self.interrupt(("load", table)).await;
        self.inner.load(table, ids, read, deadline).await
    }

    async fn write(
        &self,
        table: Table,
        writes: Vec<Write>,
        deadline: &Deadline,
    ) -> Result<Vec<Result<Written, Error>>, Error> {
        self.interrupt(("write", table)).await;
        self.inner.write(table, writes, deadline).await
    }

    async fn scan(
        &self,
        table: Table,
        after: Option<String>,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<ScanPage, Error> {
        self.inner.scan(table, after, limit, deadline).await
    }
}

impl House {
    /// A process to which something happens once, just before a call.
    fn interrupted(&self, before: Moment, work: BoxFuture<'static, ()>) -> Catalogue {
        let tables = Interrupted {
            inner: self.tables.clone(),
            before: Mutex::new(Some((before, work))),
        };
        Catalogue::new(Arc::new(tables), self.clock.clone())
    }

    /// What is hidden is in the overlay: the row says the first, everybody must know the second.
    async fn check(&self, case: &str) {
        let catalogue = self.catalogue();
        let row = catalogue.load(&[video("v")], &self.deadline).await.unwrap();
        let hidden = row[0].as_ref().is_none_or(|video| video.hidden);
        assert!(hidden, "{case}: who hides comes last");
        assert_eq!(self.hidden(&catalogue).await, ["v"], "{case}");
    }
}

#[tokio::test]
async fn hiding_while_another_puts_it_back_stays() {
    // Before the putter looks at the overlay, before it looks at the row, before it writes.
    let moments = [
        ("load", Table::Control),
        ("load", Table::Videos),
        ("write", Table::Control),
    ];
    for moment in moments {
        for delete in [false, true] {
            let house = House::new();
            let (hider, deadline) = (house.catalogue(), house.deadline.clone());
            hider.put(vec![made("v", "t")], &deadline).await.unwrap();
            hider
                .patch(&video("v"), &hide(true), &deadline)
                .await
                .unwrap();
            let work = async move {
                if delete {
                    hider.delete(&video("v"), &deadline).await.unwrap();
                } else {
                    hider
                        .patch(&video("v"), &hide(true), &deadline)
                        .await
                        .unwrap();
                }
            };
            let putter = house.interrupted(moment, Box::pin(work));
            putter
                .put(vec![made("v", "new")], &house.deadline)
                .await
                .unwrap();
            house.check(&format!("{moment:?}, delete {delete}")).await;
        }
    }
}

#[tokio::test]
async fn showing_between_the_two_writes_of_hiding_undoes_neither() {
    for delete in [false, true] {
        let house = House::new();
        let (other, deadline) = (house.catalogue(), house.deadline.clone());
        other.put(vec![made("v", "t")], &deadline).await.unwrap();
        // The hider's entry is there, its row is not written: nothing is hidden yet, so that whoever
        // changes nothing may take the entry out.
        let work = async move {
            let nothing = Patch::default();
            other.patch(&video("v"), &nothing, &deadline).await.unwrap();
        };
        let hider = house.interrupted(("write", Table::Videos), Box::pin(work));
        if delete {
            hider.delete(&video("v"), &house.deadline).await.unwrap();
        } else {
            let hidden = hider.patch(&video("v"), &hide(true), &house.deadline).await;
            hidden.unwrap();
        }
        house.check(&format!("delete {delete}")).await;
    }
}
