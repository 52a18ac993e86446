//! TLS and a password, with certificates made here.

use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

/// An authority and a certificate that it signed for 127.0.0.1.
fn certificates(dir: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    std::fs::write(dir.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
    let steps = [
        format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"),
        format!("req {key} -keyout server.key -out server.csr -subj /CN=server"),
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names \
         -out server.pem"
            .to_owned(),
    ];
    for step in steps {
        let made = Command::new("openssl")
            .args(step.split_whitespace())
            .current_dir(dir)
            .stderr(Stdio::null())
            .status()
            .expect("openssl is on the path");
        assert!(made.success(), "openssl {step}");
    }
}

fn speaks_tls() -> bool {
    let asked = Command::new("redis-server")
        .args(["--tls-port", "0", "--port", "-1"])
        .output();
    // Without TLS the option is unknown; with it, the port is out of range.
    asked.is_ok_and(|said| !String::from_utf8_lossy(&said.stderr).contains("Bad directive"))
}

#[tokio::test]
async fn a_server_is_believed_that_the_named_authority_signed_for_and_no_other() {
    if !speaks_tls() {
        println!("skipped: this redis-server speaks no TLS");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (certificate, key, ca) = (file("server.pem"), file("server.key"), file("ca.pem"));
    let server = RedisServer::start(&[
        "--port",
        "0",
        "--tls-port",
        "{port}",
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
        "--requirepass",
        "right",
    ])
    .await;
    let clock = clock();
    let settings = |password: &str, ca: Option<&str>| RedisSettings {
        password: Some(ops::Secret::new(password)),
        ca: ca.map(Into::into),
        ..RedisSettings::new(&format!("rediss://{}", server.addr()))
    };
    let shared = connect(&settings("right", Some(&ca)), &clock).await;
    let stored = value(1, 1, "sealed", &clock);
    shared.set_together(&[stored], &soon(&clock)).await.unwrap();
    assert_eq!(
        read(&shared, 1, &soon(&clock)).await,
        Ok(Some("sealed".into()))
    );

    for (what, settings) in [
        ("public authorities only", settings("right", None)),
        ("a wrong password", settings("wrong", Some(&ca))),
        (
            "no TLS",
            RedisSettings::new(&format!("redis://{}", server.addr())),
        ),
    ] {
        let refused = connect(&settings, &clock).await;
        let answer = read(&refused, 1, &soon(&clock)).await;
        assert!(
            matches!(answer, Err(Lapse::Unavailable | Lapse::Timeout)),
            "{what}: {answer:?}"
        );
    }
    let missing = Dialer::new(&settings("right", Some("/nowhere/ca.pem")));
    assert!(missing.is_err_and(|error| error.to_string().contains("REELWAY_REDIS_CA")));
}
