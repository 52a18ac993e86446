//! The lease that keeps a second run out.

use std::time::Duration;

use guard::Deadline;
use store::{Control, Error, ErrorKind, Lease};

/// How long a run that died keeps others out.
pub const LEASE_LIFE: Duration = Duration::from_secs(120);

/// The right to build, renewed as the work goes on.
pub(crate) struct Hold<'a> {
    control: &'a Control,
    lease: Lease,
}

impl<'a> Hold<'a> {
    pub async fn take(
        control: &'a Control,
        name: &str,
        owner: &str,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let lease = control.acquire(name, owner, LEASE_LIFE, deadline).await?;
        let lease = lease.ok_or_else(|| taken("another run is at it"))?;
        Ok(Self { control, lease })
    }

    /// Goes on only while no other run took over.
    pub async fn renew(&mut self, deadline: &Deadline) -> Result<(), Error> {
        let renewed = self
            .control
            .renew(&self.lease, LEASE_LIFE, deadline)
            .await?;
        self.lease = renewed.ok_or_else(|| taken("another run took over"))?;
        Ok(())
    }

    pub async fn give_back(self, deadline: &Deadline) {
        if let Err(error) = self.control.release(self.lease, deadline).await {
            tracing::warn!(error = %error, "the lease was not given back and runs out by itself");
        }
    }
}

fn taken(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("build a generation: {why}"))
}
