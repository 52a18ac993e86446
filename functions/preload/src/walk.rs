//! Walking everything that is worth having ready, in an order that every run repeats.

use std::time::Duration;

use engine::UserId;
use futures_util::future::BoxFuture;
use guard::Deadline;
use jiff::civil::Date;
use lake::Lake;
use store::tiered::FillReport;
use store::{Ask, Cohort, Control, Error, ErrorKind, Kind, Lease, Who};

use crate::checkpoint::Checkpoint;
use crate::options::Options;
use crate::{Progress, Report};

/// How long a walk that died keeps others out; renewed before and after every batch.
pub const LEASE_LIFE: Duration = Duration::from_secs(120);
/// A batch is not begun with less than this left, nor with less than twice the longest batch so far.
pub const HANDOVER_RESERVE: Duration = Duration::from_secs(10);

/// Makes the slates of a batch and stores them.
pub(crate) type Fill<'a> =
    dyn Fn(Vec<Ask>) -> BoxFuture<'a, Result<FillReport, Error>> + Send + Sync + 'a;

/// One region's walk through one generation.
pub(crate) struct Walk<'a> {
    pub control: &'a Control,
    pub lake: &'a Lake,
    pub options: &'a Options,
    pub generation: &'a str,
    pub cohorts: u32,
}

/// The table that is walked, in the order of its files.
struct ProfileTable {
    day: Option<Date>,
    files: Vec<String>,
}

impl Walk<'_> {
    /// Walks from the checkpoint, or from the beginning, until the end or a hand-over.
    pub async fn run(
        &self,
        lease: &mut Lease,
        fill: &Fill<'_>,
        progress: &(dyn Fn(Progress) + Send + Sync),
        deadline: &Deadline,
    ) -> Result<Report, Error> {
        let table = self.table(deadline).await?;
        let mut at = Checkpoint::start(self.generation.into(), table.day);
        if self.options.resume {
            let kept = self.control.checkpoint(&self.name(), deadline).await?;
            at = Checkpoint::resume(kept.as_deref(), at);
        }
        let mut report = Report {
            generation: self.generation.to_owned(),
            ..Report::default()
        };
        let mut longest = Duration::ZERO;
        while at.part <= table.files.len() {
            let asks = self.asks(at.part, &table, deadline).await?;
            while let Some(rest) = asks.get(at.offset..).filter(|rest| !rest.is_empty()) {
                if deadline.remaining() < HANDOVER_RESERVE.max(longest * 2) {
                    return Ok(Report {
                        checkpoint: Some(at),
                        ..report
                    });
                }
                let batch: Vec<Ask> = rest.iter().take(self.options.batch_size).cloned().collect();
                let (asked, began) = (batch.len(), deadline.clock().now().mono);
                self.hold(lease, deadline).await?;
                report.add(at.part, asked, fill(batch).await?)?;
                // Whoever lost the lease meanwhile must not move the new holder's checkpoint.
                self.hold(lease, deadline).await?;
                longest = longest.max(deadline.clock().now().mono.saturating_sub(began));
                at.offset += asked;
                self.keep(&at, deadline).await?;
                progress(Progress {
                    part: at.part,
                    parts: table.files.len() + 1,
                    asked: report.asked(),
                });
            }
            (at.part, at.offset) = (at.part + 1, 0);
        }
        self.control
            .clear_checkpoint(&self.name(), deadline)
            .await?;
        Ok(Report {
            done: true,
            ..report
        })
    }

    /// The name of lease and checkpoint.
    pub fn name(&self) -> String {
        format!("preload/{}", self.options.region)
    }

    async fn table(&self, deadline: &Deadline) -> Result<ProfileTable, Error> {
        let days = self.lake.profile_days(deadline).await?;
        let Some(day) = days.last().copied() else {
            return Ok(ProfileTable {
                day: None,
                files: Vec::new(),
            });
        };
        let files = self.lake.profile_files(day, deadline).await?;
        Ok(ProfileTable {
            day: Some(day),
            files: files.into_iter().map(|meta| meta.key).collect(),
        })
    }

    /// The questions of a part, always in the same order.
    async fn asks(
        &self,
        part: usize,
        table: &ProfileTable,
        deadline: &Deadline,
    ) -> Result<Vec<Ask>, Error> {
        let Some(file) = part.checked_sub(1).and_then(|at| table.files.get(at)) else {
            return Ok(self.shared_asks());
        };
        let mut users: Vec<UserId> = Vec::new();
        for batch in self.lake.open_profiles(file, deadline).await? {
            users.extend(batch?.into_iter().map(|row| row.user_id));
            tokio::task::yield_now().await;
        }
        users.sort_unstable();
        Ok(users
            .into_iter()
            .flat_map(|user| self.in_places(Who::User(user), Kind::Recommend))
            .collect())
    }

    /// What people share: everybody's lists first, because every fallback stands on them.
    fn shared_asks(&self) -> Vec<Ask> {
        let lists = [Kind::Trending, Kind::Recommend, Kind::Latest, Kind::Popular];
        let lists = lists.into_iter().map(|kind| (Who::Anyone, kind));
        let cohorts =
            (0..self.cohorts).map(|number| (Who::Cohort(Cohort::new(number)), Kind::Recommend));
        lists
            .chain(cohorts)
            .flat_map(|(who, kind)| self.in_places(who, kind))
            .collect()
    }

    fn in_places(&self, who: Who, kind: Kind) -> Vec<Ask> {
        let Options {
            scenes, markets, ..
        } = self.options;
        let places = scenes
            .iter()
            .flat_map(|scene| markets.iter().map(move |market| (scene, market)));
        let ask = Ask::new(who, kind);
        places
            .map(|(scene, market)| Ask {
                scene: scene.clone(),
                market: market.clone(),
                ..ask.clone()
            })
            .collect()
    }

    async fn hold(&self, lease: &mut Lease, deadline: &Deadline) -> Result<(), Error> {
        let renewed = self.control.renew(lease, LEASE_LIFE, deadline).await?;
        let lost = || Error::new(ErrorKind::Unavailable, "preload: another run took over");
        *lease = renewed.ok_or_else(lost)?;
        Ok(())
    }

    async fn keep(&self, at: &Checkpoint, deadline: &Deadline) -> Result<(), Error> {
        let json = serde_json::to_vec(at)
            .map_err(|e| Error::because(ErrorKind::Invalid, "encode a checkpoint", e))?;
        self.control
            .save_checkpoint(&self.name(), &json, deadline)
            .await
    }
}

#[cfg(test)]
mod tests;
