//! A watch that goes on where it was when its stream breaks.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

use crate::api::watch_client::WatchClient;
use crate::api::watch_request::RequestUnion;
use crate::api::{Event, WatchProgressRequest, WatchRequest, WatchResponse};
use crate::client::{Client, MAX_ANSWER};
use crate::error::{EtcdError, Failure};
use crate::resume::{Due, Outcome, Resume};

/// How long opening a stream may take.
const OPEN: Duration = Duration::from_secs(3);
/// How long to look for an endpoint before saying that there is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a watch tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Events, oldest first, each once.
    Events(Vec<Event>),
    /// Events may be lost: read everything anew, then call [`Watch::resume`]. Says why.
    Resync(String),
}

/// A watch of a range. It does nothing while nobody waits for [`Watch::next`].
#[derive(Debug)]
pub struct Watch {
    client: Client,
    resume: Resume,
    stream: Option<Stream>,
}

#[derive(Debug)]
struct Stream {
    number: u64,
    endpoint: usize,
    ask: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
}

/// Why a stream came to its end.
enum End {
    Failed(Failure),
    Silent,
}

impl Client {
    /// Watches a range for what comes after a revision.
    #[must_use]
    pub fn watch(&self, key: Vec<u8>, range_end: Vec<u8>, after: i64) -> Watch {
        let resume = Resume::new(key, range_end, after, Instant::now());
        Watch { client: self.clone(), resume, stream: None }
    }
}

impl Watch {
    /// Waits for what comes next, over as many streams as it takes. May be dropped and called again at any time.
    ///
    /// # Errors
    /// The user is refused; the next call tries anew. That etcd is away is no error: it waits.
    pub async fn next(&mut self) -> Result<Told, EtcdError> {
        loop {
            if self.stream.is_none() {
                self.open().await?;
            }
            let Some(stream) = &mut self.stream else { continue };
            let outcome = match heard(stream, &mut self.resume).await {
                Ok(answer) => self.resume.answer(stream.number, answer, Instant::now()),
                Err(end) => {
                    self.ended(end).await?;
                    continue;
                }
            };
            match outcome {
                Outcome::Nothing => {}
                Outcome::Events(events) => return Ok(Told::Events(events)),
                Outcome::Resync(why) => {
                    self.stream = None;
                    return Ok(Told::Resync(why));
                }
                Outcome::Broken(why) => {
                    self.ended(End::Failed(Failure::of(&Status::unavailable(why)))).await?;
                }
            }
        }
    }

    /// Goes on after a revision at which everything was read.
    pub fn resume(&mut self, after: i64) {
        self.stream = None;
        self.resume.at(after);
    }

    async fn open(&mut self) -> Result<(), EtcdError> {
        let Some((endpoint, wire)) = self.client.wire(Instant::now() + PATIENCE).await? else {
            return Ok(());
        };
        let token = wire.token.clone();
        let (number, request) = self.resume.open(Instant::now());
        let (ask, asked) = mpsc::channel(4);
        // The channel is new and has room.
        let _sent = ask.try_send(WatchRequest { request_union: Some(RequestUnion::CreateRequest(request)) });
        let mut client = WatchClient::new(wire).max_decoding_message_size(MAX_ANSWER);
        let opening = client.watch(Request::new(ReceiverStream::new(asked)));
        let failure = match tokio::time::timeout(OPEN, opening).await {
            Ok(Ok(answers)) => {
                self.client.answered(endpoint);
                self.stream = Some(Stream { number, endpoint, ask, answers: answers.into_inner() });
                return Ok(());
            }
            Ok(Err(status)) => Failure::of(&status),
            Err(_elapsed) => Failure::Undone("it does not open a watch".to_owned()),
        };
        self.failed(endpoint, token, failure).await
    }

    async fn ended(&mut self, end: End) -> Result<(), EtcdError> {
        let Some(stream) = self.stream.take() else { return Ok(()) };
        let failure = match end {
            End::Failed(failure) => failure,
            End::Silent => Failure::Undone("the watch is silent".to_owned()),
        };
        self.failed(stream.endpoint, None, failure).await
    }

    async fn failed(
        &self,
        endpoint: usize,
        token: Option<http::HeaderValue>,
        failure: Failure,
    ) -> Result<(), EtcdError> {
        match failure {
            Failure::Final(error) => Err(error),
            Failure::StaleToken(_) => {
                self.client.forget_token(token).await;
                Ok(())
            }
            Failure::Undone(cause) | Failure::Unknown(cause) => {
                tracing::debug!(cause, "a watch of etcd broke off");
                self.client.failed(endpoint, &cause);
                Ok(())
            }
        }
    }
}

/// The next answer; asks the member how far it is where it is silent.
async fn heard(stream: &mut Stream, resume: &mut Resume) -> Result<WatchResponse, End> {
    loop {
        let wake = match resume.due(Instant::now()) {
            Due::At(at) => at,
            Due::GiveUp => return Err(End::Silent),
            Due::Ask => {
                let progress = RequestUnion::ProgressRequest(WatchProgressRequest {});
                // Full, where the stream takes nothing any more: then it is given up soon.
                let _sent = stream.ask.try_send(WatchRequest { request_union: Some(progress) });
                resume.asked(Instant::now());
                continue;
            }
        };
        tokio::select! {
            biased;
            answer = stream.answers.message() => {
                return match answer {
                    Ok(Some(answer)) => Ok(answer),
                    Ok(None) => Err(End::Failed(Failure::Undone("the stream ended".to_owned()))),
                    Err(status) => Err(End::Failed(Failure::of(&status))),
                };
            }
            () = tokio::time::sleep_until(wake.into()) => {}
        }
    }
}
