//! Requests as API Gateway hands them over (payload format 2.0).

use serde_json::{Map, Value, json};
use tests::Function;

/// Who asks.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum By {
    /// No credential.
    Anybody,
    /// Signed, and let through by IAM.
    Iam,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: u64,
    pub headers: Map<String, Value>,
    pub body: Value,
}

/// The event of a request.
pub(super) fn event(method: &str, address: &str, body: Option<&Value>, by: By) -> Value {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": { "content-type": "application/json", "host": "api.example.com" },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.example.com",
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": 1_545_084_650_987_i64,
            "http": {
                "method": method, "path": path, "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.7", "userAgent": "suite",
            },
        },
        "isBase64Encoded": false,
    });
    if let Some(body) = body {
        event["body"] = Value::String(body.to_string());
    }
    if by == By::Iam {
        let iam = json!({ "accountId": "123456789012", "userArn": "arn:aws:iam::123456789012:user/admin" });
        event["requestContext"]["authorizer"] = json!({ "iam": iam });
    }
    event
}

/// Invokes a function with a request. Every answer must be one that API Gateway takes.
pub(super) async fn call(
    function: &mut Function,
    method: &str,
    address: &str,
    body: Option<&Value>,
    by: By,
) -> Reply {
    let event = event(method, address, body, by);
    let answer = function.invoke(&event).await.unwrap();
    let answer = answer
        .result
        .unwrap_or_else(|error| panic!("{method} {address} failed: {error}\n{}", function.log()));
    let headers = answer["headers"].as_object().cloned().unwrap_or_default();
    assert!(headers.contains_key("x-request-id"), "{method} {address}");
    let body = answer["body"].as_str().expect("a body");
    Reply {
        status: answer["statusCode"].as_u64().expect("a status"),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
        headers,
    }
}
