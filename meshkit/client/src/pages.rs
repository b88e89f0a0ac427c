//! Listings page by page, each fetched when it is asked for.

use omnirelay_proto::meshkit::v1;

use crate::client::{Answer, MeshClient, PAGE, PeerFilter, ShardFilter};
use crate::error::MeshError;

/// All peers of a filter, 1000 at a time.
#[derive(Debug)]
pub struct PeerPages {
    client: MeshClient,
    filter: PeerFilter,
    token: Option<String>,
}

impl PeerPages {
    pub(crate) fn new(client: MeshClient, filter: PeerFilter) -> Self {
        Self { client, filter, token: Some(String::new()) }
    }

    /// The next page; none after the last one. After an error the same page is tried again.
    ///
    /// # Errors
    /// As [`MeshClient::list_peers`].
    pub async fn next(&mut self) -> Result<Option<Answer<v1::ListPeersResponse>>, MeshError> {
        let Some(token) = &self.token else {
            return Ok(None);
        };
        let page = self.client.list_peers(&self.filter, PAGE, token).await?;
        self.token = Some(page.value.next_page_token.clone()).filter(|token| !token.is_empty());
        Ok(Some(page))
    }
}

/// All shards of a filter, 1000 at a time.
#[derive(Debug)]
pub struct ShardPages {
    client: MeshClient,
    filter: ShardFilter,
    token: Option<String>,
}

impl ShardPages {
    pub(crate) fn new(client: MeshClient, filter: ShardFilter) -> Self {
        Self { client, filter, token: Some(String::new()) }
    }

    /// The next page; none after the last one. After an error the same page is tried again.
    ///
    /// # Errors
    /// As [`MeshClient::list_shards`].
    pub async fn next(&mut self) -> Result<Option<Answer<v1::ListShardsResponse>>, MeshError> {
        let Some(token) = &self.token else {
            return Ok(None);
        };
        let page = self.client.list_shards(&self.filter, PAGE, token).await?;
        self.token = Some(page.value.next_page_token.clone()).filter(|token| !token.is_empty());
        Ok(Some(page))
    }
}
