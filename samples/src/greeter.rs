//! The service that keeps nothing.

use omnirelay_proto::samples::v1::{GreetRequest, GreetResponse};
use relay_rpc::{Call, Reply, Status};

use crate::contracts::Greeter;

/// The longest name that is greeted, in bytes.
const MAX_NAME: usize = 256;

/// The service as an instance of a name.
pub(crate) struct Instance {
    pub(crate) name: String,
}

impl Greeter for Instance {
    async fn greet(&self, _call: Call, request: GreetRequest) -> Result<Reply<GreetResponse>, Status> {
        greet(&request, &self.name).map(Reply::new)
    }
}

/// Greets as the instance `served_by`.
fn greet(request: &GreetRequest, served_by: &str) -> Result<GreetResponse, Status> {
    let name = request.name.trim();
    if name.is_empty() || request.name.len() > MAX_NAME {
        return Err(Status::invalid_argument(format!("`name` has {} bytes", request.name.len()))
            .with_hint(format!("send a name of 1 to {MAX_NAME} bytes, as {{\"name\":\"Ada\"}}")));
    }
    Ok(GreetResponse { message: format!("Hello, {name}!"), served_by: served_by.to_owned() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use relay_core::Code;

    use super::*;

    #[test]
    fn names_are_greeted_within_bounds() {
        let greet = |name: String| greet(&GreetRequest { name }, "greeter");
        assert_eq!(greet("Ada".into()).unwrap().message, "Hello, Ada!");
        assert_eq!(greet("x".repeat(256)).unwrap().served_by, "greeter");
        for name in [String::new(), "  ".into(), "x".repeat(257)] {
            assert_eq!(greet(name).unwrap_err().code, Code::InvalidArgument);
        }
    }
}
