//! Following records: what there is, then every change, across restarts of either side.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

use omnirelay_proto::meshkit::v1;
use relay_core::Code;
use v1::WatchEventType;

use crate::client::MeshClient;
use crate::error::MeshError;

mod clusters;
mod members;
mod peers;

pub use clusters::{ClusterChange, ClusterWatch};
pub use members::{MemberChange, MemberWatch};
pub use peers::{PeerChange, PeerWatch};

/// How long to wait before the control plane is called again: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// What became of records that are followed.
#[derive(Clone, Debug, PartialEq)]
pub enum Followed<T> {
    /// These and no others are there: at first, and where changes were missed. What was known
    /// before is to be forgotten.
    Listed(Vec<T>),
    /// This one is new or changed.
    Put(Box<T>),
    /// The one of this id is gone, or is none that is asked for any more.
    Deleted(String),
}

/// What is listed and then watched from the revision of the listing on.
trait Source: Debug {
    /// The records.
    type Record: Debug;
    /// What a watch sends.
    type Message: Debug;

    /// All of them, and the revision that nothing before is missing of.
    async fn list(&self, client: &MeshClient) -> Result<(Vec<Self::Record>, u64), MeshError>;

    /// Opens a watch behind a revision, or where a token says.
    async fn open(
        &self,
        client: &MeshClient,
        after_revision: u64,
        resume_token: String,
    ) -> Result<tonic::Streaming<Self::Message>, tonic::Status>;

    /// The event of a message, and the record where it has one.
    fn read(message: Self::Message) -> (Option<v1::WatchEvent>, Option<Self::Record>);
}

/// Follows a source.
#[derive(Debug)]
struct Watch<S: Source> {
    client: MeshClient,
    source: S,
    events: Option<tonic::Streaming<S::Message>>,
    /// Where to go on; empty before the first listing and where changes were missed.
    token: String,
    pause: Duration,
    told: VecDeque<Followed<S::Record>>,
}

impl<S: Source> Watch<S> {
    fn new(client: &MeshClient, source: S) -> Self {
        let (token, told) = (String::new(), VecDeque::new());
        Self { client: client.clone(), source, events: None, token, pause: FIRST_PAUSE, told }
    }

    /// The next change. Dropping the future loses nothing.
    async fn next(&mut self) -> Result<Followed<S::Record>, MeshError> {
        loop {
            if let Some(change) = self.told.pop_front() {
                return Ok(change);
            }
            match self.step().await {
                Ok(()) => self.pause = FIRST_PAUSE,
                Err(error) => {
                    self.events = None;
                    wait(error, &mut self.pause).await?;
                }
            }
        }
    }

    /// Connects, or takes one event.
    async fn step(&mut self) -> Result<(), MeshError> {
        let Some(events) = &mut self.events else {
            return self.connect().await;
        };
        let endpoint = self.client.channel().endpoint();
        let answer = events.message().await.map_err(|status| MeshError::from_grpc(endpoint, &status))?;
        let Some(answer) = answer else {
            self.events = None;
            return Ok(());
        };
        let (event, record) = S::read(answer);
        let event = event.unwrap_or_default();
        match event.r#type() {
            WatchEventType::Put => self.told.extend(record.map(|record| Followed::Put(Box::new(record)))),
            WatchEventType::Deleted => self.told.push_back(Followed::Deleted(event.key)),
            WatchEventType::ResyncRequired => {
                self.token.clear();
                self.events = None;
                return Ok(());
            }
            WatchEventType::Bookmark | WatchEventType::Unspecified => {}
        }
        self.token = event.resume_token;
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), MeshError> {
        let (mut listed, mut after) = (None, 0);
        if self.token.is_empty() {
            let (records, revision) = self.source.list(&self.client).await?;
            (listed, after) = (Some(Followed::Listed(records)), revision);
        }
        let endpoint = self.client.channel().endpoint();
        let opened = self.source.open(&self.client, after, self.token.clone()).await;
        self.events = Some(opened.map_err(|status| MeshError::from_grpc(endpoint, &status))?);
        self.told.extend(listed);
        Ok(())
    }
}

/// Waits before it is tried again, each time longer; hands back what trying again does not help against.
async fn wait(error: MeshError, pause: &mut Duration) -> Result<(), MeshError> {
    if is_final(&error) {
        return Err(error);
    }
    tracing::debug!(%error, "the watch goes on where it was");
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(LAST_PAUSE);
    Ok(())
}

fn is_final(error: &MeshError) -> bool {
    matches!(
        error.code,
        Code::InvalidArgument
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented
            | Code::FailedPrecondition
    )
}
