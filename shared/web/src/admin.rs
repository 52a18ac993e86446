//! Who may use admin routes.

use std::fmt;

use http::header::{AUTHORIZATION, FORWARDED, HOST, VIA};
use http::{Extensions, HeaderMap};
use sha2::{Digest, Sha256};

use crate::Problem;
use crate::caller::{Caller, peer};

/// Lets through: who the host vouches for, who knows the key; without a key, this machine only.
#[derive(Clone)]
pub struct AdminGuard {
    /// Hash of the key, so that comparing takes the same time for every guess.
    key: Option<[u8; 32]>,
}

impl AdminGuard {
    /// A guard with this key, or without one.
    #[must_use]
    pub fn new(key: Option<&str>) -> Self {
        Self {
            key: key.map(|key| Sha256::digest(key).into()),
        }
    }

    /// Checks a request.
    ///
    /// # Errors
    /// 401 where a key is configured, 403 where none is.
    pub fn check(&self, headers: &HeaderMap, extensions: &Extensions) -> Result<(), Problem> {
        if Caller::of(extensions).admin {
            return Ok(());
        }
        match &self.key {
            Some(key) => {
                let offered = offered(headers).map(Sha256::digest);
                let same = offered.is_some_and(|offered| equal(&offered, key));
                if same {
                    Ok(())
                } else {
                    Err(Problem::unauthorized())
                }
            }
            None if is_local(headers, extensions) => Ok(()),
            None => Err(Problem::forbidden()),
        }
    }
}

impl fmt::Debug for AdminGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminGuard")
            .field("keyed", &self.key.is_some())
            .finish()
    }
}

fn offered(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        scheme
            .eq_ignore_ascii_case(b"bearer ")
            .then(|| key.trim_ascii())
    });
    bearer.or_else(|| headers.get("x-admin-key").map(|value| value.as_bytes()))
}

/// Without a branch on the content.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// A loopback peer that asks for this machine by name and on its own behalf: neither a proxy's
/// client nor a web page whose name was made to resolve to us.
fn is_local(headers: &HeaderMap, extensions: &Extensions) -> bool {
    let loopback = peer(extensions).is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let proxied = headers.contains_key(FORWARDED)
        || headers.contains_key(VIA)
        || headers.contains_key("x-forwarded-for");
    let named = headers.get(HOST).is_none_or(|host| {
        let host = host.to_str().unwrap_or("?");
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next(),
            None => host.split(':').next(),
        };
        let name = name.unwrap_or_default();
        let ip = name.parse::<std::net::IpAddr>();
        name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
    });
    loopback && !proxied && named
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::extract::ConnectInfo;
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn status(
        key: Option<&str>,
        peer: Option<&str>,
        lines: &[(&'static str, &'static str)],
    ) -> u16 {
        let (mut headers, mut extensions) = (HeaderMap::new(), Extensions::new());
        for (name, value) in lines {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        if let Some(peer) = peer {
            extensions.insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        }
        match AdminGuard::new(key).check(&headers, &extensions) {
            Ok(()) => 200,
            Err(problem) => problem.status().as_u16(),
        }
    }

    #[test]
    fn a_configured_key_is_needed_by_everybody() {
        let local = Some("127.0.0.1:9");
        for (lines, expected) in [
            (&[("authorization", "Bearer s3cret")][..], 200),
            (&[("authorization", "bearer s3cret")], 200),
            (&[("x-admin-key", "s3cret")], 200),
            (&[("x-admin-key", "s3creT")], 401),
            (&[("x-admin-key", "")], 401),
            (&[("authorization", "Basic s3cret")], 401),
            (&[], 401),
        ] {
            assert_eq!(status(Some("s3cret"), local, lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn without_a_key_only_this_machine_may() {
        let local = Some("127.0.0.1:9");
        assert_eq!(status(None, local, &[]), 200);
        assert_eq!(status(None, local, &[("host", "localhost:3000")]), 200);
        assert_eq!(
            status(None, Some("[::1]:9"), &[("host", "[::1]:3000")]),
            200
        );
        assert_eq!(status(None, Some("192.0.2.1:9"), &[]), 403);
        assert_eq!(status(None, None, &[]), 403);
        assert_eq!(
            status(None, local, &[("x-forwarded-for", "192.0.2.1")]),
            403
        );
        assert_eq!(status(None, local, &[("host", "rebound.example")]), 403);
    }

    #[test]
    fn whom_the_host_vouches_for_needs_no_key() {
        let mut extensions = Extensions::new();
        extensions.insert(Caller {
            subject: None,
            admin: true,
        });
        assert!(
            AdminGuard::new(Some("k"))
                .check(&HeaderMap::new(), &extensions)
                .is_ok()
        );
    }

    #[test]
    fn the_key_is_not_shown() {
        assert!(!format!("{:?}", AdminGuard::new(Some("s3cret"))).contains("s3cret"));
    }
}
