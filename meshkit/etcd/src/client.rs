//! Calls that find an endpoint that answers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;
use omnirelay_runtime::{ErrorKind, OperatorError};
use relay_client::{Channel, ChannelConfig};
use relay_core::Protocol;
use relay_transport::tls::ClientTlsConfig;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tonic::{Request, Response, Status};

use crate::api;
use crate::api::auth_client::AuthClient;
use crate::api::kv_client::KvClient;
use crate::api::lease_client::LeaseClient;
use crate::api::maintenance_client::MaintenanceClient;
use crate::credentials::UserConfig;
use crate::endpoints::{Choice, Endpoints};
use crate::error::{EtcdError, Failure};
use crate::random;
use crate::wire::Wire;

/// How long one endpoint may take to answer before another one is tried: a member that is paused says nothing.
const TRY: Duration = Duration::from_secs(3);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// The most bytes of an answer.
pub(crate) const MAX_ANSWER: usize = 128 << 20;

/// Which etcd, and who we are to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `https://host:port` of each member.
    pub endpoints: Vec<String>,
    /// Whom to believe, and our certificate.
    pub tls: ClientTlsConfig,
    /// Our user, where certificates alone do not say it.
    pub user: Option<UserConfig>,
}

/// Calls one etcd cluster. Cloning is cheap, and clones share connections and token.
///
/// **Every request is sent again where an answer is missing**, so only what may be carried out twice is to be given to
/// it: reads, and transactions whose comparisons fail once they were carried out.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    channels: Vec<Channel>,
    endpoints: Mutex<Endpoints>,
    user: Option<UserConfig>,
    token: AsyncMutex<Option<HeaderValue>>,
    trouble: watch::Sender<Option<String>>,
}

impl Client {
    /// Makes a client; connections are opened by the first call.
    ///
    /// # Errors
    /// No endpoint, one that is no URL, or files that cannot be read.
    pub fn new(config: &Config) -> Result<Self, OperatorError> {
        if config.endpoints.is_empty() {
            return Err(OperatorError::new(ErrorKind::Config, "etcd has no endpoints")
                .hint("name the client URL of each member, such as `https://etcd-1:2379`"));
        }
        if let Some(user) = &config.user {
            user.read()?;
        }
        let channel = |endpoint: &String| {
            let mut channel = ChannelConfig::new(endpoint, config.tls.clone());
            channel.protocols = vec![Protocol::Http2];
            channel.connect_timeout = CONNECT;
            Channel::new(&channel)
        };
        let channels = config.endpoints.iter().map(channel).collect::<Result<Vec<_>, _>>()?;
        // Nodes spread over the members.
        let first = usize::try_from(random() % 1_024).unwrap_or_default();
        Ok(Self(Arc::new(Inner {
            endpoints: Mutex::new(Endpoints::new(channels.len(), first)),
            channels,
            user: config.user.clone(),
            token: AsyncMutex::default(),
            trouble: watch::Sender::new(None),
        })))
    }

