//! Clusters, the mesh's configuration and the audit.

use omnirelay_proto::meshkit::v1;
use v1::audit_service_client::AuditServiceClient;
use v1::clusters_service_client::ClustersServiceClient;
use v1::config_service_client::ConfigServiceClient;

use crate::change::{Change, Changed, changed};
use crate::client::{Answer, MeshClient, PAGE};
use crate::error::MeshError;
use crate::wire::Wire;

/// Which clusters to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFilter {
    /// Conditions, all of which have to hold, such as `state=active,region~eu`; empty means any.
    pub filter: String,
    /// Fields to sort by, such as `-priority`; empty means by id.
    pub sort: String,
}

impl MeshClient {
    pub(crate) fn clusters_service(&self) -> ClustersServiceClient<Wire> {
        ClustersServiceClient::new(self.wire.clone())
    }

    fn config_service(&self) -> ConfigServiceClient<Wire> {
        ConfigServiceClient::new(self.wire.clone())
    }

    fn audit_service(&self) -> AuditServiceClient<Wire> {
        AuditServiceClient::new(self.wire.clone())
    }

    /// All clusters.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn clusters(&self, filter: &ClusterFilter) -> Result<Answer<Vec<v1::Cluster>>, MeshError> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.list_clusters(filter, PAGE, &token).await?;
            all.extend(page.value.clusters);
            token = page.value.next_page_token;
            if token.is_empty() {
                return Ok(Answer { value: all, negotiated: page.negotiated });
            }
        }
    }

    /// One page of clusters; `page_size` 0 means 100, an empty token the first page.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn list_clusters(
        &self,
        filter: &ClusterFilter,
        page_size: u32,
        page_token: &str,
    ) -> Result<Answer<v1::ListClustersResponse>, MeshError> {
        let request = v1::ListClustersRequest {
            filter: filter.filter.clone(),
            sort: filter.sort.clone(),
            page_size,
            page_token: page_token.to_owned(),
            read_mask: None,
        };
        let mut client = self.clusters_service();
        let answer = self.call(request, async |request| client.list_clusters(request).await).await?;
        self.present(answer, Some)
    }

    /// One cluster.
    ///
    /// # Errors
    /// `not-found` where there is none.
    pub async fn get_cluster(&self, id: &str) -> Result<Answer<v1::Cluster>, MeshError> {
        let request = v1::GetClusterRequest { id: id.to_owned() };
        let mut client = self.clusters_service();
        let answer = self.call(request, async |request| client.get_cluster(request).await).await?;
        self.present(answer, |answer| answer.cluster)
    }

    /// Adds a cluster: the first one is active, every other one passive.
    ///
    /// # Errors
    /// `already-exists` where there is one of this id.
    pub async fn create_cluster(
        &self,
        spec: v1::ClusterSpec,
        change: &Change,
    ) -> Result<Answer<Changed<v1::Cluster>>, MeshError> {
        let request = v1::CreateClusterRequest { spec: Some(spec), options: Some(change.options()) };
        let mut client = self.clusters_service();
        let answer = self.call(request, async |request| client.create_cluster(request).await).await?;
        self.present(answer, |answer| changed(answer.cluster, answer.outcome))
    }

    /// Changes the named fields of what is said of a cluster.
    ///
    /// # Errors
    /// `failed-precondition` where the state does not permit it, `aborted` where another version is there by now.
    pub async fn update_cluster(
        &self,
        spec: v1::ClusterSpec,
        fields: &[&str],
        change: &Change,
    ) -> Result<Answer<Changed<v1::Cluster>>, MeshError> {
        let request = v1::UpdateClusterRequest {
            spec: Some(spec),
            update_mask: Some(prost_types::FieldMask {
                paths: fields.iter().map(|field| (*field).to_owned()).collect(),
            }),
            options: Some(change.options()),
        };
        let mut client = self.clusters_service();
        let answer = self.call(request, async |request| client.update_cluster(request).await).await?;
        self.present(answer, |answer| changed(answer.cluster, answer.outcome))
    }

    /// Takes a cluster one step towards serving. To be confirmed.
    ///
    /// # Errors
    /// `failed-precondition` where the state does not permit it, `aborted` where another version is there by now.
    pub async fn promote_cluster(
        &self,
        id: &str,
        pass_over: bool,
        change: &Change,
    ) -> Result<Answer<Changed<v1::Cluster>>, MeshError> {
        let request =
            v1::PromoteClusterRequest { id: id.to_owned(), pass_over, options: Some(change.options()) };
        let mut client = self.clusters_service();
        let answer = self.call(request, async |request| client.promote_cluster(request).await).await?;
        self.present(answer, |answer| changed(answer.cluster, answer.outcome))
    }

    /// Takes a cluster one step away from serving. To be confirmed.
    ///
    /// # Errors
    /// `failed-precondition` where the state does not permit it, `aborted` where another version is there by now.
    pub async fn demote_cluster(
        &self,
        id: &str,
        to: Option<v1::ClusterState>,
        change: &Change,
    ) -> Result<Answer<Changed<v1::Cluster>>, MeshError> {
        let request = v1::DemoteClusterRequest {
            id: id.to_owned(),
            to: to.map_or(0, i32::from),
            options: Some(change.options()),
        };
        let mut client = self.clusters_service();
        let answer = self.call(request, async |request| client.demote_cluster(request).await).await?;
        self.present(answer, |answer| changed(answer.cluster, answer.outcome))
    }

    /// A version of the mesh's configuration; 0 means the present one.
    ///
    /// # Errors
    /// `not-found` where the version is not kept.
    pub async fn get_config(&self, number: u64) -> Result<Answer<v1::Config>, MeshError> {
        let request = v1::GetConfigRequest { number };
        let mut client = self.config_service();
        let answer = self.call(request, async |request| client.get_config(request).await).await?;
        self.present(answer, |answer| answer.config)
    }

    /// The versions that are kept, newest first; 0 means all of them.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn config_history(&self, limit: u32) -> Result<Answer<Vec<v1::Config>>, MeshError> {
        let request = v1::ListConfigHistoryRequest { page_size: limit };
        let mut client = self.config_service();
        let answer = self.call(request, async |request| client.list_config_history(request).await).await?;
        self.present(answer, |answer| Some(answer.versions))
    }

    /// Changes the configuration by a JSON merge patch (RFC 7396).
    ///
    /// # Errors
    /// `failed-precondition` where the state does not permit it, `aborted` where another version is there by now.
    pub async fn patch_config(
        &self,
        merge_patch: &str,
        change: &Change,
    ) -> Result<Answer<Changed<v1::Config>>, MeshError> {
        let request =
            v1::PatchConfigRequest { merge_patch: merge_patch.to_owned(), options: Some(change.options()) };
        let mut client = self.config_service();
        let answer = self.call(request, async |request| client.patch_config(request).await).await?;
        self.present(answer, |answer| changed(answer.config, answer.outcome))
    }

    /// Makes a new version that says what an old one did. To be confirmed.
    ///
    /// # Errors
    /// `failed-precondition` where the state does not permit it, `aborted` where another version is there by now.
    pub async fn rollback_config(
        &self,
        to_number: u64,
        change: &Change,
    ) -> Result<Answer<Changed<v1::Config>>, MeshError> {
        let request = v1::RollbackConfigRequest { to_number, options: Some(change.options()) };
        let mut client = self.config_service();
        let answer = self.call(request, async |request| client.rollback_config(request).await).await?;
        self.present(answer, |answer| changed(answer.config, answer.outcome))
    }

    /// One page of the audit, newest first.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn list_audit(
        &self,
        request: v1::ListAuditRequest,
    ) -> Result<Answer<v1::ListAuditResponse>, MeshError> {
        let mut client = self.audit_service();
        let answer = self.call(request, async |request| client.list_audit(request).await).await?;
        self.present(answer, Some)
    }

    /// Checks the audit's chain of hashes.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn verify_audit(&self) -> Result<Answer<v1::VerifyAuditResponse>, MeshError> {
        let request = v1::VerifyAuditRequest {};
        let mut client = self.audit_service();
        let answer = self.call(request, async |request| client.verify_audit(request).await).await?;
        self.present(answer, Some)
    }

    /// Reads the audit, oldest first, and gives each entry to `each`, until the end or until that
    /// says `false`.
    ///
    /// # Errors
    /// A [`MeshError`], as every call. Entries before it were given.
    pub async fn export_audit(
        &self,
        after_number: u64,
        mut each: impl FnMut(v1::AuditEntry) -> bool,
    ) -> Result<(), MeshError> {
        let failed = |status: tonic::Status| MeshError::from_grpc(self.channel().endpoint(), &status);
        let request = v1::ExportAuditRequest { after_number };
        let mut entries = self.audit_service().export_audit(request).await.map_err(failed)?.into_inner();
        while let Some(answer) = entries.message().await.map_err(failed)? {
            if answer.entry.is_some_and(|entry| !each(entry)) {
                break;
            }
        }
        Ok(())
    }
}
