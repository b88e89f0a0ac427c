//! What every QUIC connection of a listener may use.

use std::sync::Arc;
use std::time::Duration;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{IdleTimeout, ServerConfig, VarInt};

use crate::limits::Limits;
use crate::quic;

/// HTTP/3 needs three streams one way; the rest is for what it may become. quinn keeps memory for
/// each that is allowed.
const UNIDIRECTIONAL: u32 = 8;
/// Bytes that a peer may send ahead of their being read, on a stream and on all together.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// QUIC with a listener's certificates and bounds.
pub(crate) fn server_config(tls: rustls::ServerConfig, limits: &Limits) -> Result<ServerConfig> {
    let broken = |error: &(dyn std::error::Error + 'static)| {
        OperatorError::new(ErrorKind::Internal, "QUIC cannot start").caused_by(error)
    };
    let crypto = QuicServerConfig::try_from(tls).map_err(|error| broken(&error))?;
    let idle = IdleTimeout::try_from(limits.idle_timeout().min(Duration::from_secs(3600)));
    let mut transport = quic::transport_config();
    transport
        .max_concurrent_bidi_streams(limits.first_streams().into())
        .max_concurrent_uni_streams(UNIDIRECTIONAL.into())
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(u64::from(CONNECTION_WINDOW))
        .max_idle_timeout(Some(idle.map_err(|error| broken(&error))?));
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    // Handshakes that wait for us to look at them; those beyond are refused by QUIC itself.
    config.max_incoming(usize::try_from(limits.max_handshakes).unwrap_or(usize::MAX));
    Ok(config)
}
