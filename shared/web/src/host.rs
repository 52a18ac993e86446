//! Makes a service of routes: what belongs to every one, and the shell around all of them.

use std::sync::Arc;

use axum::Router;
use utoipa::openapi::OpenApi;

use crate::shell::{Around, Shell};
use crate::{Problem, openapi};

/// Makes a service of routes: adds `/openapi.json`, answers 404 and 405 as problems, and stamps
/// every answer.
///
/// Paths are taken as they come: nothing is normalised, no header overrides the method.
pub fn host(routes: Router, documents: Vec<OpenApi>, shell: Arc<Shell>) -> Router {
    routes
        .merge(openapi::routes(documents))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(Around(shell))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::response::Response;
    use axum::routing::get;
    use guard::ManualClock;
    use http::StatusCode;
    use http::header::CACHE_CONTROL;
    use http_body_util::BodyExt;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    fn service() -> Router {
        let routes = Router::new()
            .route("/fine", get(|| async { "fine" }))
            .route(
                "/kept",
                get(|| async { ([(CACHE_CONTROL, "private, no-cache")], "kept") }),
            )
            .route("/bare", get(|| async { StatusCode::PAYLOAD_TOO_LARGE }))
            .route(
                "/own",
                get(|| async { (StatusCode::SERVICE_UNAVAILABLE, axum::Json(7)) }),
            )
            .route("/busy", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
            .route("/panic", get(|| async { panic!("on purpose") as &str }));
        let shell = Shell::new(Arc::new(ManualClock::default()), 1);
        host(routes, Vec::new(), Arc::new(shell))
    }

    async fn ask(method: &str, uri: &str, lines: &[(&str, &str)]) -> (Response, Value) {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let (parts, body) = service().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let document = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        (Response::from_parts(parts, Body::empty()), document)
    }

    #[tokio::test]
    async fn every_error_is_a_problem_with_the_id_of_its_request() {
        for (method, uri, status, code) in [
            ("GET", "/none", 404, "not_found"),
            ("GET", "/fine/", 404, "not_found"),
            ("GET", "/fine%2f..", 404, "not_found"),
            ("POST", "/fine", 405, "method_not_allowed"),
            ("GET", "/bare", 413, "too_large"),
            ("GET", "/busy", 503, "unavailable"),
            ("GET", "/panic", 500, "internal"),
        ] {
            let (response, document) = ask(method, uri, &[]).await;
            let headers = response.headers();
            assert_eq!(response.status(), status, "{uri}");
            assert_eq!(headers["content-type"], "application/problem+json", "{uri}");
            assert_eq!(headers["cache-control"], "no-store", "{uri}");
            assert_eq!(document["code"], code, "{uri}");
            assert_eq!(document["status"], status, "{uri}");
            assert_eq!(
                document["request_id"],
                headers["x-request-id"].to_str().unwrap(),
                "{uri}"
            );
        }
        let (refused, _) = ask("POST", "/fine", &[]).await;
        assert_eq!(refused.headers()["allow"], "GET,HEAD");
    }

    #[tokio::test]
    async fn a_document_of_a_handlers_own_stays() {
        let (response, document) = ask("GET", "/own", &[]).await;
        assert_eq!(
            (response.status().as_u16(), document),
            (503, Value::from(7))
        );
        assert_eq!(response.headers()["cache-control"], "no-store");
    }

    #[tokio::test]
    async fn a_valid_request_id_is_kept_and_another_replaced() {
        let (kept, _) = ask("GET", "/fine", &[("x-request-id", "abc-1")]).await;
        assert_eq!(kept.headers()["x-request-id"], "abc-1");
        let (replaced, _) = ask("GET", "/fine", &[("x-request-id", "a b")]).await;
        assert_eq!(replaced.headers()["x-request-id"].len(), 32);
    }

    #[tokio::test]
    async fn what_says_nothing_about_caching_is_not_stored() {
        let (silent, _) = ask("GET", "/fine", &[]).await;
        assert_eq!(silent.headers()["cache-control"], "no-store");
        let (kept, _) = ask("GET", "/kept", &[]).await;
        assert_eq!(kept.headers()["cache-control"], "private, no-cache");
    }

    #[tokio::test]
    async fn a_method_override_is_ignored() {
        let lines = [
            ("x-http-method-override", "GET"),
            ("x-method-override", "GET"),
        ];
        let (refused, _) = ask("DELETE", "/fine", &lines).await;
        assert_eq!(refused.status(), 405);
    }
}
