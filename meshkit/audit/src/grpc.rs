//! The audit over gRPC.

use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt as _};
use meshkit_api::{Verb, grpc_answer, grpc_status, invalid, timestamp, valid};
use meshkit_model::{Invalid, Kind, Timestamp};
use meshkit_store::audit::{AuditEntry, AuditQuery};
use omnirelay_proto::meshkit::v1::{self as wire, audit_service_server::AuditService};
use relay_core::Status;
use tonic::{Request, Response};

use crate::entries::Audit;

pub(crate) struct Service(pub(crate) Arc<Audit>);

type Export = BoxStream<'static, Result<wire::ExportAuditResponse, tonic::Status>>;

impl Service {
    async fn list(
        &self,
        request: Request<wire::ListAuditRequest>,
    ) -> Result<wire::ListAuditResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::AuditList, request, |_| "audit".to_owned()).await?;
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let query = AuditQuery {
            actor: some(asked.actor),
            action: some(asked.action),
            ticket: some(asked.ticket),
            record: some(asked.record),
            kind: valid(some(asked.kind).map(|kind| kind.parse::<Kind>()).transpose())?,
            refused: refused(asked.outcome)?,
            from: time("from", asked.from)?,
            until: time("until", asked.until)?,
            ..AuditQuery::default()
        };
        let found = self.0.search(query, asked.page_size, &asked.page_token).await?;
        Ok(wire::ListAuditResponse {
            entries: found.entries.into_iter().map(to_wire).collect(),
            next_page_token: found.next_cursor,
        })
    }

    async fn export(&self, request: Request<wire::ExportAuditRequest>) -> Result<Export, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::AuditExport, request, |_| "audit".to_owned()).await?;
        let entries = self.0.all(asked.after_number);
        let answer = |entry: Result<AuditEntry, Status>| match entry {
            Ok(entry) => Ok(wire::ExportAuditResponse { entry: Some(to_wire(entry)) }),
            Err(status) => Err(grpc_status(&status)),
        };
        Ok(entries.map(answer).boxed())
    }

    async fn verify(
        &self,
        request: Request<wire::VerifyAuditRequest>,
    ) -> Result<wire::VerifyAuditResponse, Status> {
        self.0.gate.grpc(Verb::AuditVerify, request, |_| "audit".to_owned()).await?;
        let verdict = self.0.verify().await?;
        Ok(wire::VerifyAuditResponse {
            intact: verdict.intact,
            entries: verdict.entries,
            head_number: verdict.head_number,
            head_hash: verdict.head_hash,
            problem: verdict.problem,
        })
    }
}

#[tonic::async_trait]
impl AuditService for Service {
    type ExportAuditStream = Export;

    async fn list_audit(
        &self,
        request: Request<wire::ListAuditRequest>,
    ) -> Result<Response<wire::ListAuditResponse>, tonic::Status> {
        grpc_answer(self.list(request).await)
    }

    async fn export_audit(
        &self,
        request: Request<wire::ExportAuditRequest>,
    ) -> Result<Response<Export>, tonic::Status> {
        grpc_answer(self.export(request).await)
    }

    async fn verify_audit(
        &self,
        request: Request<wire::VerifyAuditRequest>,
    ) -> Result<Response<wire::VerifyAuditResponse>, tonic::Status> {
        grpc_answer(self.verify(request).await)
    }
}

fn refused(number: i32) -> Result<Option<bool>, Status> {
    match wire::AuditOutcome::try_from(number) {
        Ok(wire::AuditOutcome::Unspecified) => Ok(None),
        Ok(wire::AuditOutcome::Done) => Ok(Some(false)),
        Ok(wire::AuditOutcome::Refused) => Ok(Some(true)),
        Err(_) => Err(invalid(&Invalid::new("outcome", format!("is {number}; it is one of AuditOutcome")))),
    }
}

fn time(field: &str, at: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, Status> {
    let Some(at) = at else { return Ok(None) };
    let time = Timestamp::new(at.seconds, at.nanos);
    time.map(Some).map_err(|error| invalid(&Invalid::new(field, format!("is no time: {error}"))))
}

fn to_wire(entry: AuditEntry) -> wire::AuditEntry {
    wire::AuditEntry {
        number: entry.number,
        revision: entry.revision,
        at: Some(timestamp(entry.at)),
        actor: entry.actor,
        action: entry.action,
        ticket: entry.ticket,
        reason: entry.reason,
        record: entry.record,
        refused: entry.refused.unwrap_or_default(),
        before: entry.before.unwrap_or_default(),
        after: entry.after.unwrap_or_default(),
        previous_hash: entry.previous.to_string(),
        hash: entry.hash.to_string(),
    }
}
