//! A cold start while everything is down: the Lambda binary answers from what is inside it.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use tests::runtime_api::binary;
use tests::{Function, Proxy};

use super::row::Matrix;

const INVOCATIONS: usize = 100;

pub(super) async fn start(matrix: &mut Matrix) {
    // In front of nothing: it accepts, and closes at once.
    let nowhere = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))).unwrap();
    let endpoint = format!("http://{}", nowhere.addr());
    let redis = format!("redis://{}", nowhere.addr());
    let dir = tempfile::tempdir().unwrap();
    let environment = [
        ("REELWAY_BUCKET", "bucket"),
        ("REELWAY_REDIS_URL", redis.as_str()),
        ("REELWAY_REDIS_PLAIN", "true"),
        (
            "REELWAY_TOKEN_KEY",
            "a key for the suite that is long enough",
        ),
        ("REELWAY_AWS_ENDPOINT_DYNAMODB", endpoint.as_str()),
        ("REELWAY_AWS_ENDPOINT_KINESIS", endpoint.as_str()),
        ("REELWAY_AWS_ENDPOINT_S3", endpoint.as_str()),
        ("REELWAY_INDEX_DIR", dir.path().to_str().unwrap()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let binary = binary("recommend").unwrap();
    let mut function = Function::spawn(&binary, &environment).await.unwrap();
    for n in 0..INVOCATIONS {
        let answer = function.invoke(&question(n)).await.unwrap().result.unwrap();
        assert_eq!(answer["statusCode"], 200, "{answer}");
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["rung"], "builtin", "{body}");
        assert_eq!(body["items"].as_array().unwrap().len(), 20, "{body}");
    }
    matrix.note(format!(
        "everything down at a cold start of the Lambda binary: {INVOCATIONS} of {INVOCATIONS} answers valid, from the built-in list; init {:.0} ms",
        function.init().as_secs_f64() * 1e3
    ));
}

fn question(n: usize) -> Value {
    let query = match n % 3 {
        0 => format!("user_id=u{n}"),
        1 => "cohort=c1".to_owned(),
        _ => String::new(),
    };
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/recommend", "rawQueryString": query,
        "headers": { "host": "api.example.com" },
        "requestContext": {
            "accountId": "123456789012", "apiId": "api", "domainName": "api.example.com",
            "requestId": "JKJaXmPLvHcESHA=", "routeKey": "$default", "stage": "$default",
            "timeEpoch": 1_545_084_650_987_i64,
            "http": {
                "method": "GET", "path": "/recommend", "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.7", "userAgent": "suite",
            },
        },
        "isBase64Encoded": false,
    })
}
