//! gRPC's interop cases, as this project's client runs them.

mod compression;
mod streams;
mod unary;

use relay_rpc::{Carrier, Client};

use crate::testing::TestServiceClient;

/// Why a case failed.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What one call of a case is.
pub type Outcome = Result<(), Failed>;

/// The cases, by gRPC's names.
pub const CASES: [&str; 18] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "client_compressed_unary",
    "server_compressed_unary",
    "client_compressed_streaming",
    "server_compressed_streaming",
];

/// Runs a case against a server of the interop service.
///
/// # Errors
/// What did not come as it has to, and a name that is no case.
pub async fn run<S: Carrier>(case: &str, carrier: S) -> Outcome {
    let client = Client::new(carrier).caller("interop");
    let typed = TestServiceClient::new(client.clone());
    match case {
        "empty_unary" => unary::empty(&typed).await,
        "large_unary" => unary::large(&typed).await,
        "custom_metadata" => unary::custom_metadata(&typed).await,
        "status_code_and_message" => unary::status_code_and_message(&typed).await,
        "special_status_message" => unary::special_status_message(&typed).await,
        "unimplemented_method" => {
            unary::unimplemented(&client, "/grpc.testing.TestService/UnimplementedCall").await
        }
        "unimplemented_service" => {
            unary::unimplemented(&client, "/grpc.testing.UnimplementedService/UnimplementedCall").await
        }
        "client_streaming" => streams::client_streaming(&typed).await,
        "server_streaming" => streams::server_streaming(&typed).await,
        "ping_pong" => streams::ping_pong(&typed).await,
        "empty_stream" => streams::empty_stream(&typed).await,
        "cancel_after_begin" => streams::cancel_after_begin(&typed).await,
        "cancel_after_first_response" => streams::cancel_after_first_response(&typed).await,
        "timeout_on_sleeping_server" => streams::timeout_on_sleeping_server(&typed).await,
        "client_compressed_unary" => compression::client_unary(&typed).await,
        "server_compressed_unary" => compression::server_unary(&typed).await,
        "client_compressed_streaming" => compression::client_streaming(&typed).await,
        "server_compressed_streaming" => compression::server_streaming(&typed).await,
        other => Err(format!("`{other}` is no case").into()),
    }
}

/// Fails unless both are the same.
#[allow(clippy::needless_pass_by_value, reason = "what is compared is made for it")]
fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: T, expected: T) -> Outcome {
    if got == expected { Ok(()) } else { Err(format!("{what}: {got:?} came instead of {expected:?}").into()) }
}
