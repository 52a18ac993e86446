//! Who is asking, as far as the host can tell.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use engine::UserId;
use http::{Extensions, HeaderMap};
use smol_str::SmolStr;

use crate::Problem;

/// The viewer's address and port, as the edge saw it.
const VIEWER_ADDRESS: &str = "cloudfront-viewer-address";
/// Networks that region-level limits count, RFC 6177 for the second.
const PREFIX_V4_BITS: u32 = 24;
const PREFIX_V6_BITS: u32 = 48;

/// What the host's authorizer found out; a host that has one puts it into the request's extensions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The subject of a verified token (JWT `sub`).
    pub subject: Option<SmolStr>,
    /// Whether the caller may use admin routes (IAM).
    pub admin: bool,
}

impl Caller {
    /// The caller of a request; nobody in particular when the host said nothing.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }

    /// Checks that a caller with a subject speaks only of itself.
    ///
    /// # Errors
    /// 403.
    pub fn may_act_for(&self, user: &UserId) -> Result<(), Problem> {
        match &self.subject {
            Some(subject) if subject != user.as_str() => Err(Problem::forbidden()),
            _ => Ok(()),
        }
    }
}

/// A well-mixed hash of the client's network: /24 of IPv4, /48 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix(pub u64);

impl Prefix {
    /// The network of the peer that the host accepted, else of the viewer that the edge names.
    ///
    /// A header counts only where there is no peer, so that a client of a directly reachable
    /// process cannot choose its own network.
    #[must_use]
    pub fn of(headers: &HeaderMap, extensions: &Extensions) -> Option<Self> {
        peer(extensions)
            .map(|peer| peer.ip())
            .or_else(|| viewer(headers))
            .map(Self::of_ip)
    }

    fn of_ip(ip: IpAddr) -> Self {
        // Hashed together with the length of the network, which keeps the two families apart.
        let network = match ip.to_canonical() {
            IpAddr::V4(ip) => (
                u128::from(ip.to_bits() >> (u32::BITS - PREFIX_V4_BITS)),
                PREFIX_V4_BITS,
            ),
            IpAddr::V6(ip) => (
                ip.to_bits() >> (u128::BITS - PREFIX_V6_BITS),
                PREFIX_V6_BITS,
            ),
        };
        let seed = u64::from(network.1);
        Self(xxhash_rust::xxh3::xxh3_64_with_seed(
            &network.0.to_le_bytes(),
            seed,
        ))
    }
}

/// The peer of the connection, when the host knows it.
#[must_use]
pub fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(peer)| *peer)
}

fn viewer(headers: &HeaderMap) -> Option<IpAddr> {
    let text = headers.get(VIEWER_ADDRESS)?.to_str().ok()?;
    let (ip, _port) = text.rsplit_once(':')?;
    ip.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn prefix(peer: Option<&str>, viewer: Option<&'static str>) -> Option<Prefix> {
        let (mut headers, mut extensions) = (HeaderMap::new(), Extensions::new());
        if let Some(peer) = peer {
            extensions.insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        }
        if let Some(viewer) = viewer {
            headers.insert(VIEWER_ADDRESS, HeaderValue::from_static(viewer));
        }
        Prefix::of(&headers, &extensions)
    }

    #[test]
    fn neighbours_share_a_prefix_and_strangers_do_not() {
        let of = |peer| prefix(Some(peer), None);
        assert_eq!(of("192.0.2.1:1"), of("192.0.2.200:2"));
        assert_ne!(of("192.0.2.1:1"), of("192.0.3.1:1"));
        assert_eq!(of("[2001:db8:1:2::1]:1"), of("[2001:db8:1:ffff::1]:1"));
        assert_ne!(of("[2001:db8:1::1]:1"), of("[2001:db8:2::1]:1"));
        assert_eq!(of("[::ffff:192.0.2.1]:1"), of("192.0.2.9:1"));
    }

    #[test]
    fn a_header_speaks_only_where_there_is_no_peer() {
        let forged = prefix(Some("192.0.2.1:1"), Some("198.51.100.1:5"));
        assert_eq!(forged, prefix(Some("192.0.2.1:1"), None));
        let edge = prefix(None, Some("192.0.2.77:46532"));
        assert_eq!(edge, prefix(Some("192.0.2.1:1"), None));
        assert!(prefix(None, Some("2001:db8:1::1:46532")).is_some());
        assert_eq!(prefix(None, Some("nonsense")), None);
        assert_eq!(prefix(None, None), None);
    }

    #[test]
    fn a_subject_speaks_only_of_itself() {
        let user = UserId::parse("u1").unwrap();
        let caller = |subject: Option<&str>| Caller {
            subject: subject.map(SmolStr::new),
            admin: false,
        };
        assert!(caller(None).may_act_for(&user).is_ok());
        assert!(caller(Some("u1")).may_act_for(&user).is_ok());
        assert_eq!(
            caller(Some("u2")).may_act_for(&user).unwrap_err().status(),
            403
        );
    }
}
