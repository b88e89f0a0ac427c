//! Reading `https://host:port`.

use http::Uri;
use http::uri::{Authority, Scheme};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_transport::tls::Trust;
use rustls_pki_types::ServerName;

use crate::channel::ChannelConfig;
use crate::connector::Target;

/// Whether a text is an endpoint: `https://host:port` without path, query or user.
///
/// # Errors
/// Why it is not one.
pub fn validate_endpoint(endpoint: &str) -> Result<()> {
    authority(endpoint).map(drop)
}

/// Where a channel's connections go, and what it calls the peer in requests.
pub(crate) fn target(config: &ChannelConfig) -> Result<(Authority, Target)> {
    let authority = authority(&config.endpoint)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let name = config.tls.server_name.as_deref().unwrap_or(host);
    let server_name = ServerName::try_from(name.to_owned()).map_err(|error| {
        OperatorError::new(ErrorKind::Config, format!("`{name}` is not a server's name"))
            .caused_by(&error)
            .hint("use a DNS name or an IP address")
    })?;
    let trust = Trust::new(&config.tls, server_name.clone())?;
    let target = Target {
        host: host.into(),
        port: authority.port_u16().unwrap_or(443),
        server_name,
        connect_timeout: config.connect_timeout,
        keep_alive: config.keep_alive,
        trust,
        max_connections: config.max_connections,
    };
    Ok((authority, target))
}

fn authority(endpoint: &str) -> Result<Authority> {
    let wrong = |why: &str| {
        OperatorError::new(ErrorKind::Config, format!("`{endpoint}` is not an endpoint"))
            .because(why)
            .hint("write `https://host:port`")
    };
    let uri: Uri = endpoint.parse().map_err(|error: http::uri::InvalidUri| wrong(&error.to_string()))?;
    if uri.scheme() != Some(&Scheme::HTTPS) {
        return Err(wrong("only https is spoken"));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("it has a path"));
    }
    let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
    // The parser drops a fragment, and with it whatever somebody took for the host.
    if endpoint.contains('#') {
        return Err(wrong("it has a fragment"));
    }
    if authority.as_str().contains('@') {
        return Err(wrong("it carries a user's name"));
    }
    // `port_u16` is also empty for a port that is no port; calling 443 then would be somebody else's.
    let after_host = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    if !after_host.is_empty() && authority.port_u16().unwrap_or_default() == 0 {
        return Err(wrong("its port is not 1 to 65535"));
    }
    Ok(authority.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_parser_would_drop_is_refused() {
        for endpoint in ["https://a#b", "https://u#ser@a:1", "https://a:1/#", "https://u@a:1", "https://a/b"]
        {
            assert!(validate_endpoint(endpoint).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn a_port_that_is_no_port_is_refused_and_never_replaced() {
        for endpoint in
            ["https://a", "https://a:1", "https://127.0.0.1:65535", "https://[::1]:7400", "https://[::1]"]
        {
            assert!(validate_endpoint(endpoint).is_ok(), "{endpoint}");
        }
        for endpoint in
            ["https://a:", "https://a:0", "https://a:65536", "https://127.0.0.1:99999", "https://[::1]:x"]
        {
            assert!(validate_endpoint(endpoint).is_err(), "{endpoint}");
        }
    }
}
