//! The ranker's part of a generation.

use super::format::Kind;
use super::{Index, IndexError};
use crate::feature::Outlook;
use crate::ranker::Model;

/// A model and what it looks at.
pub(super) type Ranking = (Model, Outlook);

/// Reads the model, where there is one that this service can use.
pub(super) fn open(index: &Index) -> Result<Option<Ranking>, IndexError> {
    if index.model().is_empty() {
        return Ok(None);
    }
    let model = Model::read(index.model());
    let model = model.map_err(|_| IndexError::Inconsistent(Kind::Model.number()))?;
    Ok(model.map(|model| {
        let outlook = Outlook::new(index, model.scenes.clone());
        (model, outlook)
    }))
}

impl Index {
    /// The ranker's model and what it looks at; `None` when the generation has none, or one of
    /// other features.
    #[must_use]
    pub fn ranking(&self) -> Option<(&Model, &Outlook)> {
        self.ranking
            .as_ref()
            .map(|(model, outlook)| (model, outlook))
    }

    /// The bytes of the ranker's model; empty when the generation has none.
    #[must_use]
    pub fn model(&self) -> &[u8] {
        self.section(Kind::Model)
    }
}
