//! The contract of a procedure: what its messages are, found by name in a descriptor set.

use std::path::Path;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, SerializeOptions};

/// A descriptor set is made of contracts; a larger file is a mistake.
const MAX_SET_BYTES: u64 = 64 << 20;

/// One procedure.
#[derive(Clone, Debug)]
pub(super) struct Contract(MethodDescriptor);

impl Contract {
    /// Finds `Service::Method`, `pkg.Service::Method` or `pkg.Service/Method`, in a file or in the
    /// built-in contracts.
    pub(super) fn find(set: Option<&Path>, procedure: &str) -> Result<Self> {
        let pool = pool(set)?;
        let Some((service, method)) = split(procedure) else {
            return Err(OperatorError::new(ErrorKind::Usage, format!("`{procedure}` names no procedure"))
                .hint("write `Greeter::Greet` or `samples.v1.Greeter/Greet`"));
        };
        let named: Vec<MethodDescriptor> = pool
            .services()
            .filter(|known| known.full_name() == service || known.name() == service)
            .flat_map(|known| known.methods().collect::<Vec<_>>())
            .collect();
        let mut found = named.iter().filter(|known| known.name() == method);
        let place = set.map_or("the built-in contracts".to_owned(), |set| format!("`{}`", set.display()));
        match (found.next(), found.next()) {
            (Some(one), None) if one.is_client_streaming() || one.is_server_streaming() => {
                Err(OperatorError::new(
                    ErrorKind::Usage,
                    format!("`{procedure}` is a stream, this calls unary procedures"),
                ))
            }
            (Some(one), None) => Ok(Self(one.clone())),
            (Some(one), Some(other)) => Err(OperatorError::new(
                ErrorKind::Usage,
                format!("`{procedure}` is in {place} more than once"),
            )
            .hint(format!("name its package, as `{}` or `{}`", path(one), path(other)))),
            (None, _) => {
                let known: Vec<String> = if named.is_empty() {
                    pool.services()
                        .flat_map(|service| service.methods().map(|one| path(&one)).collect::<Vec<_>>())
                        .collect()
                } else {
                    named.iter().map(path).collect()
                };
                Err(OperatorError::new(ErrorKind::NotFound, format!("`{procedure}` is not in {place}"))
                    .because(format!("known are {}", known.join(", ")))
                    .hint("name the service's contracts with `--descriptor-set FILE` (`protoc --descriptor_set_out`), or call it as JSON over YARPC"))
            }
        }
    }

    /// The path of a gRPC call.
    pub(super) fn grpc_path(&self) -> String {
        format!("/{}", path(&self.0))
    }

    /// The request in protobuf.
    pub(super) fn encode(&self, json: &serde_json::Value) -> Result<Vec<u8>> {
        let input = self.0.input();
        let name = input.full_name().to_owned();
        let message = DynamicMessage::deserialize(input, json).map_err(|error| {
            OperatorError::new(ErrorKind::Usage, format!("the body is no `{name}`"))
                .caused_by(&error)
                .hint("the body is JSON with the contract's fields; 64-bit numbers may be strings")
        })?;
        Ok(message.encode_to_vec())
    }

    /// The answer as JSON on one line, every field present.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<String> {
        let output = self.0.output();
        let failed = |error: &(dyn std::error::Error + 'static), name: &str| {
            OperatorError::new(ErrorKind::Unavailable, format!("the answer is no `{name}`"))
                .caused_by(error)
                .hint("the service and this program have different contracts; name the service's with `--descriptor-set FILE`")
        };
        let name = output.full_name().to_owned();
        let message = DynamicMessage::decode(output, bytes).map_err(|error| failed(&error, &name))?;
        let options = SerializeOptions::new().skip_default_fields(false);
        let mut json = Vec::new();
        message
            .serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options)
            .map_err(|error| failed(&error, &name))?;
        Ok(String::from_utf8_lossy(&json).into_owned())
    }
}

/// The service and the method of a procedure, however it is written.
pub(super) fn split(procedure: &str) -> Option<(&str, &str)> {
    let procedure = procedure.strip_prefix('/').unwrap_or(procedure);
    let (service, method) = procedure.split_once("::").or_else(|| procedure.rsplit_once('/'))?;
    (!service.is_empty() && !method.is_empty()).then_some((service, method))
}

fn path(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().full_name(), method.name())
}

fn pool(set: Option<&Path>) -> Result<DescriptorPool> {
    use std::io::Read as _;
    let Some(file) = set else {
        return DescriptorPool::decode(omnirelay_proto::DESCRIPTOR_SET).map_err(|error| {
            OperatorError::new(ErrorKind::Internal, "the built-in contracts cannot be read").caused_by(&error)
        });
    };
    let failed = |error: &(dyn std::error::Error + 'static)| {
        OperatorError::new(
            ErrorKind::Config,
            format!("`{}` cannot be read as a descriptor set", file.display()),
        )
        .caused_by(error)
        .hint("make it with `protoc --include_imports --descriptor_set_out=FILE`")
    };
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|open| open.take(MAX_SET_BYTES).read_to_end(&mut bytes))
        .map_err(|error| failed(&error))?;
    DescriptorPool::decode(bytes.as_slice()).map_err(|error| failed(&error))
}
