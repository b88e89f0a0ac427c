//! `docs/guide/rpc.md`: its service is served and called, and what it quotes is this code.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use relay_client::Channel;
use relay_interop::DESCRIPTOR_SET;
use relay_interop::guide::{AppendResponse, JournalClient, JournalServer, Line, ReadRequest};
use relay_interop::journal::Memory;
use relay_rpc::{Ask, Call, Client, Code, Dispatcher, OperatorError, Procedure, Status, raw};
use support::{GRPC, Server};

// guide: serve
/// The journal as a service that a `relay_transport::Listener` serves.
fn dispatcher() -> Result<Dispatcher, OperatorError> {
    let dispatcher = Dispatcher::new("journal", DESCRIPTOR_SET)?.max_message(1 << 20);
    JournalServer::register(dispatcher, &Arc::new(Memory::default()))
}
// guide: end

// guide: call
async fn write_and_read(channel: Channel) -> Result<Vec<String>, Status> {
    let client = Client::new(channel).caller("reader").timeout(Duration::from_secs(5));
    let journal = JournalClient::new(client);
    let line = |text: &str| Line { text: text.to_owned() };

    journal.append(line("unary")).await?;
    journal.note(line("oneway")).await?;
    journal.import(stream::iter([line("client"), line("streaming")])).await?;

    // Answers come while requests are still sent; dropping `counts` would cancel the call.
    let mut counts = journal.converse(stream::iter([line("bidi")])).await?;
    while let Some(answer) = counts.message().await? {
        assert!(answer.count >= 5);
    }

    // Anything beside the message goes into an `Ask`.
    let ask = Ask::new(ReadRequest { skip: 0 }).with_timeout(Duration::from_secs(1));
    let mut lines = journal.read(ask).await?;
    let mut texts = Vec::new();
    while let Some(line) = lines.message().await? {
        texts.push(line.text);
    }
    Ok(texts)
}
// guide: end

// guide: layers
/// Registers the methods with a layer around one and a second name for another.
fn with_layers<L>(dispatcher: Dispatcher, guard: L) -> Result<Dispatcher, OperatorError>
where
    L: tower::Layer<Procedure, Service = Procedure> + Send + Sync + 'static,
{
    let mut procedures = JournalServer::procedures(&Arc::new(Memory::default()));
    procedures.import = procedures.import.layer(guard);
    procedures.append = procedures.append.alias("Log::Write");
    procedures.register(dispatcher)
}
// guide: end

// guide: raw
/// Adds procedures that no contract describes.
fn more(dispatcher: Dispatcher) -> Result<Dispatcher, OperatorError> {
    dispatcher
        .add(
            raw("Blob::Echo")
                .unary(|_call: Call, blob: bytes::Bytes| async move { Ok(blob) })
                .alias("Old::Echo"),
        )?
        .add(raw("Legacy::*").unary(|call: Call, _blob: bytes::Bytes| async move {
            Err::<bytes::Bytes, _>(Status::unimplemented(format!("`{}` moved away", call.procedure())))
        }))
}
// guide: end

#[tokio::test]
async fn the_guides_service_works() {
    for protocol in GRPC {
        let server = Server::start(more(dispatcher().unwrap()).unwrap());
        let lines = write_and_read(server.channel(protocol)).await.unwrap();
        assert_eq!(lines, ["unary", "oneway", "client", "streaming", "bidi"], "{protocol}");
        let client = Client::new(server.channel(protocol));
        let echoed = client.unary::<Line, Line>("/Old/Echo", Line { text: "x".into() }).await.unwrap();
        assert_eq!(echoed.message().text, "x");
        let moved = client.unary::<Line, Line>("/Legacy/Old", Line::default()).await.unwrap_err();
        assert_eq!((moved.code, moved.message.as_str()), (Code::Unimplemented, "`Legacy/Old` moved away"));
        let journal = JournalClient::new(client);
        // The error comes with the head or after it, whichever the server knew first.
        let refused = match journal.converse(stream::iter([Line::default()])).await {
            Ok(mut answers) => answers.message().await.unwrap_err(),
            Err(status) => status,
        };
        assert_eq!(refused.code, Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_layer_is_around_the_method_that_it_was_given() {
    let shut = tower::layer::layer_fn(|_inner: Procedure| {
        let refused = || Err(Status::permission_denied("nothing is imported today"));
        Procedure::new(move |_request| Box::pin(std::future::ready(refused())))
    });
    let dispatcher = with_layers(Dispatcher::new("journal", DESCRIPTOR_SET).unwrap(), shut).unwrap();
    let server = Server::start(dispatcher);
    let client = Client::new(server.channel(GRPC[0]));
    let line = Line { text: "x".into() };
    client.unary::<Line, AppendResponse>("/Log/Write", line.clone()).await.unwrap();
    let journal = JournalClient::new(client);
    journal.append(line.clone()).await.unwrap();
    assert_eq!(journal.import(stream::iter([line])).await.unwrap_err().code, Code::PermissionDenied);
}

/// What stands between `// guide: NAME` and `// guide: end`.
fn marked(source: &str) -> Vec<String> {
    let mut regions = Vec::new();
    let mut region: Option<Vec<&str>> = None;
    for line in source.lines() {
        match line.trim().strip_prefix("// guide: ") {
            Some("end") => regions.push(region.take().unwrap().join("\n")),
            Some(_name) => region = Some(Vec::new()),
            None => {
                if let Some(lines) = &mut region {
                    lines.push(line);
                }
            }
        }
    }
    regions
}

#[test]
fn the_guide_quotes_the_code_that_is_tested() {
    let guide = include_str!("../../../docs/guide/rpc.md");
    let mut regions = marked(include_str!("../src/journal.rs"));
    regions.extend(marked(include_str!("guide.rs")));
    for region in &regions {
        assert!(guide.contains(&format!("```rust\n{region}\n```")), "the guide does not quote:\n{region}");
    }
    assert_eq!(guide.matches("```rust\n").count(), regions.len(), "the guide has code that is not tested");
    let contract = include_str!("../proto/guide/v1/journal.proto");
    let service = contract.split("service Journal {").nth(1).unwrap().split("\n}").next().unwrap();
    assert!(guide.contains(service), "the guide quotes another contract");
}
