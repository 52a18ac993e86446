//! The OpenAPI 3.1 document: what the functions describe, merged and served.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};

use crate::{ETag, Freshness};

/// Where the document is served.
pub const OPENAPI_PATH: &str = "/openapi.json";

/// One document of several functions' documents.
#[must_use]
pub fn merged(documents: Vec<OpenApi>) -> OpenApi {
    let info = InfoBuilder::new()
        .title("Reelway")
        .description(Some("Video recommendations"))
        .version(env!("CARGO_PKG_VERSION"))
        .build();
    let empty = OpenApiBuilder::new().info(info).build();
    documents.into_iter().fold(empty, OpenApi::merge_from)
}

/// Every `METHOD /path` a document describes, sorted.
#[must_use]
pub fn operations(document: &OpenApi) -> Vec<String> {
    let mut operations = Vec::new();
    for (path, item) in &document.paths.paths {
        for (method, operation) in [
            ("GET", &item.get),
            ("POST", &item.post),
            ("PUT", &item.put),
            ("PATCH", &item.patch),
            ("DELETE", &item.delete),
        ] {
            if operation.is_some() {
                operations.push(format!("{method} {path}"));
            }
        }
    }
    operations.sort_unstable();
    operations
}

/// The route that serves the merged document, rendered once.
pub(crate) fn routes(documents: Vec<OpenApi>) -> Router {
    let json = merged(documents).to_json().unwrap_or_default();
    let body = Bytes::from(json);
    let tag = ETag::of(&body);
    let serve = move |headers: HeaderMap| {
        let (body, tag) = (body.clone(), tag.clone());
        async move {
            let mut response = if tag.is_held(&headers) {
                http::StatusCode::NOT_MODIFIED.into_response()
            } else {
                ([(CONTENT_TYPE, "application/json")], body).into_response()
            };
            Freshness::Shared.write(response.headers_mut());
            tag.write(response.headers_mut());
            response
        }
    };
    Router::new().route(OPENAPI_PATH, get(serve))
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::path::{HttpMethod, OperationBuilder, PathItem, PathsBuilder};

    use super::*;

    fn document(method: HttpMethod, path: &str) -> OpenApi {
        let item = PathItem::new(method, OperationBuilder::new().build());
        let paths = PathsBuilder::new().path(path, item).build();
        OpenApiBuilder::new().paths(paths).build()
    }

    #[test]
    fn merging_keeps_every_operation_of_a_shared_path() {
        let merged = merged(vec![
            document(HttpMethod::Get, "/videos/{id}"),
            document(HttpMethod::Put, "/videos/{id}"),
            document(HttpMethod::Post, "/events"),
        ]);
        assert_eq!(
            operations(&merged),
            ["GET /videos/{id}", "POST /events", "PUT /videos/{id}"]
        );
        let json = merged.to_json().unwrap();
        assert!(json.starts_with(r#"{"openapi":"3.1."#), "{json}");
    }
}
