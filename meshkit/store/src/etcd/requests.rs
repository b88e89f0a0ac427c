//! Short words for etcd's requests.

use meshkit_etcd::api::compare::{CompareResult, CompareTarget, TargetUnion};
use meshkit_etcd::api::request_op::Request;
use meshkit_etcd::api::{
    Compare, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse,
    response_op::Response,
};

pub(super) fn get(key: Vec<u8>) -> RangeRequest {
    RangeRequest { key, ..RangeRequest::default() }
}

/// Keys from `key` to before `range_end` in order, at most `limit`.
pub(super) fn range(key: Vec<u8>, range_end: Vec<u8>, limit: i64) -> RangeRequest {
    RangeRequest { key, range_end, limit, ..RangeRequest::default() }
}

pub(super) fn read(range: RangeRequest) -> RequestOp {
    RequestOp { request: Some(Request::RequestRange(range)) }
}

pub(super) fn put(key: Vec<u8>, value: Vec<u8>) -> RequestOp {
    RequestOp { request: Some(Request::RequestPut(PutRequest { key, value, ..PutRequest::default() })) }
}

pub(super) fn delete(key: Vec<u8>) -> RequestOp {
    delete_range(key, Vec::new())
}

pub(super) fn delete_range(key: Vec<u8>, range_end: Vec<u8>) -> RequestOp {
    let request = DeleteRangeRequest { key, range_end, prev_kv: false };
    RequestOp { request: Some(Request::RequestDeleteRange(request)) }
}

/// There is no such key.
pub(super) fn absent(key: Vec<u8>) -> Compare {
    unchanged(key, 0)
}

/// The key has this value.
pub(super) fn equal(key: Vec<u8>, value: Vec<u8>) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Value.into(),
        key,
        target_union: Some(TargetUnion::Value(value)),
        range_end: Vec::new(),
    }
}

/// The key was changed last at this revision; 0 where there is none.
pub(super) fn unchanged(key: Vec<u8>, mod_revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key,
        target_union: Some(TargetUnion::ModRevision(mod_revision)),
        range_end: Vec::new(),
    }
}

/// A transaction.
pub(super) fn txn(compare: Vec<Compare>, success: Vec<RequestOp>, failure: Vec<RequestOp>) -> TxnRequest {
    TxnRequest { compare, success, failure }
}

/// What the reads of a transaction found, one list each; writes have empty ones.
pub(super) fn found(response: TxnResponse) -> Vec<Vec<KeyValue>> {
    let kvs = |response| match response {
        Some(Response::ResponseRange(range)) => range.kvs,
        _ => Vec::new(),
    };
    response.responses.into_iter().map(|one| kvs(one.response)).collect()
}
