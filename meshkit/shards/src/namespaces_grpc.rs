//! Namespaces over gRPC.

use std::sync::Arc;

use meshkit_api::{Ask, Changed, Verb, grpc_answer, invalid, outcome_to_wire, valid};
use meshkit_model::{Invalid, Namespace};
use omnirelay_proto::meshkit::v1::{self as wire, namespaces_service_server::NamespacesService};
use relay_core::Status;
use tonic::{Request, Response};

use crate::namespaces::{NamespacePatch, Namespaces};
use crate::wire::{handover_of, namespace_of, namespace_to_wire, strategy_of};

pub(crate) struct Service(pub(crate) Arc<Namespaces>);

impl Service {
    async fn list(
        &self,
        request: Request<wire::ListNamespacesRequest>,
    ) -> Result<wire::ListNamespacesResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::NamespacesList, request, |_| "namespace".to_owned()).await?;
        let page = self.0.list(asked.page_size, &asked.page_token)?;
        Ok(wire::ListNamespacesResponse {
            namespaces: page.namespaces.into_iter().map(namespace_to_wire).collect(),
            next_page_token: page.next_cursor,
            revision: page.revision,
        })
    }

    async fn get(
        &self,
        request: Request<wire::GetNamespaceRequest>,
    ) -> Result<wire::GetNamespaceResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::NamespacesGet, request, |asked| name(&asked.name)).await?;
        let shard_namespace = Some(namespace_to_wire(self.0.get(&asked.name)?));
        Ok(wire::GetNamespaceResponse { shard_namespace })
    }

    async fn create(
        &self,
        request: Request<wire::CreateNamespaceRequest>,
    ) -> Result<wire::CreateNamespaceResponse, Status> {
        let named = |asked: &wire::CreateNamespaceRequest| name_of(asked.shard_namespace.as_ref());
        let (caller, asked) = self.0.gate.grpc(Verb::NamespacesCreate, request, named).await?;
        let ask = Ask::of_grpc(Verb::NamespacesCreate, asked.options)?.for_new();
        let namespace = valid(namespace_of(asked.shard_namespace.ok_or_else(missing)?))?;
        let (shard_namespace, outcome) = parts(self.0.create(&caller, &ask, namespace).await?);
        Ok(wire::CreateNamespaceResponse { shard_namespace, outcome })
    }

    async fn update(
        &self,
        request: Request<wire::UpdateNamespaceRequest>,
    ) -> Result<wire::UpdateNamespaceResponse, Status> {
        let named = |asked: &wire::UpdateNamespaceRequest| name_of(asked.shard_namespace.as_ref());
        let (caller, asked) = self.0.gate.grpc(Verb::NamespacesUpdate, request, named).await?;
        let ask = Ask::of_grpc(Verb::NamespacesUpdate, asked.options)?;
        let said = asked.shard_namespace.ok_or_else(missing)?;
        let patch = valid(patch_of(&said, &asked.update_mask.unwrap_or_default().paths))?;
        let (shard_namespace, outcome) = parts(self.0.update(&caller, &ask, &said.name, &patch).await?);
        Ok(wire::UpdateNamespaceResponse { shard_namespace, outcome })
    }

    async fn delete(
        &self,
        request: Request<wire::DeleteNamespaceRequest>,
    ) -> Result<wire::DeleteNamespaceResponse, Status> {
        let named = |asked: &wire::DeleteNamespaceRequest| name(&asked.name);
        let (caller, asked) = self.0.gate.grpc(Verb::NamespacesDelete, request, named).await?;
        let ask = Ask::of_grpc(Verb::NamespacesDelete, asked.options)?;
        let (shard_namespace, outcome) = parts(self.0.delete(&caller, &ask, &asked.name).await?);
        Ok(wire::DeleteNamespaceResponse { shard_namespace, outcome })
    }
}

#[tonic::async_trait]
impl NamespacesService for Service {
    async fn list_namespaces(
        &self,
        request: Request<wire::ListNamespacesRequest>,
    ) -> Result<Response<wire::ListNamespacesResponse>, tonic::Status> {
        grpc_answer(self.list(request).await)
    }

    async fn get_namespace(
        &self,
        request: Request<wire::GetNamespaceRequest>,
    ) -> Result<Response<wire::GetNamespaceResponse>, tonic::Status> {
        grpc_answer(self.get(request).await)
    }

    async fn create_namespace(
        &self,
        request: Request<wire::CreateNamespaceRequest>,
    ) -> Result<Response<wire::CreateNamespaceResponse>, tonic::Status> {
        grpc_answer(self.create(request).await)
    }

    async fn update_namespace(
        &self,
        request: Request<wire::UpdateNamespaceRequest>,
    ) -> Result<Response<wire::UpdateNamespaceResponse>, tonic::Status> {
        grpc_answer(self.update(request).await)
    }

    async fn delete_namespace(
        &self,
        request: Request<wire::DeleteNamespaceRequest>,
    ) -> Result<Response<wire::DeleteNamespaceResponse>, tonic::Status> {
        grpc_answer(self.delete(request).await)
    }
}

/// The fields of a mask.
fn patch_of(said: &wire::Namespace, mask: &[String]) -> Result<NamespacePatch, Invalid> {
    let mut patch = NamespacePatch::default();
    for path in mask {
        match path.as_str() {
            "strategy" => patch.strategy = Some(strategy_of(&said.strategy)?),
            "replicas" => patch.replicas = Some(said.replicas.max(1)),
            "spread_zones" => patch.spread_zones = Some(said.spread_zones.unwrap_or(true)),
            "zones" => patch.zones = Some(said.zones.clone()),
            "handover" => patch.handover = Some(handover_of(&said.handover)?),
            other => {
                let can = "strategy, replicas, spread_zones, zones and handover can change";
                return Err(Invalid::new("update_mask", format!("names {other:?}; {can}")));
            }
        }
    }
    Ok(patch)
}

fn name(name: &str) -> String {
    format!("namespace/{name}")
}

fn name_of(namespace: Option<&wire::Namespace>) -> String {
    name(namespace.map_or("", |namespace| &namespace.name))
}

fn missing() -> Status {
    invalid(&Invalid::new("shard_namespace", "is missing"))
}

fn parts(changed: Changed<Namespace>) -> (Option<wire::Namespace>, Option<wire::ChangeOutcome>) {
    (Some(namespace_to_wire(changed.record)), Some(outcome_to_wire(changed.outcome)))
}
