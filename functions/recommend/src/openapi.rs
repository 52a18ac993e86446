//! The description of these routes.

use utoipa::openapi::OpenApi;
use utoipa::{IntoParams, OpenApi as _, ToSchema};

use crate::{answer, health, history, slates, videos};

/// Query of `GET /recommend`, body of `POST /recommend`.
#[derive(IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "describes the parameters for the OpenAPI document"
)]
pub(crate) struct RecommendParameters {
    /// Without it the answer is a shared slate.
    #[param(max_length = 64, pattern = "^[A-Za-z0-9_-]{1,64}$")]
    user_id: Option<String>,
    /// As an earlier personal answer named it; asks for that cohort's shared slate.
    cohort: Option<String>,
    /// Recent video ids, newest last, at most 50.
    #[param(style = Form, explode = false)]
    session: Option<Vec<String>>,
    /// The place in the product.
    #[param(default = "home")]
    scene: Option<String>,
    /// Items on the page.
    #[param(minimum = 1, maximum = 50, default = 20)]
    limit: Option<u32>,
    /// As an earlier answer named it; good for 30 minutes.
    cursor: Option<String>,
    /// Only these categories, at most 20.
    category: Option<Vec<String>>,
    /// Whether one category is enough: `any` or `all`.
    #[param(default = "any")]
    r#match: Option<String>,
    /// Never these video ids, at most 200.
    #[param(style = Form, explode = false)]
    exclude: Option<Vec<String>>,
    /// The viewer's country; by default as the edge knows it.
    market: Option<String>,
    /// Adds how the answer came about.
    #[param(default = false)]
    explain: Option<bool>,
}

/// Query of the lists.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "describes the parameters for the OpenAPI document"
)]
pub(crate) struct ListParameters {
    /// Leaves out what this user has seen or hidden.
    user_id: Option<String>,
    /// Items on the page.
    #[param(minimum = 1, maximum = 50, default = 20)]
    limit: Option<u32>,
    /// As an earlier answer named it; good for 30 minutes.
    cursor: Option<String>,
    /// Only these categories, at most 20.
    category: Option<Vec<String>>,
    /// Whether one category is enough: `any` or `all`.
    #[param(default = "any")]
    r#match: Option<String>,
    /// The viewer's country; by default as the edge knows it.
    market: Option<String>,
    /// Never these video ids, at most 200.
    #[param(style = Form, explode = false)]
    exclude: Option<Vec<String>>,
    /// Adds how the answer came about.
    #[param(default = false)]
    explain: Option<bool>,
}

#[derive(utoipa::OpenApi)]
#[openapi(
    paths(
        slates::recommend,
        slates::recommend_posted,
        slates::similar,
        slates::trending,
        slates::latest,
        slates::popular,
        videos::video,
        history::history,
        health::live,
        health::ready,
    ),
    components(schemas(answer::SlateAnswer))
)]
struct Document;

/// The OpenAPI description of [`crate::routes`].
#[must_use]
pub fn openapi() -> OpenApi {
    Document::openapi()
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::RefOr;
    use utoipa::openapi::path::Parameter;

    use super::*;
    use crate::request::{LIST, RECOMMEND};

    #[test]
    fn every_parameter_that_is_read_is_described() {
        let document = openapi();
        for (path, read) in [("/recommend", RECOMMEND), ("/trending", LIST)] {
            let operation = document.paths.paths[path].get.as_ref().unwrap();
            let parameters = operation.parameters.as_ref().unwrap();
            let name = |parameter: &RefOr<Parameter>| match parameter {
                RefOr::T(parameter) => parameter.name.clone(),
                RefOr::Ref(_) => panic!("a parameter is described where it is used"),
            };
            let mut described: Vec<_> = parameters.iter().map(name).collect();
            let mut read = read.to_vec();
            described.sort_unstable();
            read.sort_unstable();
            assert_eq!(described, read, "{path}");
        }
    }
}
