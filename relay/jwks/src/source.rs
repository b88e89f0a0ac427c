//! Where the keys of one issuer come from.

use std::path::PathBuf;
use std::time::Duration;

use http::header::{ACCEPT, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, StatusCode, Uri};
use omnirelay_runtime::{ErrorKind, OperatorError, Result, file};
use relay_client::{Channel, ChannelConfig};
use relay_core::Status;
use relay_jwt::{KeySet, MAX_KEYS_BYTES};
use relay_transport::auth::{IssuerConfig, KeysAt, KeysRead};
use relay_transport::body;

/// How long an issuer may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Source {
    place: Place,
    /// What was read last: the same again changes nothing.
    last: Vec<u8>,
}

enum Place {
    File(PathBuf),
    Url { channel: Channel, path: PathAndQuery },
}

impl Source {
    pub(crate) fn new(config: &IssuerConfig) -> Result<Self> {
        let off = |problem: String| OperatorError::new(ErrorKind::Config, problem);
        let place = match config.keys_at().map_err(off)? {
            KeysAt::File(path) => Place::File(path),
            KeysAt::Url { endpoint, path } => {
                let mut channel = ChannelConfig::new(endpoint, config.tls.clone());
                channel.protocols.clone_from(&config.protocols);
                Place::Url { channel: Channel::new(&channel)?, path }
            }
        };
        Ok(Self { place, last: Vec::new() })
    }

    /// Reads what can be read without waiting for anybody.
    pub(crate) fn read_at_once(&mut self) -> Result<Option<KeysRead>> {
        let Place::File(path) = &self.place else { return Ok(None) };
        let path = path.display().to_string();
        self.read_file().map(Some).map_err(|cause| {
            OperatorError::new(
                ErrorKind::Config,
                format!("{path} holds no keys to verify tokens with: {cause}"),
            )
            .hint("name a JSON Web Key Set with the issuer's public keys, as its `jwks_uri` gives it")
        })
    }

    /// Reads the keys; says why where that cannot be done.
    pub(crate) async fn read(&mut self) -> Result<KeysRead, String> {
        let (channel, path) = match &self.place {
            Place::File(_) => return self.read_file(),
            Place::Url { channel, path } => (channel.clone(), path.clone()),
        };
        let bytes = tokio::time::timeout(PATIENCE, fetch(&channel, path));
        self.taken(bytes.await.map_err(|_elapsed| format!("no answer within {PATIENCE:?}"))??)
    }

    pub(crate) async fn close(&self) {
        if let Place::Url { channel, .. } = &self.place {
            channel.close().await;
        }
    }

    fn read_file(&mut self) -> Result<KeysRead, String> {
        let Place::File(path) = &self.place else { return Ok(KeysRead::Same) };
        let bytes = file::read_at_most(path, MAX_KEYS_BYTES as u64).map_err(|error| error.to_string())?;
        self.taken(bytes)
    }

    fn taken(&mut self, bytes: Vec<u8>) -> Result<KeysRead, String> {
        if bytes == self.last {
            return Ok(KeysRead::Same);
        }
        let keys = KeySet::parse(&bytes).map_err(|error| error.to_string())?;
        self.last = bytes;
        Ok(KeysRead::New(keys))
    }
}

async fn fetch(channel: &Channel, path: PathAndQuery) -> Result<Vec<u8>, String> {
    let mut request = Request::new(body::empty());
    *request.uri_mut() = Uri::from(path);
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static("omnirelay"));
    let answer = channel.send(request).await.map_err(|error| Status::from(&error).message)?;
    if answer.status() != StatusCode::OK {
        return Err(format!("it answers {}", answer.status().as_u16()));
    }
    let bytes = body::collect_limited(answer.into_body(), MAX_KEYS_BYTES).await;
    bytes.map(|bytes| bytes.to_vec()).map_err(|status| status.message)
}