    /// Why etcd cannot be used now; `None` while it answers.
    #[must_use]
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.0.trouble.subscribe()
    }

    /// Reads keys.
    ///
    /// # Errors
    /// An [`EtcdError`], as every call: [`EtcdError::Unavailable`] after `patience`.
    pub async fn range(
        &self,
        request: api::RangeRequest,
        patience: Duration,
    ) -> Result<api::RangeResponse, EtcdError> {
        let call = async |wire, request| kv(wire).range(request).await;
        self.call(patience, request, call).await
    }

    /// Carries out a transaction that fails its own comparisons once it was carried out.
    ///
    /// # Errors
    /// As [`Client::range`].
    pub async fn txn(
        &self,
        request: api::TxnRequest,
        patience: Duration,
    ) -> Result<api::TxnResponse, EtcdError> {
        let call = async |wire, request| kv(wire).txn(request).await;
        self.call(patience, request, call).await
    }

    /// Forgets history before a revision.
    ///
    /// # Errors
    /// As [`Client::range`]; [`EtcdError::Compacted`] where that was done already.
    pub async fn compact(&self, revision: i64, patience: Duration) -> Result<(), EtcdError> {
        let request = api::CompactionRequest { revision, physical: false };
        let call = async |wire, request| kv(wire).compact(request).await;
        self.call(patience, request, call).await.map(drop)
    }

    /// What one of the members says of itself.
    ///
    /// # Errors
    /// As [`Client::range`].
    pub async fn status(&self, patience: Duration) -> Result<api::StatusResponse, EtcdError> {
        let call = async |wire, request| MaintenanceClient::new(wire).status(request).await;
        self.call(patience, api::StatusRequest {}, call).await
    }

    pub(crate) async fn lease_grant(
        &self,
        seconds: i64,
        patience: Duration,
    ) -> Result<api::LeaseGrantResponse, EtcdError> {
        let request = api::LeaseGrantRequest { ttl: seconds, id: 0 };
        let call = async |wire, request| LeaseClient::new(wire).lease_grant(request).await;
        self.call(patience, request, call).await
    }

    /// Lives on for a lease's time; 0 seconds where it is gone.
    pub(crate) async fn lease_renew(&self, id: i64, patience: Duration) -> Result<i64, EtcdError> {
        let call = async |wire, request: Request<api::LeaseKeepAliveRequest>| {
            let asked = tokio_stream::once(request.into_inner());
            let mut answers = LeaseClient::new(wire).lease_keep_alive(asked).await?.into_inner();
            let answer = answers.message().await?;
            answer.map(Response::new).ok_or_else(|| Status::unavailable("the stream ended without an answer"))
        };
        let answer = self.call(patience, api::LeaseKeepAliveRequest { id }, call).await?;
        Ok(answer.ttl)
    }

    pub(crate) async fn lease_revoke(&self, id: i64, patience: Duration) -> Result<(), EtcdError> {
        let request = api::LeaseRevokeRequest { id };
        let call = async |wire, request| LeaseClient::new(wire).lease_revoke(request).await;
        self.call(patience, request, call).await.map(drop)
    }

    /// Tries endpoint after endpoint for as long as `patience` lasts.
    async fn call<A: Clone, B>(
        &self,
        patience: Duration,
        message: A,
        send: impl AsyncFn(Wire, Request<A>) -> Result<Response<B>, Status>,
    ) -> Result<B, EtcdError> {
        let deadline = Instant::now() + patience;
        let (mut maybe_done, mut cause) = (false, "no endpoint could be tried in time".to_owned());
        loop {
            let Some((index, wire)) = self.wire(deadline).await? else {
                return Err(EtcdError::Unavailable { maybe_done, cause });
            };
            let stale = wire.token.clone();
            let time = TRY.min(deadline.saturating_duration_since(Instant::now()));
            let outcome = match tokio::time::timeout(time, send(wire, Request::new(message.clone()))).await {
                Ok(Ok(response)) => {
                    self.answered(index);
                    return Ok(response.into_inner());
                }
                Ok(Err(status)) => Failure::of(&status),
                Err(_elapsed) => Failure::Unknown(format!("no answer within {} ms", time.as_millis())),
            };
            let at = self.0.channels[index].endpoint();
            match outcome {
                Failure::Final(error) => {
                    self.answered(index);
                    return Err(error);
                }
                Failure::StaleToken(_) => self.forget_token(stale).await,
                Failure::Undone(text) => {
                    cause = format!("{at}: {text}");
                    self.failed(index, &cause);
                }
                Failure::Unknown(text) => {
                    maybe_done = true;
                    cause = format!("{at}: {text}");
                    self.failed(index, &cause);
                }
            }
        }
    }

    /// The endpoint to call, with a token where one is needed; `None` where there is none before `deadline`.
    pub(crate) async fn wire(&self, deadline: Instant) -> Result<Option<(usize, Wire)>, EtcdError> {
        loop {
            let now = Instant::now();
            if now >= deadline {
                return Ok(None);
            }
            let choice = self.endpoints().choose(now);
            match choice {
                Choice::Call(index) => {
                    let channel = self.0.channels[index].clone();
                    match self.token(&channel, deadline).await {
                        Ok(token) => return Ok(Some((index, Wire { channel, token }))),
                        Err(Failure::Final(error)) => return Err(error),
                        Err(Failure::Undone(text) | Failure::Unknown(text) | Failure::StaleToken(text)) => {
                            self.failed(index, &text);
                        }
                    }
                }
                Choice::Wait(until) => tokio::time::sleep_until(until.min(deadline).into()).await,
            }
        }
    }

    pub(crate) fn answered(&self, index: usize) {
        self.endpoints().answered(index);
        self.0.trouble.send_if_modified(|trouble| trouble.take().is_some());
    }

    pub(crate) fn failed(&self, index: usize, cause: &str) {
        tracing::debug!(cause, "an endpoint of etcd failed");
        let mut endpoints = self.endpoints();
        endpoints.failed(index, Instant::now(), random());
        if endpoints.all_failed() {
            self.0.trouble.send_replace(Some(format!("etcd does not answer: {cause}")));
        }
    }

    fn endpoints(&self) -> MutexGuard<'_, Endpoints> {
        self.0.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token of our user; fetched once for all who wait for it.
    async fn token(&self, channel: &Channel, deadline: Instant) -> Result<Option<HeaderValue>, Failure> {
        let Some(user) = &self.0.user else { return Ok(None) };
        let mut token = self.0.token.lock().await;
        if token.is_none() {
            let password = user.password().map_err(Failure::Final)?;
            let request = api::AuthenticateRequest { name: user.name.clone(), password };
            let mut client = AuthClient::new(Wire { channel: channel.clone(), token: None });
            let time = TRY.min(deadline.saturating_duration_since(Instant::now()));
            let asked = tokio::time::timeout(time, client.authenticate(request)).await;
            let answer = asked
                .map_err(|_elapsed| Failure::Undone("no answer to the user's name and password".to_owned()))?
                .map_err(|status| Failure::of(&status))?;
            let mut value = HeaderValue::from_str(&answer.into_inner().token)
                .map_err(|_| Failure::Final(EtcdError::Auth("its token is none".to_owned())))?;
            value.set_sensitive(true);
            *token = Some(value);
        }
        Ok(token.clone())
    }

    pub(crate) async fn forget_token(&self, stale: Option<HeaderValue>) {
        let mut token = self.0.token.lock().await;
        if *token == stale {
            *token = None;
        }
    }
}

fn kv(wire: Wire) -> KvClient<Wire> {
    KvClient::new(wire).max_decoding_message_size(MAX_ANSWER)
}
