//! Following shards.

use std::path::Path;
use std::time::Duration;

use meshkit_client::v1::{Shard, WatchEventType, WatchShardsResponse};
use meshkit_client::{MeshClient, MeshError};
use omnirelay_runtime::Result;
use relay_core::Code;
use serde_json::json;

use super::super::reading;
use super::{phase, record, successor};
use crate::args::OfNamespace;
use crate::output::{self, ListFormat};

/// Pause before a watch that broke off goes on.
const PAUSE: Duration = Duration::from_secs(1);

/// Prints all shards and then every change for as long as somebody reads. Where the stream breaks off
/// it goes on where it was; only the first attempt may fail.
pub(crate) fn watch(context: Option<&Path>, args: &OfNamespace) -> Result<()> {
    let format = args.shown.output;
    reading::call(context, async |client| {
        let (mut token, mut has_begun) = (String::new(), false);
        loop {
            match follow(client, &args.namespace, format, &mut token, &mut has_begun).await {
                Ok(Ok(true)) => output::note("the stream ended, connecting again"),
                Ok(Ok(false)) => return Ok(Ok(())),
                Ok(Err(error)) => return Ok(Err(error)),
                Err(error) if !has_begun || is_final(&error) => return Err(error),
                Err(error) => output::note(&format!("connecting again: {error}")),
            }
            tokio::time::sleep(PAUSE).await;
        }
    })?
}

/// Prints one stream to its end; says whether anybody still reads.
async fn follow(
    client: &MeshClient,
    namespace: &str,
    format: ListFormat,
    token: &mut String,
    has_begun: &mut bool,
) -> Result<Result<bool>, MeshError> {
    let mut messages = client.watch_shards(namespace, token).await?;
    while let Some(message) = messages.next().await? {
        *has_begun = true;
        match print(&message, format) {
            Ok(true) => {}
            done => return Ok(done),
        }
        if let Some(event) = message.event {
            *token = match event.r#type() {
                WatchEventType::ResyncRequired => String::new(),
                _ => event.resume_token,
            };
        }
    }
    Ok(Ok(true))
}

fn is_final(error: &MeshError) -> bool {
    matches!(
        error.code,
        Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented
    )
}

fn print(message: &WatchShardsResponse, format: ListFormat) -> Result<bool> {
    for shard in &message.snapshot {
        if !show("is", shard, format)? {
            return Ok(false);
        }
    }
    if let Some(complete) = &message.complete {
        output::note(&format!("{} shards at revision {}", complete.shards, complete.revision));
    }
    match (&message.event, &message.shard) {
        (Some(_), Some(shard)) => show("put", shard, format),
        (Some(event), None) if event.r#type() == WatchEventType::Deleted => match format.notation() {
            Some(notation) => output::print_event(notation, &json!({ "event": "deleted", "key": event.key })),
            None => output::print_line(&output::printable(&format!("deleted  {}", event.key))),
        },
        (Some(event), None) if event.r#type() == WatchEventType::ResyncRequired => {
            output::note(&format!("beginning anew: {}", output::printable(&event.reason)));
            Ok(true)
        }
        _ => Ok(true),
    }
}

fn show(what: &str, shard: &Shard, format: ListFormat) -> Result<bool> {
    match format.notation() {
        Some(notation) => output::print_event(notation, &json!({ "event": what, "shard": record(shard) })),
        None => output::print_line(&line(what, shard)),
    }
}

/// One change as one line, since a table of what is to come has no widths.
pub(super) fn line(what: &str, shard: &Shard) -> String {
    let owner = if shard.owner.is_empty() { "-" } else { &shard.owner };
    let (namespace, id, fence) = (&shard.shard_namespace, shard.id, shard.fence);
    let mut line = format!("{what}  {namespace}/{id}  {owner}  {}  fence={fence}", phase(shard));
    let next = successor(shard);
    if !next.is_empty() {
        line.push_str(&format!("  successor={next}"));
    }
    output::printable(&line)
}
