//! The ranker's model that serves now: tonight's has to beat it.

use std::sync::Arc;

use guard::Deadline;
use store::GenerationReader;

use crate::{Parts, untidied};

/// The model of the published generation. `None` where there is none or it cannot be read: then
/// tonight's is compared with the best single feature.
pub(crate) async fn model(parts: &Parts, deadline: &Deadline) -> Option<Arc<[u8]>> {
    let dir = parts.work_dir.join("current");
    let objects = Arc::clone(&parts.objects);
    let reader = GenerationReader::new(objects, dir.clone(), Arc::clone(&parts.clock));
    if let Err(error) = reader.refresh(deadline).await {
        tracing::warn!(error = %error, "the model that serves could not be read");
    }
    let index = reader.current();
    let model = index.as_ref().map(|index| Arc::from(index.model()));
    drop((index, reader));
    untidied(tokio::fs::remove_dir_all(&dir).await);
    model.filter(|model: &Arc<[u8]>| !model.is_empty())
}
