//! The id in a path.

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use engine::InvalidId;
use http::request::Parts;

use crate::Problem;

/// The `{id}` of the matched route, checked; anything else is 400 naming `id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathId<T>(pub T);

impl<S: Send + Sync, T: FromStr<Err = InvalidId>> FromRequestParts<S> for PathId<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::field("id"))?;
        let text = params
            .iter()
            .find(|(name, _)| *name == "id")
            .map(|(_, text)| text);
        let id = text.and_then(|text| text.parse().ok());
        id.map(Self).ok_or_else(|| Problem::field("id"))
    }
}
