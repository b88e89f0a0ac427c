//! Reading `https://host:port`, and what is called on this machine alone: `http://127.0.0.1:port` and `unix:/path`.

use std::path::PathBuf;

use http::Uri;
use http::uri::{Authority, Scheme};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_transport::tls::Trust;
use rustls_pki_types::ServerName;

use crate::channel::ChannelConfig;
use crate::connector::{Local, Place, Target};

/// Whether a text is an endpoint: `https://host:port`, `http://host:port` of a loopback address, each without path,
/// query or user, or `unix:/absolute/path`.
///
/// # Errors
/// Why it is not one.
pub fn validate_endpoint(endpoint: &str) -> Result<()> {
    read(endpoint).map(drop)
}

/// Where a channel's connections go, and what it calls the peer in requests.
pub(crate) fn target(config: &ChannelConfig) -> Result<(Authority, Target)> {
    let (authority, local) = read(&config.endpoint)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let place = match local {
        Some(local) => Place::Local(local),
        None => {
            let name = config.tls.server_name.as_deref().unwrap_or(host);
            let server_name = ServerName::try_from(name.to_owned()).map_err(|error| {
                OperatorError::new(ErrorKind::Config, format!("`{name}` is not a server's name"))
                    .caused_by(&error)
                    .hint("use a DNS name or an IP address")
            })?;
            let trust = Trust::new(&config.tls, server_name.clone())?;
            Place::Remote { host: host.into(), port: authority.port_u16().unwrap_or(443), server_name, trust }
        }
    };
    let target = Target {
        place,
        connect_timeout: config.connect_timeout,
        keep_alive: config.keep_alive,
        max_connections: config.max_connections,
    };
    Ok((authority, target))
}

/// What a text names, and where that is on this machine if it is spoken to in the clear.
fn read(endpoint: &str) -> Result<(Authority, Option<Local>)> {
    let wrong = |why: &str| {
        OperatorError::new(ErrorKind::Config, format!("`{endpoint}` is not an endpoint")).because(why).hint(
            "write `https://host:port`; on this machine `http://127.0.0.1:port` or `unix:/absolute/path` will do",
        )
    };
    if let Some(path) = endpoint.strip_prefix("unix:") {
        if !cfg!(unix) {
            return Err(wrong("this platform has no socket files"));
        }
        // A path in `sockaddr_un` has room for 107 bytes (unix(7)).
        if !path.starts_with('/') || path.len() > 107 || path.contains('\0') {
            return Err(wrong("a socket file has an absolute path of at most 107 bytes"));
        }
        return Ok((Authority::from_static("localhost"), Some(Local::Unix(PathBuf::from(path).into()))));
    }
    let uri: Uri = endpoint.parse().map_err(|error: http::uri::InvalidUri| wrong(&error.to_string()))?;
    let is_clear = uri.scheme() == Some(&Scheme::HTTP);
    if !is_clear && uri.scheme() != Some(&Scheme::HTTPS) {
        return Err(wrong("it has another scheme"));
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
    if !is_clear {
        return Ok((authority.clone(), None));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let address: Option<std::net::IpAddr> = host.parse().ok();
    if !address.is_some_and(|address| address.is_loopback()) {
        return Err(wrong("in the clear a loopback address alone is called"));
    }
    let port = authority.port_u16().unwrap_or(80);
    Ok((authority.clone(), address.map(|address| Local::Loopback((address, port).into()))))
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
    fn in_the_clear_this_machine_alone_is_called() {
        for endpoint in ["http://127.0.0.1:80", "http://127.1.2.3:7", "http://[::1]:7", "http://127.0.0.1"] {
            assert!(validate_endpoint(endpoint).is_ok(), "{endpoint}");
        }
        // A name may mean another machine tomorrow.
        for endpoint in [
            "http://localhost:80",
            "http://a:80",
            "http://10.0.0.1:80",
            "http://127.0.0.1:0",
            "ftp://127.0.0.1",
        ] {
            assert!(validate_endpoint(endpoint).is_err(), "{endpoint}");
        }
        assert_eq!(validate_endpoint("unix:/run/a.sock").is_ok(), cfg!(unix));
        for endpoint in ["unix:run/a.sock", "unix:", &format!("unix:/{}", "a".repeat(107))] {
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
