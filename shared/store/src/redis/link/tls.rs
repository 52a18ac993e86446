//! Whom a connection trusts. Builds without the feature `tls` speak to Redis in the clear alone.

use redis::cluster::ClusterClientBuilder;
use redis::{Client, ConnectionAddr, ConnectionInfo, RedisResult};

use super::super::settings::RedisSettings;
use crate::{Error, ErrorKind};

/// Who may have signed the server's certificate; the public authorities when nothing is said.
pub(super) struct Trust {
    #[cfg(feature = "tls")]
    authorities: Option<redis::TlsCertificates>,
}

impl Trust {
    #[cfg(feature = "tls")]
    pub fn of(settings: &RedisSettings, info: &ConnectionInfo) -> Result<Self, Error> {
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            // Fails only when a provider is installed already, which is just as well.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let unread = |error| Error::because(ErrorKind::Invalid, "read REELWAY_REDIS_CA", error);
        let read = settings.ca.as_ref().map(std::fs::read).transpose();
        let authorities = read.map_err(unread)?.map(|pem| redis::TlsCertificates {
            client_tls: None,
            root_cert: Some(pem),
        });
        Ok(Self { authorities })
    }

    #[cfg(not(feature = "tls"))]
    pub fn of(_: &RedisSettings, info: &ConnectionInfo) -> Result<Self, Error> {
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Err(Error::new(ErrorKind::Invalid, "tls: not in this build"));
        }
        Ok(Self {})
    }

    pub fn client(self, info: ConnectionInfo) -> RedisResult<Client> {
        #[cfg(feature = "tls")]
        if let Some(authorities) = self.authorities {
            return Client::build_with_tls(info, authorities);
        }
        Client::open(info)
    }

    #[cfg_attr(
        not(feature = "tls"),
        expect(clippy::unused_self, reason = "trusts with the feature")
    )]
    pub fn cluster(&self, builder: ClusterClientBuilder) -> ClusterClientBuilder {
        #[cfg(feature = "tls")]
        if let Some(authorities) = &self.authorities {
            return builder.certs(authorities.clone());
        }
        builder
    }
}
