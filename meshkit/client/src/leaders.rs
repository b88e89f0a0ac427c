//! Who leads, and asking leaders to resign.

use std::time::Duration;

use omnirelay_proto::meshkit::v1;
use relay_core::Code;
use v1::LeaderEventType;
use v1::leaders_service_client::LeadersServiceClient;

use crate::change::{Change, Changed, changed};
use crate::client::{Answer, MeshClient};
use crate::error::MeshError;
use crate::wire::Wire;

/// How long to wait before the control plane is called again: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

impl MeshClient {
    fn leaders_service(&self) -> LeadersServiceClient<Wire> {
        LeadersServiceClient::new(self.wire.clone())
    }

    /// One page of leases in the order of their scopes; `page_size` 0 means 100, an empty token the
    /// first page.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn list_leaders(
        &self,
        filter: &str,
        page_size: u32,
        page_token: &str,
    ) -> Result<Answer<v1::ListLeadersResponse>, MeshError> {
        let request = v1::ListLeadersRequest {
            filter: filter.to_owned(),
            sort: String::new(),
            page_size,
            page_token: page_token.to_owned(),
        };
        let mut client = self.leaders_service();
        self.call(request, async |request| client.list_leaders(request).await).await
    }

    /// The lease of one scope, such as `module/shards`.
    ///
    /// # Errors
    /// `not-found` where nobody ever led it.
    pub async fn get_leader(&self, scope: &str) -> Result<Answer<v1::Lease>, MeshError> {
        let request = v1::GetLeaderRequest { scope: scope.to_owned() };
        let mut client = self.leaders_service();
        let answer = self.call(request, async |request| client.get_leader(request).await).await?;
        self.present(answer, |answer| answer.lease)
    }

    /// Asks the leader of a scope to give it up, which it does as soon as it sees that.
    ///
    /// # Errors
    /// `failed-precondition` where nobody leads it.
    pub async fn resign_leader(
        &self,
        scope: &str,
        change: &Change,
    ) -> Result<Answer<Changed<v1::Lease>>, MeshError> {
        let request = v1::ResignLeaderRequest { scope: scope.to_owned(), options: Some(change.options()) };
        let mut client = self.leaders_service();
        let answer = self.call(request, async |request| client.resign_leader(request).await).await?;
        self.present(answer, |answer| changed(answer.lease, answer.outcome))
    }

    /// Follows one scope, or all of them for an empty text: first the leases as they are.
    #[must_use]
    pub fn watch_leaders(&self, scope: &str) -> LeaderWatch {
        LeaderWatch {
            client: self.clone(),
            scope: scope.to_owned(),
            events: None,
            token: String::new(),
            pause: FIRST_PAUSE,
        }
    }
}

/// Follows who leads, across restarts of the control plane.
#[derive(Debug)]
pub struct LeaderWatch {
    client: MeshClient,
    scope: String,
    events: Option<tonic::Streaming<v1::WatchLeadersResponse>>,
    token: String,
    pause: Duration,
}

impl LeaderWatch {
    /// The next event; bookmarks are passed over. Where the control plane is away it waits and goes
    /// on where it was; where events were missed for good, snapshots come anew. Dropping the future
    /// loses nothing.
    ///
    /// # Errors
    /// What trying again does not help against, such as `permission-denied`.
    pub async fn next(&mut self) -> Result<v1::WatchLeadersResponse, MeshError> {
        loop {
            match self.step().await {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => {}
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "the watch of leaders goes on where it was");
                    self.events = None;
                    tokio::time::sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }

    /// Connects, or takes one event.
    async fn step(&mut self) -> Result<Option<v1::WatchLeadersResponse>, MeshError> {
        let endpoint = self.client.channel().endpoint();
        let failed = |status: tonic::Status| MeshError::from_grpc(endpoint, &status);
        let Some(events) = &mut self.events else {
            let request =
                v1::WatchLeadersRequest { scope: self.scope.clone(), resume_token: self.token.clone() };
            let watched = self.client.leaders_service().watch_leaders(request).await;
            self.events = Some(watched.map_err(failed)?.into_inner());
            return Ok(None);
        };
        let Some(event) = events.message().await.map_err(failed)? else {
            self.events = None;
            return Ok(None);
        };
        self.pause = FIRST_PAUSE;
        match event.r#type() {
            LeaderEventType::ResyncRequired => {
                self.token.clear();
                self.events = None;
                Ok(None)
            }
            LeaderEventType::Bookmark => {
                self.token = event.resume_token;
                Ok(None)
            }
            _ => {
                if !event.resume_token.is_empty() {
                    self.token.clone_from(&event.resume_token);
                }
                Ok(Some(event))
            }
        }
    }
}

fn is_final(error: &MeshError) -> bool {
    matches!(
        error.code,
        Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented
    )
}
