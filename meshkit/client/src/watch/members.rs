//! Following who gossips. What a node knows of others has no revision, so each connection begins with all of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use omnirelay_proto::meshkit::v1;
use v1::MemberEventType;

use super::{FIRST_PAUSE, Followed, wait};
use crate::client::{MeshClient, PAGE};
use crate::error::MeshError;

/// What became of members.
pub type MemberChange = Followed<v1::Member>;

/// Follows all members, as the meshkitd that answers sees them.
#[derive(Debug)]
pub struct MemberWatch {
    client: MeshClient,
    events: Option<tonic::Streaming<v1::WatchMembersResponse>>,
    known: BTreeMap<String, v1::Member>,
    pause: Duration,
    told: VecDeque<MemberChange>,
}

impl MeshClient {
    /// Follows all members.
    #[must_use]
    pub fn watch_members(&self) -> MemberWatch {
        let (known, told) = (BTreeMap::new(), VecDeque::new());
        MemberWatch { client: self.clone(), events: None, known, pause: FIRST_PAUSE, told }
    }
}

impl MemberWatch {
    /// The next change. Where the control plane is away it waits, and then lists all members anew: another node may
    /// answer by then, which sees them otherwise. Dropping the future loses nothing.
    ///
    /// # Errors
    /// What trying again does not help against, such as `permission-denied`, or `failed-precondition` where the meshkitd
    /// that answers does not gossip.
    pub async fn next(&mut self) -> Result<MemberChange, MeshError> {
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
        let event = events.message().await.map_err(|status| MeshError::from_grpc(endpoint, &status))?;
        let Some(event) = event else {
            self.events = None;
            return Ok(());
        };
        let (kind, Some(member)) = (event.r#type(), event.member) else { return Ok(()) };
        match kind {
            MemberEventType::Changed if self.known.get(&member.id) != Some(&member) => {
                self.known.insert(member.id.clone(), member.clone());
                self.told.push_back(Followed::Put(Box::new(member)));
            }
            MemberEventType::Forgotten if self.known.remove(&member.id).is_some() => {
                self.told.push_back(Followed::Deleted(member.id));
            }
            _ => {}
        }
        Ok(())
    }

    /// Opens the watch and then lists: the listing is newer than the watch's snapshot, and no change is between them.
    async fn connect(&mut self) -> Result<(), MeshError> {
        let endpoint = self.client.channel().endpoint();
        let opened = self.client.members_service().watch_members(v1::WatchMembersRequest {}).await;
        let events = opened.map_err(|status| MeshError::from_grpc(endpoint, &status))?.into_inner();
        let (mut members, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.client.list_members("", PAGE, &token).await?.value;
            members.extend(page.members);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        self.known = members.iter().map(|member| (member.id.clone(), member.clone())).collect();
        self.events = Some(events);
        self.told.push_back(Followed::Listed(members));
        Ok(())
    }
}
