//! The three ports, opened as the settings say.

use std::sync::Arc;

use anyhow::Context;
use embedded::{DirLock, EmbeddedObjects, EmbeddedStream, EmbeddedTables};
use guard::Deadline;
use store::serving::Ports;
use store::{Table, Tables};

use crate::settings::{Settings, Storage};

/// Shards of the embedded log: enough that consumers may run side by side.
const SHARDS: u16 = 2;

/// Where everything is kept. Holds the data folder until dropped.
pub struct Backend {
    /// The ports.
    pub ports: Ports,
    /// The tables again, where expired rows have to be swept by us.
    swept: Option<Arc<EmbeddedTables>>,
    _lock: DirLock,
}

impl Backend {
    /// Takes the data folder and opens the adapters.
    ///
    /// # Errors
    /// When another process has the folder, or a store cannot be opened.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let lock = DirLock::acquire(&settings.data)?;
        match &settings.storage {
            Storage::Embedded => Self::embedded(settings, lock),
            #[cfg(feature = "aws")]
            Storage::Aws(aws_settings) => {
                let ports = aws::Aws::connect(aws_settings).await.ports();
                Ok(Self {
                    ports,
                    swept: None,
                    _lock: lock,
                })
            }
        }
    }

    fn embedded(settings: &Settings, lock: DirLock) -> anyhow::Result<Self> {
        let open = |name: &str| settings.folder(name);
        let tables = EmbeddedTables::open(&open("tables")).context("the tables did not open")?;
        let tables = Arc::new(tables);
        let stream = EmbeddedStream::open(&open("log"), SHARDS).context("the log did not open")?;
        let objects =
            EmbeddedObjects::open(&open("objects")).context("the objects did not open")?;
        let ports = Ports {
            tables: Arc::clone(&tables) as Arc<dyn Tables>,
            stream: Arc::new(stream),
            objects: Arc::new(objects),
        };
        Ok(Self {
            ports,
            swept: Some(tables),
            _lock: lock,
        })
    }

    /// Removes rows whose time has come, where the store does not do it by itself.
    pub async fn sweep(&self, deadline: &Deadline) {
        let Some(tables) = &self.swept else { return };
        let now_s = deadline.clock().now().wall_ms / 1_000;
        for table in Table::ALL {
            if let Err(error) = tables.sweep(table, now_s, deadline).await {
                tracing::warn!(error = %error, "expired rows were not removed");
            }
        }
    }
}
