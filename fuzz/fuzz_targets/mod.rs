//! The targets, one a file.

pub(crate) mod config_layers;
pub(crate) mod deadlines;
pub(crate) mod endpoint;
pub(crate) mod grpc_status;
pub(crate) mod policy;
pub(crate) mod relay_config;
pub(crate) mod rpc_meta;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Lines of `name: value` as headers; what is no header is passed over, as HTTP would refuse it.
fn headers(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n').take(100) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}
