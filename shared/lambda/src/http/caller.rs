//! Who calls, and whether they came the way they should.

use std::net::{IpAddr, SocketAddr};

use ::http::{HeaderMap, HeaderValue, StatusCode};
use ops::Secret;
use ops::settings::Reader;
use serde_json::Value;

use super::event::HttpEvent;

/// The edge writes the secret here on its way to us.
const EDGE_SECRET_HEADER: &str = "x-edge-secret";
/// The edge writes the viewer's address and port here.
const VIEWER_ADDRESS_HEADER: &str = "cloudfront-viewer-address";

/// Clients show their key here.
const API_KEY_HEADER: &str = "x-api-key";
/// Whoever watches over the service asks here.
const HEALTH: &str = "/health/";

/// Who calls, as API Gateway has verified it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// The `sub` claim of a token that an authorizer has accepted.
    pub subject: Option<String>,
    /// Whether the request was signed by a principal that IAM lets call this route.
    pub signed_by_iam: bool,
}

/// How requests must come, where API Gateway itself does not check it.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    secret: Option<Secret>,
    api_key: Option<Secret>,
}

impl Edge {
    /// Reads `REELWAY_EDGE_SECRET`, what the edge proves itself with, and `REELWAY_API_KEY`, what
    /// clients must show in `x-api-key`. Without them, everybody who can reach the API may call it.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            secret: reader.secret("REELWAY_EDGE_SECRET"),
            api_key: reader.secret("REELWAY_API_KEY"),
        }
    }

    /// Who calls and from where: the viewer's address where the edge vouches for it, else the
    /// peer's. Who is signed for IAM needs neither edge nor key; a health check needs no key.
    ///
    /// # Errors
    /// 403 around the edge, 401 without the key.
    pub(super) fn admit(&self, event: &HttpEvent) -> Result<(Caller, Option<IpAddr>), StatusCode> {
        let authorizer = event.request_context.authorizer.as_ref();
        let signed_by_iam = authorizer.is_some_and(|authorizer| authorizer.iam.is_some());
        let from_edge = match (&self.secret, event.header(EDGE_SECRET_HEADER)) {
            (Some(secret), Some(shown)) => secret.matches(shown),
            _ => false,
        };
        if self.secret.is_some() && !from_edge && !signed_by_iam {
            return Err(StatusCode::FORBIDDEN);
        }
        let needs_key = !signed_by_iam && !event.raw_path.starts_with(HEALTH);
        let key = self.api_key.as_ref().filter(|_| needs_key);
        let shown = event.header(API_KEY_HEADER).unwrap_or_default();
        if key.is_some_and(|key| !key.matches(shown)) {
            return Err(StatusCode::UNAUTHORIZED);
        }
        let viewer = event.header(VIEWER_ADDRESS_HEADER).filter(|_| from_edge);
        let address = viewer
            .and_then(viewer_address)
            .or_else(|| event.request_context.http.source_ip.parse().ok());
        let claims = authorizer.and_then(|authorizer| authorizer.jwt.as_ref());
        let subject = match claims.and_then(|jwt| jwt.claims.get("sub")) {
            Some(Value::String(subject)) => Some(subject.clone()),
            _ => None,
        };
        Ok((
            Caller {
                subject,
                signed_by_iam,
            },
            address,
        ))
    }
}

/// Replaces whatever a client may have claimed, and takes the secret away from what comes after.
pub(super) fn write_address(address: Option<IpAddr>, headers: &mut HeaderMap) {
    headers.remove(EDGE_SECRET_HEADER);
    headers.remove(VIEWER_ADDRESS_HEADER);
    let value = address.and_then(|address| HeaderValue::try_from(format!("{address}:0")).ok());
    if let Some(value) = value {
        headers.insert(VIEWER_ADDRESS_HEADER, value);
    }
}

/// `address:port`, where an IPv6 address is written without brackets.
fn viewer_address(text: &str) -> Option<IpAddr> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(socket.ip());
    }
    text.rsplit_once(':')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewers_address_is_read_with_its_port() {
        for (text, address) in [
            ("203.0.113.9:4711", Some("203.0.113.9")),
            ("2001:db8::7:4711", Some("2001:db8::7")),
            ("[2001:db8::7]:4711", Some("2001:db8::7")),
            ("nonsense", None),
            ("", None),
        ] {
            let address: Option<IpAddr> = address.map(|address| address.parse().unwrap());
            assert_eq!(viewer_address(text), address, "{text}");
        }
    }
}
