//! The calls that were downgraded or refused, as a daemon remembers them.

use std::path::Path;
use std::time::Duration;

use http::HeaderValue;
use http_body_util::BodyExt as _;
use omnirelay_runtime::{OperatorError, Result};
use relay_core::observe::{DOWNGRADE_EVENTS, DowngradeEvent, DowngradeEvents};
use relay_transport::body;

use super::daemon::{Daemon, TIMEOUT};
use crate::args;
use crate::output::{self, ListFormat, Notation};
use crate::remote;
use crate::table::Table;
use stream::{Message, Parser};

mod stream;
#[cfg(test)]
mod tests;

/// Pause before a watch that broke off goes on.
const PAUSE: Duration = Duration::from_secs(1);

/// Prints what a daemon remembers, or follows it.
pub(crate) fn run(context: Option<&Path>, args: &args::DowngradeEvents) -> Result<()> {
    let daemon = Daemon::find(context, &args.daemon)?;
    let path = format!("{DOWNGRADE_EVENTS}?limit={}", args.limit);
    if args.watch {
        return remote::runtime()?.block_on(watch(&daemon, &path, args.output));
    }
    let latest: DowngradeEvents = remote::runtime()?.block_on(daemon.read(&path))?;
    match args.output.notation() {
        Some(notation) => output::print_document(notation, &latest),
        None => {
            output::print(&table(&latest.events).render(0, args.output.look()))?;
            output::note(&format!("{} events of {}", latest.events.len(), output::printable(&latest.node)));
            Ok(())
        }
    }
}

fn table(events: &[DowngradeEvent]) -> Table {
    let mut table = Table::new(&[
        "AT",
        "WHAT",
        "ENDPOINT",
        "PROTOCOL",
        "ENCODING",
        "REASON",
        "EXCEPTION",
        "PROCEDURE",
        "PEER",
        ">SUPPRESSED",
    ]);
    events.iter().for_each(|event| table.row(cells(event)));
    table
}

fn cells(event: &DowngradeEvent) -> [String; 10] {
    [
        format!("{:.3}", event.at),
        event.kind.name().to_owned(),
        event.endpoint.clone(),
        event.protocol.map(|protocol| protocol.to_string()).unwrap_or_default(),
        event.encoding.map(|encoding| encoding.to_string()).unwrap_or_default(),
        event.reason.map(|reason| reason.to_string()).unwrap_or_default(),
        event.exception.clone().unwrap_or_default(),
        event.procedure.clone(),
        event.peer.clone(),
        event.suppressed.to_string(),
    ]
}

/// Follows the events for as long as somebody reads. Where the stream breaks off it goes on behind
/// the last event that was printed; only the first attempt may fail.
async fn watch(daemon: &Daemon, path: &str, format: ListFormat) -> Result<()> {
    let mut last = None;
    let mut is_read = follow(daemon, path, format, &mut last).await?;
    while is_read {
        output::note(&format!("{} ended the stream, connecting again", daemon.url));
        tokio::time::sleep(PAUSE).await;
        match follow(daemon, path, format, &mut last).await {
            Ok(still) => is_read = still,
            Err(error) => output::note(&error.report(output::color_on_stderr())),
        }
    }
    Ok(())
}

/// Prints one stream to its end; says whether anybody still reads.
async fn follow(daemon: &Daemon, path: &str, format: ListFormat, last: &mut Option<String>) -> Result<bool> {
    let mut request = remote::get_request(&daemon.context, path)?;
    let headers = request.headers_mut();
    headers.insert(http::header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    if let Some(Ok(id)) = last.as_deref().map(HeaderValue::from_str) {
        headers.insert("last-event-id", id);
    }
    let channel = daemon.channel()?;
    let sent = tokio::time::timeout(TIMEOUT, channel.send(request)).await;
    let response = sent.map_err(|_elapsed| daemon.silent())?.map_err(OperatorError::from)?;
    let (status, mut stream) = (response.status(), response.into_body());
    if !status.is_success() {
        let answer = body::collect_limited(stream, remote::MAX_ANSWER_BYTES).await;
        let answer = answer.map_err(|status| remote::status_error(&status))?;
        return Err(remote::status_error(&remote::http_status(status, &answer)));
    }
    let mut parser = Parser::default();
    // An error of the body is the end of this stream like any other.
    while let Some(Ok(frame)) = stream.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        for message in parser.push(&data)? {
            if !print(&message, format)? {
                return Ok(false);
            }
            if message.id.is_some() {
                *last = message.id;
            }
        }
    }
    Ok(true)
}

fn print(message: &Message, format: ListFormat) -> Result<bool> {
    if message.event == "gap" {
        let gap: serde_json::Value = serde_json::from_str(&message.data).unwrap_or_default();
        let missed = gap["missed"].as_u64().map_or("an unknown number of".to_owned(), |it| it.to_string());
        output::note(&format!("{missed} events are gone that were not shown"));
        return Ok(true);
    }
    let Ok(event) = serde_json::from_str::<DowngradeEvent>(&message.data) else { return Ok(true) };
    match format.notation() {
        // It was one line of JSON when it came, and nothing of it is to be lost.
        Some(Notation::Json) => output::print_line(&message.data),
        Some(Notation::Yaml) => {
            output::print_event(Notation::Yaml, &serde_json::from_str(&message.data).unwrap_or_default())
        }
        None => output::print_line(&line(&event)),
    }
}

/// One event as one line, since a table of what is to come has no widths.
fn line(event: &DowngradeEvent) -> String {
    let mut words = vec![format!("{:.3}", event.at), event.kind.name().to_owned(), event.endpoint.clone()];
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            words.push(format!("{name}={value}"));
        }
    };
    let [_, _, _, protocol, encoding, reason, exception, procedure, peer, suppressed] = cells(event);
    add("protocol", protocol);
    add("encoding", encoding);
    add("reason", reason);
    add("exception", exception);
    add("procedure", procedure);
    add("peer", peer);
    if event.suppressed > 0 {
        add("suppressed", suppressed);
    }
    output::printable(&words.join("  "))
}
